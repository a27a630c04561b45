use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use time::OffsetDateTime;

use super::{
    Attachment, Body, Decision, EntryId, HoldCause, MessageId, Metadata, OnExpiry, ThreadId, UserId,
};

/// Who did something that the audit log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Actor {
    User(UserId),
    /// Whoever runs the server: by the command line or by `/admin/orgs`.
    #[default]
    Operator,
    /// The server by itself.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::Operator => f.write_str("operator"),
            Self::System => f.write_str("system"),
        }
    }
}

/// How far a hold has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldState {
    /// Nobody has decided yet.
    #[default]
    Pending,
    Released,
    Refused,
    /// Its sender deleted the message.
    Withdrawn,
    /// A later edit took its place.
    Superseded,
}

impl HoldState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Released => "released",
            Self::Refused => "refused",
            Self::Withdrawn => "withdrawn",
            Self::Superseded => "superseded",
        }
    }

    /// From a row: the column's check constraint admits nothing else.
    pub(crate) fn stored(text: &str) -> Self {
        match text {
            "released" => Self::Released,
            "refused" => Self::Refused,
            "withdrawn" => Self::Withdrawn,
            "superseded" => Self::Superseded,
            _ => Self::Pending,
        }
    }
}

/// What an edit that waits would put in a message's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingBody {
    pub content: String,
    pub attachments: Vec<Attachment>,
    pub metadata: Metadata,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
}

impl PendingBody {
    pub fn of(body: &Body) -> Self {
        Self {
            content: body.content.clone(),
            attachments: body.attachments.clone(),
            metadata: body.metadata.clone(),
            preview: body.preview.clone(),
        }
    }

    /// The body of a message in which this takes the place of what stands.
    pub fn over(self, standing: &Body) -> Body {
        Body {
            content: self.content,
            content_type: standing.content_type.clone(),
            attachments: self.attachments,
            metadata: self.metadata,
            preview: self.preview,
        }
    }
}

/// A message, or an edit of one, that waits or has waited for a review.
#[derive(Clone, Debug)]
pub struct Held {
    pub id: EntryId,
    pub message_id: MessageId,
    /// 0 is the message as it was sent, n its n-th edit that was held.
    pub revision: i32,
    /// An edit of a message that stands; else the message itself waits.
    pub is_edit: bool,
    pub thread_id: ThreadId,
    pub sender_id: UserId,
    pub cause: HoldCause,
    pub plugin: String,
    pub version: String,
    pub reason: String,
    pub shadow: bool,
    /// What a pending edit wants; `None` where the message itself waits.
    pub body: Option<PendingBody>,
    pub decision: Option<Decision>,
    /// What it takes to ask the plugins again.
    pub asked: Json,
    pub expires_at: Option<OffsetDateTime>,
    pub on_expiry: OnExpiry,
    /// How often the plugins have been asked.
    pub attempts: i32,
    /// When they are asked again, at the earliest; `None`: they are not.
    pub ask_at: Option<OffsetDateTime>,
    pub state: HoldState,
    pub decided_at: Option<OffsetDateTime>,
    /// `None`: time, or plugins that were asked again.
    pub decided_by: Option<UserId>,
    pub note: Option<String>,
    pub created_at: OffsetDateTime,
}
