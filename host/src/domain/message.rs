use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{InvalidField, MessageId, ThreadId, UserId};

/// What a message carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    Text,
    Image,
    File,
    Audio,
    /// A type such as `acme.poll` that a plugin of the org owns.
    Namespaced(String),
}

impl ContentType {
    const MAX_BYTES: usize = 64;

    pub fn parse(text: &str) -> Result<Self, InvalidField> {
        Ok(match text {
            "text" => Self::Text,
            "image" => Self::Image,
            "file" => Self::File,
            "audio" => Self::Audio,
            other if is_namespaced(other) => Self::Namespaced(other.to_owned()),
            _ => {
                return Err(InvalidField::new(
                    "contentType",
                    "must be text, image, file, audio or a namespaced type such as acme.poll",
                ));
            }
        })
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::File => "file",
            Self::Audio => "audio",
            Self::Namespaced(name) => name,
        }
    }

    /// Whether a message of this type is nothing without an attachment.
    pub fn needs_attachment(&self) -> bool {
        matches!(self, Self::Image | Self::File | Self::Audio)
    }
}

fn is_namespaced(text: &str) -> bool {
    let word = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_lowercase())
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
    };
    text.len() <= ContentType::MAX_BYTES && text.contains('.') && text.split('.').all(word)
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    #[default]
    Sent,
    /// A review is pending; only the sender sees it, and it has no `seq`.
    Held,
    /// Refused after review.
    Refused,
}

impl MessageState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Held => "held",
            Self::Refused => "refused",
        }
    }

    /// From a row: the column's check constraint admits nothing else.
    pub(crate) fn stored(text: &str) -> Self {
        match text {
            "held" => Self::Held,
            "refused" => Self::Refused,
            _ => Self::Sent,
        }
    }
}

/// Small facts that the sender's app attaches; plugins see them too.
pub type Metadata = BTreeMap<String, String>;

/// A file that lies elsewhere. The server never fetches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub url: String,
    #[serde(rename = "type")]
    pub media_type: String,
    pub name: String,
    /// Bytes, as the sender says.
    pub size: u64,
}

/// What may change about a message: checked, not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    pub content: String,
    pub content_type: ContentType,
    pub attachments: Vec<Attachment>,
    pub metadata: Metadata,
    /// What lists show in the place of `content`: at most 200 characters, as the plugin that
    /// owns the content type has it.
    pub preview: Option<String>,
}

/// A message that has been checked but not stored.
#[derive(Clone, Debug)]
pub struct Draft {
    pub sender_id: UserId,
    pub recipient_id: UserId,
    pub body: Body,
    pub reply_to: Option<MessageId>,
    pub client_id: Option<ClientId>,
    /// SHA-256 of the parsed request; tells a retry from another request under its key.
    pub request_hash: [u8; 32],
}

impl Draft {
    pub fn thread_id(&self) -> ThreadId {
        ThreadId::of(self.sender_id, self.recipient_id)
    }
}

/// The sender's own id of a request, which makes a retry safe: 1 to 200 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ClientId(String);

impl ClientId {
    pub const MAX_BYTES: usize = 200;

    pub fn parse(text: String) -> Result<Self, InvalidField> {
        let valid =
            (1..=Self::MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        if valid {
            Ok(Self(text))
        } else {
            Err(InvalidField::new("clientId", "must be 1 to 200 bytes without control characters"))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A stored message.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: MessageId,
    pub thread_id: ThreadId,
    pub sender_id: UserId,
    pub recipient_id: UserId,
    pub client_id: Option<String>,
    pub body: Body,
    pub reply_to: Option<MessageId>,
    /// The place in the thread; `None` while held.
    pub seq: Option<i64>,
    pub state: MessageState,
    /// Sent as its sender sees it; for everybody else it does not exist.
    pub shadowed: bool,
    /// Why it was refused after a review.
    pub refused_reason: Option<String>,
    /// An edit that waits for a review; only its sender may know.
    pub pending_revision: Option<i32>,
    pub created_at: OffsetDateTime,
    pub edited_at: Option<OffsetDateTime>,
    pub deleted_at: Option<OffsetDateTime>,
    pub read_at: Option<OffsetDateTime>,
    pub hidden_for_sender: bool,
    pub hidden_for_recipient: bool,
}

impl Message {
    /// The one rule of who may know of a message; `visible` in the schema is its twin.
    pub fn visible_to(&self, reader: UserId) -> bool {
        (reader == self.sender_id && !self.hidden_for_sender)
            || (reader == self.recipient_id
                && !self.hidden_for_recipient
                && self.state == MessageState::Sent
                && !self.shadowed)
    }

    /// The other person, from one side's view.
    pub fn peer_of(&self, reader: UserId) -> UserId {
        if reader == self.sender_id { self.recipient_id } else { self.sender_id }
    }

    /// Deleted for everyone; it stays in history as a tombstone.
    pub fn is_tombstone(&self) -> bool {
        self.deleted_at.is_some()
    }
}

/// Whom a deletion concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeleteScope {
    Everyone,
    Me,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespaced_type_has_lower_case_words() {
        for good in ["acme.poll", "a.b.c", "acme-eu.poll_2"] {
            assert!(matches!(ContentType::parse(good), Ok(ContentType::Namespaced(_))), "{good}");
        }
        for bad in ["poll", "Acme.poll", ".poll", "acme.", "a..b", "", "text/plain"] {
            assert!(ContentType::parse(bad).is_err(), "{bad}");
        }
    }
}
