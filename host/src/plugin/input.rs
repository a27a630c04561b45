//! What a guest is asked, in a form that can be kept and asked again. The fields of each type stand
//! in the order of their names: receipts hash the JSON text, and say that its keys are sorted.

use serde::{Deserialize, Serialize, Serializer};

use super::bindings::types;
use crate::domain::{Attachment, Body, ContentType, InvalidField, Metadata};

/// The arguments of one call.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Input {
    pub(super) body: BodyInput,
    pub(super) context: Context,
    /// The stored body, where this is an edit.
    pub(super) previous: Option<BodyInput>,
    pub(super) reply_to: Option<String>,
    /// `None`: only the body is to be judged.
    pub(super) to: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Context {
    attempt: u32,
    budget_ms: u32,
    call_id: String,
    caller: Caller,
    door: Door,
    pub(super) now_ms: u64,
    pub(super) org: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Caller {
    admin: bool,
    email: String,
    first_seen_ms: Option<u64>,
    kind: Kind,
    messages_24h: u32,
    roles: Vec<String>,
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
    #[serde(serialize_with = "sorted")]
    attachments: Vec<Attachment>,
    content: String,
    content_type: String,
    metadata: Metadata,
}

/// Clients get the fields of an attachment in another order.
fn sorted<S: Serializer>(attachments: &[Attachment], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Sorted<'a> {
        name: &'a str,
        size: u64,
        r#type: &'a str,
        url: &'a str,
    }
    serializer.collect_seq(attachments.iter().map(|Attachment { url, media_type, name, size }| {
        Sorted { name, size: *size, r#type: media_type, url }
    }))
}

impl Input {
    /// The context, the draft, and where this is an edit the stored body.
    pub(super) fn into_arguments(self) -> (types::Context, types::Draft, Option<types::Body>) {
        let Self { body, context, previous, reply_to, to } = self;
        let draft = types::Draft { to: to.unwrap_or_default(), reply_to, body: body.into() };
        (context.into(), draft, previous.map(Into::into))
    }
}

impl From<types::Context> for Context {
    fn from(context: types::Context) -> Self {
        let types::Context { org, call_id, caller, door, attempt, now_ms, budget_ms } = context;
        Self {
            org,
            call_id,
            caller: Caller {
                email: caller.email,
                kind: match caller.kind {
                    types::Kind::Customer => Kind::Customer,
                    types::Kind::Staff => Kind::Staff,
                },
                admin: caller.admin,
                roles: caller.roles,
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
            attempt,
            now_ms,
            budget_ms,
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

impl From<BodyInput> for types::Body {
    fn from(body: BodyInput) -> Self {
        let BodyInput { attachments, content, content_type, metadata } = body;
        Self {
            content,
            content_type,
            attachments: attachments.iter().map(Into::into).collect(),
            metadata: metadata.into_iter().collect(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_its_text_are_sorted() {
        let file = Attachment {
            url: "https://files.example/1".to_owned(),
            media_type: "text/plain".to_owned(),
            name: "a.txt".to_owned(),
            size: 1,
        };
        let body = || BodyInput {
            attachments: vec![file.clone()],
            content: "hello".to_owned(),
            content_type: "text".to_owned(),
            metadata: [("b".to_owned(), "1".to_owned()), ("a".to_owned(), "2".to_owned())].into(),
        };
        let caller = Caller {
            admin: false,
            email: "alice@a.example".to_owned(),
            first_seen_ms: Some(1),
            kind: Kind::Staff,
            messages_24h: 2,
            roles: vec!["agent".to_owned()],
        };
        let context = Context {
            attempt: 1,
            budget_ms: 100,
            call_id: "1".to_owned(),
            caller,
            door: Door::Rest,
            now_ms: 3,
            org: "acme".to_owned(),
        };
        let (previous, reply_to, to) =
            (Some(body()), Some("2".to_owned()), Some("bob@b.example".to_owned()));
        let input = Input { body: body(), context, previous, reply_to, to };

        let sorted = serde_json::to_value(&input).unwrap().to_string();

        assert_eq!(serde_json::to_string(&input).unwrap(), sorted);
        assert!(sorted.starts_with(r#"{"body":{"attachments":[{"name":"#), "{sorted}");
    }
}
