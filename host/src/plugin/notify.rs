//! The hook `on-notify`: plugins decide how a recipient is told of a message that is stored.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Fault, Hook, Hooks,
    answer::{invalid, parse_object, parse_text},
    bindings::{on_notify, types, unix_ms},
    call::{Called, Turn, within},
    compile::Compiled,
    hooks::{Installed, OrgPlugins},
    imports::{Reach, Serving},
    local_time::local_time,
    services::Asker,
    store::Callee,
};
use crate::domain::{
    Channels, Delivery, Message, Notified, Org, OrgId, Priority, UserProfile, Words,
};

/// What plugins are asked about one recipient of one message.
#[derive(Clone, Copy)]
pub struct OnNotify<'a> {
    pub org: &'a Arc<Org>,
    pub message: &'a Message,
    pub sender: &'a UserProfile,
    pub recipient: &'a UserProfile,
    pub standing: Standing,
    /// 1 for the first time, more where an answer got lost.
    pub attempt: u32,
    pub now: OffsetDateTime,
}

/// How it stands with a recipient.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// A socket of theirs is open on this server.
    pub online: bool,
    pub last_seen_at: Option<OffsetDateTime>,
    pub unread: u32,
}

/// What one plugin is asked.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) ask: &'a OnNotify<'a>,
    /// As the plugins before it left it.
    pub(super) words: &'a Words,
    pub(super) patience: Duration,
    /// `None`: a rehearsal.
    pub(super) serving: Option<Serving<'a>>,
}

/// What one plugin decided.
#[derive(Debug, PartialEq)]
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    channels: Option<Channels>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Deliver,
    Rewrite(Words),
    Suppress(String),
    Delay(OffsetDateTime),
}

/// How long after its message a notification may still go out.
const MOST_DELAY: Duration = Duration::from_hours(7 * 24);
const MAX_REASON_CHARS: usize = 200;
const MAX_TITLE_CHARS: usize = 200;
const MAX_BODY_CHARS: usize = 1000;

impl Hooks {
    /// How long an org's plugins may take over one notification.
    pub fn notify_patience(&self, org: OrgId) -> Duration {
        let plugins = self.plugins_of(org);
        let count = plugins.map_or(0, |plugins| plugins.at(Hook::OnNotify).count());
        self.host().0.limits.notify_timeout * u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Asks each plugin in order. Where one gives no answer, the recipient is told as the others
    /// say.
    pub async fn on_notify(&self, ask: &OnNotify<'_>) -> Notified {
        let mut notified = Notified::default();
        let Some(plugins) = self.plugins_of(ask.org.id) else { return notified };
        for plugin in plugins.at(Hook::OnNotify) {
            match self.notify((&plugins, plugin), ask, &notified.words).await.outcome {
                Ok(decision) => decision.apply(&mut notified),
                Err(fault) => {
                    let about = format!("message {}", ask.message.id);
                    plugin.note_fault(Hook::OnNotify.as_str(), fault.as_str(), &about);
                    notified.faulted = true;
                }
            }
            if matches!(notified.delivery, Delivery::Suppressed(_)) {
                break;
            }
        }
        notified
    }

    /// Asks the first plugin alone: the word for what it decides, and what comes of that.
    pub(super) async fn rehearse_notification(
        &self,
        ask: &OnNotify<'_>,
    ) -> Called<(&'static str, Notified)> {
        let plugins = self.plugins_of(ask.org.id);
        let first = plugins.as_ref().and_then(|all| Some((all, all.at(Hook::OnNotify).next()?)));
        let Some(first) = first else { return Called::never(Fault::Unloadable, Duration::ZERO) };
        let Called { outcome, took, memory_bytes, began, staged, run } =
            self.notify(first, ask, &Words::default()).await;
        let outcome = outcome.map(|decision| {
            let (word, mut notified) = (decision.verdict.as_str(), Notified::default());
            decision.apply(&mut notified);
            (word, notified)
        });
        Called { outcome, took, memory_bytes, began, staged, run }
    }

    /// `words`: as the plugins before it left them.
    async fn notify(
        &self,
        (plugins, plugin): (&OrgPlugins, &Installed),
        ask: &OnNotify<'_>,
        words: &Words,
    ) -> Called<Decision> {
        let patience = self.host().0.limits.notify_timeout;
        let asker = Asker { caller: ask.message.recipient_id, peer: ask.message.sender_id };
        let serving = self.services.as_ref().map(|services| Serving {
            services,
            org: ask.org,
            plugin: plugin.id,
            asker: Some(asker),
            granted: &plugin.granted_hosts,
            reach: Reach::Acting,
        });
        let question = Question { ask, words, patience, serving };
        let ends = Instant::now() + patience;
        let turn = Turn { host: self.host(), share: &plugins.share, ends };
        let asking = plugin.ask(Hook::OnNotify, asker.peer, async |compiled| {
            turn.on_notify(compiled, Arc::clone(&plugin.callee), question).await
        });
        let called = asking.await;
        plugin.count(Hook::OnNotify, &called, |decision| decision.verdict.as_str());
        called
    }
}

impl Turn<'_> {
    /// Asks about a notification. Each call has a fresh instance, dropped with its store.
    pub(super) async fn on_notify(
        &self,
        compiled: &Compiled,
        callee: Arc<Callee>,
        question: Question<'_>,
    ) -> Called<Decision> {
        let Some(hook) = &compiled.exports.on_notify else {
            return Called::never(Fault::Unloadable, Duration::ZERO);
        };
        let ask = question.ask;
        let mut entered =
            match self.enter(callee, ask.now, question.patience, question.serving).await {
                Ok(entered) => entered,
                Err(never) => return never,
            };
        let call = context(ask, entered.budget);
        let notification = notification(&question);
        let recipient = recipient(ask);
        let store = &mut entered.store;
        let asking = async {
            let instance = compiled.instances.instantiate_async(&mut *store).await?;
            let guest = hook.load(&mut *store, &instance)?;
            let answer = guest.call_on_notify(&mut *store, &call, &notification, &recipient);
            let answer = answer.await?;
            store.data_mut().note_declined(&answer);
            Ok(answer)
        };
        let outcome = within(entered.budget, asking).await;
        let sent_at = ask.message.created_at;
        entered.end(outcome.and_then(|answer| Decision::parse(answer, ask.now, sent_at)))
    }
}

