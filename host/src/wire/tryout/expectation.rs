use std::{collections::BTreeMap, fmt::Debug};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{TriedView, WrittenContent};
use crate::{domain::Metadata, service::Tried};

/// Whatever is named must be so.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    verdict: Option<String>,
    fault: Option<String>,
    /// Of a rejection.
    code: Option<String>,
    user_message: Option<String>,
    retry_after_ms: Option<u32>,
    /// As its sender reads them.
    details: Option<Json>,
    /// The paths of what is wrong with a content, in their order.
    violations: Option<Vec<String>>,
    /// Of a hold, of a notification that goes to nobody, or of a configuration that is not taken.
    reason: Option<String>,
    explanation: Option<String>,
    /// Of a notification: what it says, where it goes, and when.
    title: Option<String>,
    body: Option<String>,
    channels: Option<Vec<String>>,
    priority: Option<Json>,
    until_ms: Option<i64>,
    /// As the plugin left it.
    content: Option<WrittenContent>,
    metadata: Option<Metadata>,
    preview: Option<String>,
    /// The names of all of them, in their order.
    labels: Option<Vec<String>>,
    /// All messages that it wanted to send.
    sent: Option<Vec<Sent>>,
    /// What is under these keys of its store afterwards; `null`: nothing.
    kv: Option<BTreeMap<String, Option<String>>>,
}

impl Expectation {
    /// What is not as it was to be, each as a sentence.
    pub fn misses(&self, tried: &Tried) -> Vec<String> {
        let found = TriedView::from(tried);
        let mut misses = Misses(Vec::new());
        misses.compare("verdict", self.verdict.as_ref(), Some(&found.verdict));
        misses.compare("fault", self.fault.as_ref(), found.fault.as_ref());
        misses.compare("reason", self.reason.as_ref(), found.reason.as_ref());
        misses.compare("explanation", self.explanation.as_ref(), found.explanation.as_ref());
        let labels = found.labels.iter().map(|label| label.name.clone()).collect();
        misses.compare("labels", self.labels.as_ref(), Some(&labels));
        self.compare_sent(tried, &mut misses);
        for (key, wanted) in self.kv.iter().flatten() {
            misses.compare_json(
                &format!("kv.{key}"),
                Some(&json!(wanted)),
                &json!(tried.kv.get(key)),
            );
        }
        self.compare_rejection(&found, &mut misses);
        self.compare_notification(&found, &mut misses);
        self.compare_body(tried, &mut misses);
        misses.0
    }

    fn compare_rejection(&self, found: &TriedView, misses: &mut Misses) {
        misses.compare("code", self.code.as_ref(), found.code.as_ref());
        misses.compare("userMessage", self.user_message.as_ref(), found.user_message.as_ref());
        let retry_after_ms = found.retry_after_ms.as_ref();
        misses.compare("retryAfterMs", self.retry_after_ms.as_ref(), retry_after_ms);
        misses.compare_json("details", self.details.as_ref(), &json!(found.details));
        let paths = found.violations().map(|(path, _)| path.to_owned()).collect();
        misses.compare("violations", self.violations.as_ref(), Some(&paths));
    }

    fn compare_notification(&self, found: &TriedView, misses: &mut Misses) {
        misses.compare("title", self.title.as_ref(), found.title.as_ref());
        misses.compare("body", self.body.as_ref(), found.body.as_ref());
        let channels = found.channels.as_ref();
        let channels = channels.map(|names| names.iter().map(ToString::to_string).collect());
        misses.compare("channels", self.channels.as_ref(), channels.as_ref());
        misses.compare_json("priority", self.priority.as_ref(), &json!(found.priority));
        misses.compare("untilMs", self.until_ms.as_ref(), found.until_ms.as_ref());
    }

    fn compare_sent(&self, tried: &Tried, misses: &mut Misses) {
        let Some(wanted) = &self.sent else { return };
        let found: Vec<Sent> = tried
            .sent
            .iter()
            .enumerate()
            .map(|(place, draft)| {
                let content = draft.body.content.clone();
                match wanted.get(place) {
                    Some(Sent::To { .. }) => Sent::To { to: draft.to.as_str().to_owned(), content },
                    _ => Sent::Content(content),
                }
            })
            .collect();
        misses.compare("sent", Some(wanted), Some(&found));
    }

    fn compare_body(&self, tried: &Tried, misses: &mut Misses) {
        let body = tried.judgement.as_ref().map(|judgement| &judgement.body);
        let content = body.map(|body| &body.content);
        match &self.content {
            None => {}
            Some(WrittenContent::Text(wanted)) => misses.compare("content", Some(wanted), content),
            Some(json) => {
                let read = content.and_then(|text| serde_json::from_str::<Json>(text).ok());
                misses.compare_json("content", Some(&json.to_json()), &json!(read));
            }
        }
        misses.compare("metadata", self.metadata.as_ref(), body.map(|body| &body.metadata));
        let preview = body.and_then(|body| body.preview.as_ref());
        misses.compare("preview", self.preview.as_ref(), preview);
    }
}

/// A message that the plugin sends: its content, or also to whom.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "must be a text, or {to, content}")]
enum Sent {
    Content(String),
    To { to: String, content: String },
}

struct Misses(Vec<String>);

impl Misses {
    fn compare_json(&mut self, what: &str, wanted: Option<&Json>, found: &Json) {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            self.0.push(format!("{what} is {found}, and was to be {wanted}"));
        }
    }

    fn compare<T: PartialEq + Debug>(&mut self, what: &str, wanted: Option<&T>, found: Option<&T>) {
        let Some(wanted) = wanted else { return };
        if found != Some(wanted) {
            let found = found.map_or_else(|| "nothing".to_owned(), |found| format!("{found:?}"));
            self.0.push(format!("{what} is {found}, and was to be {wanted:?}"));
        }
    }
}
