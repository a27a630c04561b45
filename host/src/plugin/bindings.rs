//! Generated from `wit/`. Nothing here is written by hand but conversions into its types.

use time::OffsetDateTime;

use crate::domain;

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    imports: {
        "duologue:plugin/history": async | trappable,
        "duologue:plugin/kv": async | trappable,
        "duologue:plugin/http": async | trappable,
        "duologue:plugin/secrets": async | trappable,
        "duologue:plugin/directory": async | trappable,
        "duologue:plugin/messages": async | trappable,
    },
    with: { "duologue:plugin/secrets.secret": super::imports::OpenSecret },
    exports: { default: async },
});

pub(super) use self::duologue::plugin::{
    config, directory, history, http, kv, log, messages, secrets, types,
};
pub(super) use self::exports::duologue::plugin::{
    before_send, lifecycle, on_event, on_notify, validate_content,
};

impl From<&domain::Body> for types::Body {
    fn from(body: &domain::Body) -> Self {
        let metadata = body.metadata.iter();
        Self {
            content: body.content.clone(),
            content_type: body.content_type.as_str().to_owned(),
            attachments: body.attachments.iter().map(Into::into).collect(),
            metadata: metadata.map(|(key, value)| (key.clone(), value.clone())).collect(),
        }
    }
}

impl From<&domain::Attachment> for types::Attachment {
    fn from(attachment: &domain::Attachment) -> Self {
        Self {
            url: attachment.url.clone(),
            media_type: attachment.media_type.clone(),
            name: attachment.name.clone(),
            size: attachment.size,
        }
    }
}

impl From<domain::Kind> for types::Kind {
    fn from(kind: domain::Kind) -> Self {
        match kind {
            domain::Kind::Customer => Self::Customer,
            domain::Kind::Staff => Self::Staff,
        }
    }
}

impl From<&domain::UserProfile> for types::Person {
    fn from(person: &domain::UserProfile) -> Self {
        Self {
            email: person.email.as_str().to_owned(),
            kind: person.kind.into(),
            name: person.name.clone(),
        }
    }
}

impl types::Message {
    pub(super) fn new(
        message: &domain::Message,
        sender: impl Into<types::Person>,
        recipient: impl Into<types::Person>,
    ) -> Self {
        Self {
            id: message.id.to_string(),
            sender: sender.into(),
            recipient: recipient.into(),
            body: (&message.body).into(),
            reply_to: message.reply_to.map(|id| id.to_string()),
            seq: message.seq.and_then(|seq| seq.try_into().ok()),
            created_at_ms: unix_ms(message.created_at),
        }
    }
}

impl types::Caller {
    pub(super) fn new(caller: &domain::Caller, messages_24h: u32) -> Self {
        let first_seen = caller.user.first_seen_at;
        Self {
            email: caller.user.email.as_str().to_owned(),
            kind: caller.kind.into(),
            admin: caller.admin,
            roles: caller.roles.to_vec(),
            first_seen_ms: first_seen.map(unix_ms),
            messages_24h,
        }
    }
}

/// Milliseconds since 1970 UTC; 0 for what was before.
pub(super) fn unix_ms(time: OffsetDateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