impl Decision {
    fn parse(
        answer: Result<on_notify::Decision, types::Failure>,
        now: OffsetDateTime,
        sent_at: OffsetDateTime,
    ) -> Result<Self, Fault> {
        let decision = answer.map_err(|types::Failure::Declined(_)| Fault::Declined)?;
        let channels = decision.channels.map(|names| {
            Channels::parse(&names).ok_or_else(|| invalid("a channel must be `list` or `socket`"))
        });
        let verdict = match decision.verdict {
            on_notify::Verdict::Deliver => Verdict::Deliver,
            on_notify::Verdict::Rewrite(words) => Verdict::Rewrite(words.try_into()?),
            on_notify::Verdict::Suppress(reason) => {
                Verdict::Suppress(parse_text("suppress", reason, MAX_REASON_CHARS)?)
            }
            on_notify::Verdict::Delay(until_ms) => delay(until_ms, now, sent_at),
        };
        Ok(Self { verdict, channels: channels.transpose()? })
    }

    fn apply(self, notified: &mut Notified) {
        notified.channels = self.channels.or(notified.channels);
        match self.verdict {
            Verdict::Deliver => {}
            Verdict::Rewrite(words) => notified.words.replace(words),
            Verdict::Suppress(reason) => notified.delivery = Delivery::Suppressed(reason),
            Verdict::Delay(until) => notified.delay(until),
        }
    }
}

impl Verdict {
    /// The word for counters.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Deliver => "deliver",
            Self::Rewrite(_) => "rewrite",
            Self::Suppress(_) => "suppress",
            Self::Delay(_) => "delay",
        }
    }
}

/// What lies in the past is now, and what lies too far ahead is as late as can be.
fn delay(until_ms: u64, now: OffsetDateTime, sent_at: OffsetDateTime) -> Verdict {
    let until = i128::from(until_ms) * 1_000_000;
    let until = OffsetDateTime::from_unix_timestamp_nanos(until);
    let latest = sent_at + MOST_DELAY;
    let until = until.map_or(latest, |until| until.min(latest));
    if until > now { Verdict::Delay(until) } else { Verdict::Deliver }
}

impl TryFrom<on_notify::Words> for Words {
    type Error = Fault;

    fn try_from(words: on_notify::Words) -> Result<Self, Fault> {
        let title = words.title.map(|text| parse_text("title", text, MAX_TITLE_CHARS));
        let body = words.body.map(|text| parse_text("body", text, MAX_BODY_CHARS));
        let data = words.data.map(|text| parse_object("data", &text));
        Ok(Self {
            title: title.transpose()?,
            body: body.transpose()?,
            data: data.transpose()?,
            priority: words.priority.map(|priority| match priority {
                on_notify::Priority::Low => Priority::Low,
                on_notify::Priority::Normal => Priority::Normal,
                on_notify::Priority::High => Priority::High,
            }),
        })
    }
}

