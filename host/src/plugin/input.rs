//! What a guest is asked, in a form that can be kept and asked again.

use serde::{Deserialize, Serialize};

use super::bindings::types;
use crate::domain::{Attachment, Body, ContentType, InvalidField, Metadata};

/// The arguments of one call.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    pub(super) context: Context,
    /// `None`: only the body is to be judged.
    pub(super) to: Option<String>,
    pub(super) reply_to: Option<String>,
    pub(super) body: BodyInput,
    /// The stored body, where this is an edit.
    pub(super) previous: Option<BodyInput>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Context {
    pub(super) org: String,
    call_id: String,
    caller: Caller,
    door: Door,
    attempt: u32,
    pub(super) now_ms: u64,
    budget_ms: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Caller {
    email: String,
    kind: Kind,
    admin: bool,
    roles: Vec<String>,
    first_seen_ms: Option<u64>,
    messages_24h: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Customer,
    Staff,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Door {
    Rest,
    Socket,
    Plugin,
    Scheduled,
    Imported,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BodyInput {
    content: String,
    content_type: String,
    attachments: Vec<Attachment>,
    metadata: Metadata,
}

impl Input {
    pub(super) fn draft(&self) -> types::Draft {
        types::Draft {
            to: self.to.clone().unwrap_or_default(),
            reply_to: self.reply_to.clone(),
            body: (&self.body).into(),
        }
    }
}

impl From<&types::Context> for Context {
    fn from(context: &types::Context) -> Self {
        let types::Context { org, call_id, caller, door, attempt, now_ms, budget_ms } = context;
        Self {
            org: org.clone(),
            call_id: call_id.clone(),
            caller: Caller {
                email: caller.email.clone(),
                kind: match caller.kind {
                    types::Kind::Customer => Kind::Customer,
                    types::Kind::Staff => Kind::Staff,
                },
                admin: caller.admin,
                roles: caller.roles.clone(),
                first_seen_ms: caller.first_seen_ms,
                messages_24h: caller.messages_24h,
            },
            door: match door {
                types::Door::Rest => Door::Rest,
                types::Door::Socket => Door::Socket,
                types::Door::Plugin => Door::Plugin,
                types::Door::Scheduled => Door::Scheduled,
                types::Door::Imported => Door::Imported,
            },
            attempt: *attempt,
            now_ms: *now_ms,
            budget_ms: *budget_ms,
        }
    }
}

impl From<Context> for types::Context {
    fn from(context: Context) -> Self {
        let Context { org, call_id, caller, door, attempt, now_ms, budget_ms } = context;
        Self {
            org,
            call_id,
            caller: types::Caller {
                email: caller.email,
                kind: match caller.kind {
                    Kind::Customer => types::Kind::Customer,
                    Kind::Staff => types::Kind::Staff,
                },
                admin: caller.admin,
                roles: caller.roles,
                first_seen_ms: caller.first_seen_ms,
                messages_24h: caller.messages_24h,
            },
            door: match door {
                Door::Rest => types::Door::Rest,
                Door::Socket => types::Door::Socket,
                Door::Plugin => types::Door::Plugin,
                Door::Scheduled => types::Door::Scheduled,
                Door::Imported => types::Door::Imported,
            },
            attempt,
            now_ms,
            budget_ms,
        }
    }
}

impl From<&Body> for BodyInput {
    fn from(body: &Body) -> Self {
        Self {
            content: body.content.clone(),
            content_type: body.content_type.as_str().to_owned(),
            attachments: body.attachments.clone(),
            metadata: body.metadata.clone(),
        }
    }
}

impl From<&BodyInput> for types::Body {
    fn from(body: &BodyInput) -> Self {
        let metadata = body.metadata.iter();
        Self {
            content: body.content.clone(),
            content_type: body.content_type.clone(),
            attachments: body.attachments.iter().map(Into::into).collect(),
            metadata: metadata.map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }
}

impl TryFrom<&BodyInput> for Body {
    type Error = InvalidField;

    fn try_from(body: &BodyInput) -> Result<Self, InvalidField> {
        Ok(Self {
            content: body.content.clone(),
            content_type: ContentType::parse(&body.content_type)?,
            attachments: body.attachments.clone(),
            metadata: body.metadata.clone(),
            preview: None,
        })
    }
}
