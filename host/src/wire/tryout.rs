//! Something made up that a plugin is asked about: a test that an admin sends, or a fixture file
//! of `duologue plugin test`.

mod answer;
mod event;
mod expectation;
mod notice;

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;
use time::OffsetDateTime;

pub use answer::TriedView;
use event::MadeUpEvent;
pub use expectation::Expectation;
use notice::MadeUpNotification;

use super::request::RawAttachment;
use crate::{
    Result,
    domain::{
        Body, BodyLimits, Caller, ContentType, Email, InvalidField, Kind, MessageId, Metadata,
        User, UserId,
    },
    service::{Act, Door, Hook, LaidOut, MadeUpSend, PluginConfig, Scenario},
};

/// Whom a made-up message is to, where it does not say.
const PEER: &str = "peer@example.com";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TryRequest {
    /// SHA-256 in hex; the newest upload where it is left out. Not in a fixture file.
    pub version: Option<String>,
    /// In place of the plugin's own.
    pub config: Option<PluginConfig>,
    /// Left out: all that a new message meets.
    hook: Option<String>,
    #[serde(default)]
    context: Context,
    #[serde(alias = "body")]
    draft: Option<MadeUpDraft>,
    /// What the message was, where this is an edit.
    previous: Option<MadeUpDraft>,
    event: Option<MadeUpEvent>,
    notification: Option<MadeUpNotification>,
    #[serde(default)]
    laid_out: LaidOut,
    /// What the plugin is to make of it.
    expect: Option<Expectation>,
}

