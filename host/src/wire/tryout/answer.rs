use std::{collections::BTreeMap, fmt::Write};

use serde::Serialize;
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use crate::{
    domain::{BotDraft, Channels, Delivery, Label, OnExpiry, Outcome, Priority, Step},
    service::{ImportCount, LogPage, Tried},
    wire::{BodyView, Expectation},
};

/// What a plugin made of something made up.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TriedView {
    pub(super) verdict: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fault: Option<String>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Of a rejection, as its sender would read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) details: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) retry_after_ms: Option<u32>,
    /// Of a hold, of a notification that goes to nobody, or of a configuration that is not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// Of a notification: what the plugin has it say, where it goes if not everywhere, and until
    /// when it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<Priority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channels: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_expiry: Option<OnExpiry>,
    pub(super) labels: Vec<Label>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) explanation: Option<String>,
    /// The fields that the plugin changed.
    changed: Vec<String>,
    /// The draft as the plugin left it.
    #[serde(skip_serializing_if = "Option::is_none")]
    draft: Option<BodyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<String>,
    /// Each call of the plugin.
    steps: Vec<Step>,
    micros: u64,
    memory_bytes: u64,
    /// What it wanted to send as the org's bot.
    sent: Vec<SentView>,
    /// What its store holds afterwards.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    kv: BTreeMap<String, String>,
    log: LogPage,
    /// How what it asked of the server was answered.
    imports: Vec<ImportCount>,
    /// What is not as it was expected, where something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    misses: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct SentView {
    to: String,
    #[serde(flatten)]
    body: BodyView,
}

impl From<&Tried> for TriedView {
    fn from(tried: &Tried) -> Self {
        let judgement = tried.judgement.as_ref();
        let outcome = judgement.map(|judgement| &judgement.outcome);
        let rejection = match outcome {
            Some(Outcome::Reject(rejection)) => Some(rejection),
            _ => None,
        };
        let hold = match outcome {
            Some(Outcome::Hold(hold)) => Some(hold),
            _ => None,
        };
        let steps = judgement.map(|judgement| judgement.steps.clone()).unwrap_or_default();
        let mut changed: Vec<String> =
            steps.iter().flat_map(|step| step.changed.iter().cloned()).collect();
        changed.sort_unstable();
        changed.dedup();
        let word = judgement.and_then(|judgement| judgement.word());
        let notified = tried.notified.clone().unwrap_or_default();
        let (suppressed, until) = match notified.delivery {
            Delivery::Now => (None, None),
            Delivery::Suppressed(reason) => (Some(reason), None),
            Delivery::Later(until) => (None, Some(until)),
        };
        Self {
            verdict: tried.verdict.clone(),
            fault: tried.fault.clone(),
            why: tried.why.clone(),
            code: rejection.map(|rejection| rejection.reason.clone()),
            user_message: rejection.and_then(|rejection| rejection.user_message.clone()),
            details: rejection.and_then(|rejection| rejection.details.clone()),
            retry_after_ms: rejection.and_then(|rejection| rejection.retry_after_ms),
            reason: hold.map(|hold| hold.reason.clone()).or(suppressed).or(tried.refusal.clone()),
            title: notified.words.title,
            body: notified.words.body,
            data: notified.words.data,
            priority: notified.words.priority,
            channels: notified.channels.map(Channels::names),
            until_ms: until.map(unix_ms),
            ttl_seconds: hold.and_then(|hold| hold.ttl).map(|ttl| ttl.as_secs()),
            on_expiry: hold.map(|hold| hold.on_expiry),
            labels: judgement.map(|judgement| judgement.labels.clone()).unwrap_or_default(),
            explanation: word.and_then(|word| word.explanation.clone()),
            changed,
            draft: judgement.map(|judgement| BodyView::from(&judgement.body)),
            preview: judgement.and_then(|judgement| judgement.body.preview.clone()),
            steps,
            micros: tried.micros,
            memory_bytes: tried.memory_bytes,
            sent: tried.sent.iter().map(SentView::from).collect(),
            kv: tried.kv.clone(),
            log: tried.log.clone(),
            imports: tried.imports.clone(),
            misses: None,
        }
    }
}

impl TriedView {
    pub fn new(tried: &Tried, expected: Option<&Expectation>) -> Self {
        let misses = expected.map(|expected| expected.misses(tried));
        Self { misses, ..Self::from(tried) }
    }

    /// The path and the message of each thing that is wrong with a content.
    pub(super) fn violations(&self) -> impl Iterator<Item = (&str, &str)> {
        let details = self.details.as_ref().filter(|_| self.verdict == "invalid");
        let list = details.and_then(|details| details["violations"].as_array());
        let violations = list.map_or(&[][..], Vec::as_slice).iter();
        violations.filter_map(|it| Some((it["path"].as_str()?, it["message"].as_str()?)))
    }

    /// For people: `: pass, 31 µs, 1114112 bytes`, and a line for each thing more.
    pub fn summary(&self) -> String {
        let mut shown = format!(": {}", self.verdict);
        for word in [&self.fault, &self.code, &self.reason].into_iter().flatten() {
            let _ = write!(shown, " ({word})");
        }
        let _ = write!(shown, ", {} µs, {} bytes", self.micros, self.memory_bytes);
        if let Some(why) = &self.why {
            let _ = write!(shown, "\n     why: {why}");
        }
        for (path, message) in self.violations() {
            let _ = write!(shown, "\n     violation: {path:?} {message:?}");
        }
        let texts = [
            ("user message", &self.user_message),
            ("explanation", &self.explanation),
            ("title", &self.title),
            ("body", &self.body),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                let _ = write!(shown, "\n     {name}: {text:?}");
            }
        }
        if let Some(priority) = self.priority {
            let _ = write!(shown, "\n     priority: {}", json!(priority));
        }
        if let Some(channels) = &self.channels {
            let _ = write!(shown, "\n     channels: [{}]", channels.join(", "));
        }
        if let Some(until_ms) = self.until_ms {
            let _ = write!(shown, "\n     until: {until_ms} (milliseconds since 1970)");
        }
        if !self.changed.is_empty() {
            let _ = write!(shown, "\n     changed: {}", self.changed.join(", "));
        }
        for label in &self.labels {
            let _ = write!(shown, "\n     label: {}", label.name);
        }
        for line in &self.log.lines {
            let _ = write!(shown, "\n     log: {} {:?}", line.level, line.text);
        }
        for ImportCount { import, answered, count } in &self.imports {
            let _ = write!(shown, "\n     {import}: {count} answered {}", answered.as_str());
        }
        shown
    }
}

impl From<&BotDraft> for SentView {
    fn from(draft: &BotDraft) -> Self {
        Self { to: draft.to.as_str().to_owned(), body: BodyView::from(&draft.body) }
    }
}

fn unix_ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
