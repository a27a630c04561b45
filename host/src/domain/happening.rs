use serde::{Deserialize, Serialize};

use super::{MessageId, PluginId, UserId};

/// What a plugin may want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    Sent,
    Edited,
    Deleted,
    Read,
    Held,
    Released,
    /// Told as well as can be, like the next: some may be left out.
    Rejected,
    UserOnline,
}

impl EventKind {
    pub const ALL: [Self; 8] = [
        Self::Sent,
        Self::Edited,
        Self::Deleted,
        Self::Read,
        Self::Held,
        Self::Released,
        Self::Rejected,
        Self::UserOnline,
    ];

    /// The word for it in reports, rows and `wit/`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Read => "read",
            Self::Held => "held",
            Self::Released => "released",
            Self::Rejected => "rejected",
            Self::UserOnline => "user-online",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// What happened, for plugins: ids and words of plugins, never content. Stored as JSON until
/// every plugin that listens has been told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Happening {
    Sent {
        message: MessageId,
    },
    Edited {
        message: MessageId,
    },
    Deleted {
        message: MessageId,
        by: UserId,
        for_everyone: bool,
    },
    Read {
        reader: UserId,
        sender: UserId,
        messages: Vec<MessageId>,
    },
    Held {
        message: MessageId,
        revision: i32,
        /// Which plugin asked for it, by name.
        plugin: String,
    },
    Released {
        message: MessageId,
    },
    Rejected {
        sender: UserId,
        recipient: UserId,
        code: String,
    },
    UserOnline {
        user: UserId,
    },
}

impl Happening {
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Sent { .. } => EventKind::Sent,
            Self::Edited { .. } => EventKind::Edited,
            Self::Deleted { .. } => EventKind::Deleted,
            Self::Read { .. } => EventKind::Read,
            Self::Held { .. } => EventKind::Held,
            Self::Released { .. } => EventKind::Released,
            Self::Rejected { .. } => EventKind::Rejected,
            Self::UserOnline { .. } => EventKind::UserOnline,
        }
    }

    /// The stored messages that it is about.
    pub fn messages(&self) -> &[MessageId] {
        match self {
            Self::Sent { message }
            | Self::Edited { message }
            | Self::Deleted { message, .. }
            | Self::Held { message, .. }
            | Self::Released { message } => std::slice::from_ref(message),
            Self::Read { messages, .. } => messages,
            Self::Rejected { .. } | Self::UserOnline { .. } => &[],
        }
    }

    /// The same as a plugin may hear of it that sent some of the messages itself; `None`: it
    /// may not. Else a plugin could set itself off.
    #[must_use]
    pub fn without(&self, own: impl Fn(MessageId) -> bool) -> Option<Self> {
        if let Self::Read { reader, sender, messages } = self {
            let others: Vec<MessageId> = messages.iter().copied().filter(|id| !own(*id)).collect();
            let (reader, sender) = (*reader, *sender);
            return (!others.is_empty()).then_some(Self::Read { reader, sender, messages: others });
        }
        let is_own = self.messages().iter().any(|id| own(*id));
        (!is_own).then(|| self.clone())
    }
}

/// Which plugin a message comes from, and how many plugins' messages, each an answer to the one
/// before, it took to come about: 1 for an answer to what a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    pub plugin_id: PluginId,
    pub depth: i16,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_has_its_word_in_rows_too() {
        let (id, user) = (MessageId::new(), UserId::new());
        for happening in [
            Happening::Sent { message: id },
            Happening::Deleted { message: id, by: user, for_everyone: true },
            Happening::UserOnline { user },
        ] {
            let kind = happening.kind();
            let row = json!(happening);

            assert_eq!(row["kind"], kind.as_str());
            assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
            assert_eq!(serde_json::from_value::<Happening>(row).unwrap(), happening);
        }
    }

    #[test]
    fn of_what_was_read_only_the_plugins_own_is_left_out() {
        let (own, other) = (MessageId::new(), MessageId::new());
        let read = |messages: &[MessageId]| Happening::Read {
            reader: UserId::from(uuid::Uuid::nil()),
            sender: UserId::from(uuid::Uuid::nil()),
            messages: messages.to_vec(),
        };

        assert_eq!(read(&[own, other]).without(|id| id == own), Some(read(&[other])));
        assert_eq!(read(&[own]).without(|id| id == own), None);
        assert_eq!(Happening::Sent { message: own }.without(|id| id == own), None);
    }
}