/// Whose doing it is, and when; what is left out is as for the admin who asks.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Context {
    caller: MadeUpCaller,
    door: DoorName,
    attempt: Option<u32>,
    now_ms: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct MadeUpCaller {
    email: Option<String>,
    kind: Option<Kind>,
    admin: Option<bool>,
    roles: Option<Vec<String>>,
    first_seen_ms: Option<u64>,
    messages_24h: u32,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DoorName {
    #[default]
    Rest,
    Socket,
    Plugin,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MadeUpDraft {
    to: Option<String>,
    #[serde(default)]
    content: WrittenContent,
    content_type: Option<String>,
    #[serde(default)]
    attachments: Vec<RawAttachment>,
    #[serde(default)]
    metadata: Metadata,
    reply_to: Option<MessageId>,
}

/// A content, or the JSON that it is the text of.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "must be a text, or a JSON object or array that stands for its text")]
enum WrittenContent {
    Text(String),
    Object(serde_json::Map<String, Json>),
    Array(Vec<Json>),
}

impl Default for WrittenContent {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl WrittenContent {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            json => json.to_json().to_string(),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Object(fields) => Json::Object(fields.clone()),
            Self::Array(items) => Json::Array(items.clone()),
        }
    }
}

/// What a fixture calls the word of a plugin on its configuration. It is no [`Hook`]: it decides
/// about nothing.
const LIFECYCLE: &str = "lifecycle";

impl TryRequest {
    /// What is to be asked, and what is to come of it. `admin`: who asks.
    pub fn into_scenario(self, admin: &Caller) -> Result<(Scenario, Option<Expectation>)> {
        let is_check = self.hook.as_deref() == Some(LIFECYCLE);
        let hook = self.hook.as_deref().filter(|_| !is_check).map(parse_hook).transpose()?;
        let Context { caller: made_up, door, attempt, now_ms } = self.context;
        let messages_24h = made_up.messages_24h;
        let caller = made_up.over(admin)?;
        let attempt = attempt.unwrap_or(1);
        let now = now_ms.map_or_else(|| Ok(OffsetDateTime::now_utc()), |ms| time("nowMs", ms))?;
        let given = (self.draft, self.event, self.notification);
        let act = match Subject::of((hook, is_check), given)? {
            Subject::Config => Act::Configures,
            Subject::Event(event) => {
                Act::Happens { attempt, what: Box::new(event.parse(&caller)?) }
            }
            Subject::Notification(notification) => {
                Act::Notifies { attempt, notice: Box::new(notification.parse(&caller, now)?) }
            }
            Subject::Draft(draft) => {
                let limits = BodyLimits::from(&caller.org.settings);
                let to = parse_email("to", draft.to.as_deref().unwrap_or(PEER))?;
                let reply_to = draft.reply_to;
                let previous = self.previous.map(|previous| previous.parse(&limits)).transpose()?;
                Act::Send(Box::new(MadeUpSend {
                    hook,
                    to: user(to),
                    body: draft.parse(&limits)?,
                    reply_to,
                    previous,
                    door: door.into(),
                    attempt,
                    messages_24h,
                }))
            }
        };
        Ok((Scenario { caller, now, act, laid_out: self.laid_out }, self.expect))
    }
}

/// What a plugin is asked about.
enum Subject {
    Draft(MadeUpDraft),
    Event(MadeUpEvent),
    Notification(MadeUpNotification),
    /// That of the plugin.
    Config,
}

impl Subject {
    /// The one that is there, if it is for that hook.
    fn of(
        (hook, is_check): (Option<Hook>, bool),
        given: (Option<MadeUpDraft>, Option<MadeUpEvent>, Option<MadeUpNotification>),
    ) -> Result<Self, InvalidField> {
        let subject = match given {
            (Some(draft), None, None) => Self::Draft(draft),
            (None, Some(event), None) => Self::Event(event),
            (None, None, Some(notification)) => Self::Notification(notification),
            (None, None, None) if is_check => Self::Config,
            (None, None, None) => {
                let what = "is missing: the message to ask about, an `event` or a `notification`";
                return Err(InvalidField::new("draft", what));
            }
            _ => {
                let what = "goes without `event` and `notification`, and they without each other";
                return Err(InvalidField::new("draft", what));
            }
        };
        let (name, is_fit) = match &subject {
            Self::Config => ("config", true),
            _ if is_check => ("draft", false),
            Self::Draft(_) => ("draft", !matches!(hook, Some(Hook::OnEvent | Hook::OnNotify))),
            Self::Event(_) => ("event", matches!(hook, None | Some(Hook::OnEvent))),
            Self::Notification(_) => ("notification", matches!(hook, None | Some(Hook::OnNotify))),
        };
        let unfit = || InvalidField::new(name, "is not what this hook is asked about");
        is_fit.then_some(subject).ok_or_else(unfit)
    }
}

fn parse_hook(name: &str) -> Result<Hook, InvalidField> {
    let what = "must be before-send, validate-content, on-event, on-notify or lifecycle";
    Hook::parse(name).ok_or_else(|| InvalidField::new("hook", what))
}

fn parse_email(field: &str, text: &str) -> Result<Email, InvalidField> {
    Email::parse(text).map_err(|invalid| InvalidField::new(field, invalid.to_string()))
}

fn time(field: &str, unix_ms: u64) -> Result<OffsetDateTime, InvalidField> {
    let nanos = i128::from(unix_ms) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .map_err(|_| InvalidField::new(field, "must be milliseconds since 1970, before 10000"))
}

fn user(email: Email) -> User {
    let (name, picture, first_seen_at) = (None, None, None);
    User { id: UserId::new(), email, name, picture, first_seen_at, last_seen_at: None }
}

impl MadeUpCaller {
    fn over(self, admin: &Caller) -> Result<Caller> {
        let mut caller = admin.clone();
        if let Some(email) = &self.email {
            caller.user = Arc::new(user(parse_email("context.caller.email", email)?));
        }
        if let Some(ms) = self.first_seen_ms {
            let first_seen_at = Some(time("context.caller.firstSeenMs", ms)?);
            caller.user = Arc::new(User { first_seen_at, ..(*caller.user).clone() });
        }
        caller.kind = self.kind.unwrap_or(caller.kind);
        caller.admin = self.admin.unwrap_or(caller.admin);
        caller.roles = self.roles.map_or(caller.roles, Into::into);
        Ok(caller)
    }
}

impl MadeUpDraft {
    fn parse(self, limits: &BodyLimits) -> Result<Body, InvalidField> {
        let content_type = self.content_type.as_deref().map(ContentType::parse).transpose()?;
        let body = Body {
            content: self.content.into_text(),
            content_type: content_type.unwrap_or(ContentType::Text),
            attachments: self.attachments.into_iter().map(Into::into).collect(),
            metadata: self.metadata,
            preview: None,
        };
        body.check(limits)?;
        Ok(body)
    }
}

impl From<DoorName> for Door {
    fn from(door: DoorName) -> Self {
        match door {
            DoorName::Rest => Self::Rest,
            DoorName::Socket => Self::Socket,
            DoorName::Plugin => Self::Plugin,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: Json) -> Result<TryRequest, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn the_templates_fixtures_can_be_read() {
        for text in [
            include_str!("../../../plugins/templates/fixtures/passes.json"),
            include_str!("../../../plugins/templates/fixtures/refuses.json"),
        ] {
            let request: TryRequest = serde_json::from_str(text).unwrap();

            assert_eq!(request.hook.as_deref(), Some("before-send"));
            assert!(request.expect.is_some());
        }
    }

    #[test]
    fn a_subject_that_its_hook_is_not_asked_about_is_refused() {
        let hook = |name| Some(Hook::parse(name).unwrap());
        let event = || serde_json::from_value(json!({ "kind": "sent", "message": { "body": {} } }));
        let notification = || serde_json::from_value(json!({ "message": { "body": {} } }));
        let draft = || serde_json::from_value(json!({})).ok();

        assert!(Subject::of((hook("on-notify"), false), (None, None, notification().ok())).is_ok());
        assert!(Subject::of((None, false), (None, event().ok(), None)).is_ok());
        for (hook, given) in [
            (hook("before-send"), (None, None, notification().ok())),
            (hook("on-notify"), (None, event().ok(), None)),
            (hook("on-event"), (draft(), None, None)),
            (None, (draft(), event().ok(), None)),
            (None, (None, None, None)),
        ] {
            assert!(Subject::of((hook, false), given).is_err());
        }
        assert!(matches!(Subject::of((None, true), (None, None, None)), Ok(Subject::Config)));
        assert!(Subject::of((None, true), (draft(), None, None)).is_err());
    }

    #[test]
    fn content_may_be_written_as_the_json_that_it_is() {
        let text = |content: Json| {
            let request = parse(json!({ "draft": { "content": content } })).unwrap();
            request.draft.unwrap().content.into_text()
        };

        assert_eq!(text(json!("[1]")), "[1]");
        assert_eq!(text(json!({ "a": [1, "b"] })), r#"{"a":[1,"b"]}"#);
        assert_eq!(text(json!([])), "[]");
        let refused = parse(json!({ "draft": { "content": 1 } })).unwrap_err();
        assert!(refused.to_string().contains("must be a text"), "{refused}");
    }

    #[test]
    fn a_word_that_means_nothing_is_named() {
        let misspelt = parse(json!({ "draft": { "contents": "hello" } }));

        assert!(misspelt.unwrap_err().to_string().contains("contents"));
    }
}
