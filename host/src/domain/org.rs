use serde::{Deserialize, Serialize};

use super::{InvalidField, OrgId};

/// An org's public name: `orgid` in headers and `orgId` in tokens.
///
/// 1 to 64 characters of `A-Z a-z 0-9 . _ -`, starting with a letter or digit; case counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct OrgSlug(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an org's name is 1 to 64 characters of A-Z a-z 0-9 . _ - and starts with a letter or digit"
)]
pub struct InvalidSlug;

impl OrgSlug {
    pub fn parse(text: &str) -> Result<Self, InvalidSlug> {
        let valid = (1..=64).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        valid.then(|| Self(text.to_owned())).ok_or(InvalidSlug)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for OrgSlug {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for OrgSlug {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Self, InvalidSlug> {
        Self::parse(text)
    }
}

/// One isolated customer of this server.
#[derive(Clone, Debug)]
pub struct Org {
    pub id: OrgId,
    pub slug: OrgSlug,
    pub name: String,
    pub suspended: bool,
    pub settings: OrgSettings,
}

/// Who sees who is online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PresenceScope {
    /// Everyone in the org.
    #[default]
    Org,
    /// People with a common thread.
    Peers,
    /// Nobody.
    Off,
}

/// To whom one may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recipients {
    /// Any e-mail; the message waits until its owner first signs in.
    #[default]
    Any,
    /// Only people who have signed in once; others are 404.
    Known,
}

/// When the socket event `notification` is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NotificationEvents {
    /// Only where a plugin rewrote, delayed or routed the notification.
    #[default]
    Changed,
    /// For every message.
    All,
}

/// Which messages an org's admins may read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminReads {
    /// None: they decide by labels and reasons alone.
    None,
    /// Those that wait for a review, and those that plugins put a label on.
    #[default]
    HeldAndFlagged,
    All,
}

/// What an org may set. Absent fields take the server's `[org]` defaults
/// (`host/duologue.toml`), which are the values of [`OrgSettings::default`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OrgSettings {
    pub presence: PresenceScope,
    pub recipients: Recipients,
    pub notification_events: NotificationEvents,
    /// How long a sender may edit a message, in seconds. Default 24 hours.
    pub edit_window_seconds: u32,
    /// The longest content of a message, in bytes of UTF-8. Default 16 KiB.
    pub max_content_bytes: u32,
    /// Whether attachments may have `http` addresses. Default no.
    pub http_attachments: bool,
    /// Browser origins that may call; empty: any for clients, none for `/admin`.
    pub origins: Vec<String>,
    /// How long a `sync` cursor stays good, in days. Default 30.
    pub sync_days: u32,
    /// Which messages admins may read; each reading is in the audit log.
    pub admin_reads: AdminReads,
    /// How long refusals and decided reviews are kept, in days. Default 30.
    pub review_days: u32,
    /// How long decision receipts are kept, in days; 0: none is made. Default 7.
    pub receipt_days: u32,
    /// How long the audit log is kept, in days. Default 365.
    pub audit_days: u32,
    pub limits: OrgLimits,
}

impl Default for OrgSettings {
    fn default() -> Self {
        Self {
            presence: PresenceScope::default(),
            recipients: Recipients::default(),
            notification_events: NotificationEvents::default(),
            edit_window_seconds: 24 * 60 * 60,
            max_content_bytes: 16 * 1024,
            http_attachments: false,
            origins: Vec::new(),
            sync_days: 30,
            admin_reads: AdminReads::default(),
            review_days: 30,
            receipt_days: 7,
            audit_days: 365,
            limits: OrgLimits::default(),
        }
    }
}

impl OrgSettings {
    /// The longest content that an org may allow; the request body is bounded beside.
    pub const MAX_CONTENT_BYTES: u32 = 64 * 1024;

    /// Whether a page of that origin may call: an org that names its origins is called from
    /// no other page. What is no page has no origin.
    pub fn admits_origin(&self, origin: Option<&str>) -> bool {
        self.origins.is_empty()
            || origin.is_none_or(|origin| self.origins.iter().any(|named| named == origin))
    }

    /// Holds an org's wishes to what the server can keep.
    pub fn check(&self) -> Result<(), InvalidField> {
        if !(1..=Self::MAX_CONTENT_BYTES).contains(&self.max_content_bytes) {
            return Err(InvalidField::new("maxContentBytes", "must be 1 to 65536"));
        }
        if !(1..=3650).contains(&self.sync_days) {
            return Err(InvalidField::new("syncDays", "must be 1 to 3650"));
        }
        for (field, days) in [("reviewDays", self.review_days), ("auditDays", self.audit_days)] {
            if !(1..=3650).contains(&days) {
                return Err(InvalidField::new(field, "must be 1 to 3650"));
            }
        }
        if self.receipt_days > 365 {
            return Err(InvalidField::new("receiptDays", "must be 0 to 365; 0 makes none"));
        }
        if self.origins.len() > 100 {
            return Err(InvalidField::new("origins", "may be at most 100"));
        }
        for origin in &self.origins {
            let parsed = url::Url::parse(origin).map(|url| url.origin().ascii_serialization());
            if parsed.as_ref() != Ok(origin) {
                return Err(InvalidField::new(
                    "origins",
                    "must be of the form https://app.example, without a path",
                ));
            }
        }
        Ok(())
    }
}

/// Rates and counts that one person may use up, and one org by its plugins. `0` switches a
/// limit off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct OrgLimits {
    /// Sends and edits at once, and how many come back a second. Default 40 and 20.
    pub send_burst: u32,
    pub send_per_second: u32,
    /// Sends and edits in any 60 s. Default 200.
    pub send_per_minute: u32,
    /// Socket connects at once, and how many come back a minute. Default 5 and 10.
    pub connect_burst: u32,
    pub connect_per_minute: u32,
    /// Events of a socket other than sends, and how many come back a second. Default 100 and 50.
    pub event_burst: u32,
    pub event_per_second: u32,
    /// REST reads, and how many come back a second. Default 100 and 50.
    pub read_burst: u32,
    pub read_per_second: u32,
    /// Open sockets. Default 100.
    pub sockets_per_user: u32,
    /// People written to for the first time, a day. Default 50.
    pub new_peers_per_day: u32,
    /// Sends of one socket that wait for their answer. Default 64.
    pub pending_sends_per_socket: u32,
    /// Messages and edits that wait for a review: of one person, and of the org. Default 50
    /// and 10,000.
    pub held_per_user: u32,
    pub held_per_org: u32,
    /// Requests of all the org's plugins together: at once, and how many come back a second.
    /// Default 40 and 20.
    pub outgoing_burst: u32,
    pub outgoing_per_second: u32,
    /// Messages of all the org's plugins together, in any 60 s. Default 120.
    pub bot_per_minute: u32,
}

impl Default for OrgLimits {
    fn default() -> Self {
        Self {
            send_burst: 40,
            send_per_second: 20,
            send_per_minute: 200,
            connect_burst: 5,
            connect_per_minute: 10,
            event_burst: 100,
            event_per_second: 50,
            read_burst: 100,
            read_per_second: 50,
            sockets_per_user: 100,
            new_peers_per_day: 50,
            pending_sends_per_socket: 64,
            held_per_user: 50,
            held_per_org: 10_000,
            outgoing_burst: 40,
            outgoing_per_second: 20,
            bot_per_minute: 120,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_org_name_is_short_and_plain() {
        for good in ["my-org", "ORG-0", "a", "acme.eu_1"] {
            assert!(OrgSlug::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert_eq!(OrgSlug::parse(bad), Err(InvalidSlug), "{bad}");
        }
    }
}
