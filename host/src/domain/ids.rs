use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id. Ids made later by this process sort later.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a fresh id is never a default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            /// Reads the hyphenated form, in either case.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

id!(OrgId);
id!(UserId);
id!(
    /// A `UUIDv7`, given out in the order in which messages are handed to the writer.
    MessageId
);
id!(
    /// One of an org's verification keys.
    KeyId
);
id!(
    /// A plugin as installed in one org.
    PluginId
);
id!(
    /// Something that a plugin is to be told of; the same however often it is told.
    EventId
);

impl MessageId {
    /// The second of its making, since 1970; 0 for an id of another kind, which none of ours is.
    pub fn second(self) -> i64 {
        let seconds = self.0.get_timestamp().map_or(0, |made| made.to_unix().0);
        i64::try_from(seconds).unwrap_or(i64::MAX)
    }
}

/// A plugin and the org that it is installed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Installed {
    pub org_id: OrgId,
    pub plugin_id: PluginId,
}

id!(
    /// An entry of the review queue, the refusals or the audit log; later ones sort later.
    EntryId
);
id!(
    /// Two people's thread: derived from the pair, so that nobody has to look it up.
    ThreadId
);

impl ThreadId {
    /// The thread of a pair, whichever way round it is named.
    ///
    /// The first half of SHA-256 over both ids: 122 random bits on each side make a
    /// collision inside an org as unlikely as one of the ids themselves.
    #[must_use]
    pub fn of(one: UserId, other: UserId) -> Self {
        use sha2::{Digest, Sha256};

        let (low, high) = if one <= other { (one, other) } else { (other, one) };
        let digest =
            Sha256::new().chain_update(low.0.as_bytes()).chain_update(high.0.as_bytes()).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_thread_whoever_writes_first() {
        let (alice, bob, carol) = (UserId::new(), UserId::new(), UserId::new());

        assert_eq!(ThreadId::of(alice, bob), ThreadId::of(bob, alice));
        assert_ne!(ThreadId::of(alice, bob), ThreadId::of(alice, carol));
    }

    #[test]
    fn ids_made_later_sort_later() {
        let ids: Vec<MessageId> = (0..1000).map(|_| MessageId::new()).collect();

        assert!(ids.is_sorted());
    }
}