fn context(ask: &OnNotify<'_>, budget: Duration) -> types::Call {
    types::Call {
        org: ask.org.slug.as_str().to_owned(),
        id: Uuid::now_v7().to_string(),
        attempt: ask.attempt,
        now_ms: unix_ms(ask.now),
        budget_ms: u32::try_from(budget.as_millis()).unwrap_or(u32::MAX),
    }
}

fn notification(question: &Question<'_>) -> on_notify::Notification {
    let Question { ask, words, .. } = question;
    on_notify::Notification {
        message: types::Message::new(ask.message, ask.sender, ask.recipient),
        title: words.title.clone(),
        body: words.body.clone(),
        data: words.data.as_ref().map(Json::to_string),
        priority: match words.priority.unwrap_or_default() {
            Priority::Low => on_notify::Priority::Low,
            Priority::Normal => on_notify::Priority::Normal,
            Priority::High => on_notify::Priority::High,
        },
    }
}

fn recipient(ask: &OnNotify<'_>) -> on_notify::Recipient {
    let zoneinfo = ask.recipient.zoneinfo.clone();
    on_notify::Recipient {
        online: ask.standing.online,
        last_seen_ms: ask.standing.last_seen_at.map(unix_ms),
        unread: ask.standing.unread,
        local: zoneinfo.as_deref().and_then(|zone| local_time(zone, ask.now)),
        zoneinfo,
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const SENT_AT: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

    fn parse(verdict: on_notify::Verdict, channels: Option<&[&str]>) -> Result<Decision, Fault> {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let answer = on_notify::Decision { verdict, channels: channels.map(names) };
        Decision::parse(Ok(answer), SENT_AT + Duration::from_hours(1), SENT_AT)
    }

    fn rewrite(title: &str, data: &str) -> Result<Words, Fault> {
        let words = on_notify::Words {
            title: Some(title.to_owned()),
            body: Some("é".repeat(1001)),
            data: Some(data.to_owned()),
            priority: None,
        };
        words.try_into()
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let words = rewrite(&"é".repeat(201), "{}").unwrap();
        let suppressed = parse(on_notify::Verdict::Suppress("é".repeat(201)), None).unwrap();

        assert_eq!(words.title, Some("é".repeat(200)));
        assert_eq!(words.body, Some("é".repeat(1000)));
        assert_eq!(suppressed.verdict, Verdict::Suppress("é".repeat(200)));
    }

    #[test]
    fn no_text_holds_what_the_database_cannot() {
        assert!(rewrite("a\0b", "{}").is_err());
        assert!(parse(on_notify::Verdict::Suppress("\0".to_owned()), None).is_err());
        for bad in [r#"{"a":["\u0000"]}"#, r#"{"a":{"\u0000":1}}"#] {
            assert!(rewrite("", bad).is_err(), "{bad}");
        }
        assert!(rewrite("", r#"{"a":"\\u0000"}"#).is_ok());
    }

    #[test]
    fn data_is_a_small_json_object() {
        assert_eq!(rewrite("", r#"{"a":[1]}"#).unwrap().data.unwrap()["a"][0], 1);
        for bad in ["", "[]", "1", "{", &format!(r#"{{"a":"{}"}}"#, "x".repeat(4096))] {
            assert!(rewrite("", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_channel_that_is_not_known_is_no_answer() {
        let deliver = on_notify::Verdict::Deliver;
        assert!(matches!(parse(deliver, Some(&["list", "push"])), Err(Fault::InvalidAnswer(_))));

        let deliver = on_notify::Verdict::Deliver;
        let none = parse(deliver, Some(&[])).unwrap().channels;
        assert_eq!(none, Some(Channels::default()));
    }

    #[test]
    fn a_delay_is_ahead_and_within_seven_days_of_the_message() {
        let delayed = |until: OffsetDateTime| {
            parse(on_notify::Verdict::Delay(unix_ms(until)), None).unwrap().verdict
        };
        let latest = SENT_AT + MOST_DELAY;

        assert_eq!(delayed(SENT_AT), Verdict::Deliver);
        assert_eq!(delayed(SENT_AT + Duration::from_hours(1)), Verdict::Deliver);
        let later = SENT_AT + Duration::from_hours(2);
        assert_eq!(delayed(later), Verdict::Delay(later));
        assert_eq!(delayed(latest + Duration::from_hours(1)), Verdict::Delay(latest));
        let for_ever = parse(on_notify::Verdict::Delay(u64::MAX), None).unwrap().verdict;
        assert_eq!(for_ever, Verdict::Delay(latest));
    }
}
