use serde::{Deserialize, Serialize};

use super::{Attachment, Body, BodyLimits, InvalidField, Metadata};

/// What a plugin wants replaced in a draft. Who writes to whom cannot be said here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub content: Option<String>,
    pub attachments: Option<Vec<Attachment>>,
    /// Each key is set, or removed where the value is `None`.
    pub metadata: Vec<(String, Option<String>)>,
}

impl Patch {
    /// The body with the patch applied, held to the same rules as a client's.
    pub fn apply(self, body: &Body, limits: &BodyLimits) -> Result<Body, InvalidField> {
        let mut metadata: Metadata = body.metadata.clone();
        for (key, value) in self.metadata {
            match value {
                Some(value) => metadata.insert(key, value),
                None => metadata.remove(&key),
            };
        }
        let patched = Body {
            content: self.content.unwrap_or_else(|| body.content.clone()),
            content_type: body.content_type.clone(),
            attachments: self.attachments.unwrap_or_else(|| body.attachments.clone()),
            metadata,
        };
        patched.check(limits)?;
        Ok(patched)
    }
}

/// A plugin's refusal, as its sender may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A stable word of the plugin's: 1 to 64 characters of `a-z 0-9 _ . -`.
    pub reason: String,
    /// For the sender's eyes: at most 500 characters.
    pub user_message: Option<String>,
    /// A JSON object of at most 4 KiB.
    pub details: Option<serde_json::Value>,
    pub retry_after_ms: Option<u32>,
}

/// What a message meets where a plugin gives no usable answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// Carry on as if the plugin were not there.
    Allow,
    /// Refuse the message; the sender may retry.
    #[default]
    Reject,
}
