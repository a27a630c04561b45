use std::{mem, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Attachment, Body, BodyLimits, EntryId, InvalidField, Metadata, Overheard, Run, StagedWrites,
};

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
            // Whoever owns the type is asked again.
            preview: None,
        };
        patched.check(limits)?;
        Ok(patched)
    }
}

/// A plugin's refusal, as its sender may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Under which it is noted; the sender reads it as `requestId`.
    pub id: EntryId,
    /// A stable word of the plugin's: 1 to 64 characters of `a-z 0-9 _ . -`.
    pub reason: String,
    /// For the sender's eyes: at most 500 characters.
    pub user_message: Option<String>,
    /// A JSON object; a plugin's is at most 4 KiB.
    pub details: Option<serde_json::Value>,
    pub retry_after_ms: Option<u32>,
}

impl Rejection {
    /// Where plugins could not say what they make of a draft. It says nothing of the plugin:
    /// that is the org's affair.
    pub fn moderation_unavailable() -> Self {
        Self {
            id: EntryId::new(),
            reason: "moderation_unavailable".to_owned(),
            user_message: Some(
                "Your message could not be checked just now. Please try again.".to_owned(),
            ),
            details: None,
            retry_after_ms: Some(5000),
        }
    }

    /// Where plugins could not say whether a content is what its type asks for.
    pub fn content_unchecked() -> Self {
        Self { reason: "content_unchecked".to_owned(), ..Self::moderation_unavailable() }
    }

    /// Where a content is not what its type asks for.
    pub fn invalid_content(violations: &[Violation]) -> Self {
        Self {
            id: EntryId::new(),
            reason: "invalid_content".to_owned(),
            user_message: None,
            details: Some(json!({ "violations": violations })),
            retry_after_ms: None,
        }
    }
}

/// One thing that is wrong with a content; its sender reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// A JSON Pointer into the content; empty for the whole.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Violation {
    /// Of each of both texts.
    pub const MAX_CHARS: usize = 200;
    /// The most that are told at a time.
    pub const MOST: usize = 16;

    /// Of the whole content.
    pub fn of_all(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }
}

/// What all plugins of an org together decided about a draft.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The draft's body as they left it.
    pub body: Body,
    pub outcome: Outcome,
    /// What they noted without stopping the draft.
    pub labels: Vec<Label>,
    /// Each plugin that was asked, in the order in which it was.
    pub steps: Vec<Step>,
    /// What each of them was asked and told, where that is recorded: one for each step.
    pub runs: Vec<Option<Box<Run>>>,
    /// What plugins want stored together with the draft, and forgotten where it is not stored.
    pub staged: Vec<StagedWrites>,
    /// What candidates on trial are to be asked, once it is known what became of the draft.
    pub overheard: Vec<Overheard>,
}

impl Judgement {
    /// Of a draft about which nobody was asked.
    pub fn unasked(body: Body) -> Self {
        Self {
            body,
            outcome: Outcome::Send,
            labels: Vec::new(),
            steps: Vec::new(),
            runs: Vec::new(),
            staged: Vec::new(),
            overheard: Vec::new(),
        }
    }

    /// What is kept of it with the message; `None` where nobody was asked.
    pub fn decision(&self) -> Option<Decision> {
        let was_asked = !self.steps.is_empty() || !self.labels.is_empty();
        was_asked.then(|| Decision { labels: self.labels.clone(), steps: self.steps.clone() })
    }

    /// What a plugin that was asked alone makes of the draft.
    pub fn word(&self) -> Option<&Step> {
        Step::decisive(self.steps.iter())
    }

    /// Takes what is to be stored with the draft: nothing where it waits for plugins to be asked
    /// again, because they would find what they wrote about the draft itself.
    pub fn take_staged(&mut self) -> Vec<StagedWrites> {
        let staged = mem::take(&mut self.staged);
        match &self.outcome {
            Outcome::Hold(hold) if hold.is_asked_again() => Vec::new(),
            _ => staged,
        }
    }

    /// The rejection comes of a plugin that gave no answer.
    pub fn is_fault(&self) -> bool {
        self.steps.last().is_some_and(|step| step.fault.is_some())
    }
}

/// How plugins decided, for those who review. It holds nothing of what the message says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub labels: Vec<Label>,
    pub steps: Vec<Step>,
}

/// What becomes of a draft. The later is the stricter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Send,
    /// Its sender sees it sent; for everybody else it does not exist.
    Shadow,
    /// It waits for a review.
    Hold(Hold),
    Reject(Rejection),
}

impl Outcome {
    /// Adds what another plugin wants: the stricter counts, and a hold remembers a shadow.
    #[must_use]
    pub fn tighten(self, other: Self) -> Self {
        match (self, other) {
            (Self::Reject(rejection), _) | (_, Self::Reject(rejection)) => Self::Reject(rejection),
            (Self::Hold(first), Self::Hold(second)) => Self::Hold(first.merge(&second)),
            (Self::Hold(hold), Self::Shadow) | (Self::Shadow, Self::Hold(hold)) => {
                Self::Hold(Hold { shadow: true, ..hold })
            }
            (Self::Hold(hold), Self::Send) | (Self::Send, Self::Hold(hold)) => Self::Hold(hold),
            (Self::Shadow, _) | (_, Self::Shadow) => Self::Shadow,
            (Self::Send, Self::Send) => Self::Send,
        }
    }
}

/// Why and until when a message waits, unseen by its recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub cause: HoldCause,
    /// The plugin that asked for it first, and its version.
    pub plugin: String,
    pub version: String,
    /// For those who review.
    pub reason: String,
    /// A plugin decided on a shadow as well: it stands when the message is released.
    pub shadow: bool,
    /// How long the message waits; `None`: until somebody decides.
    pub ttl: Option<Duration>,
    pub on_expiry: OnExpiry,
}

impl Hold {
    /// Plugins are asked about the draft once more, by and by.
    pub fn is_asked_again(&self) -> bool {
        self.cause == HoldCause::Fault
    }

    /// The first one's cause and reason, the longest wait, and a refusal before a release.
    fn merge(self, second: &Self) -> Self {
        let on_expiry = match (self.on_expiry, second.on_expiry) {
            (OnExpiry::Release, OnExpiry::Release) => OnExpiry::Release,
            _ => OnExpiry::Refuse,
        };
        Self {
            shadow: self.shadow || second.shadow,
            ttl: self.ttl.zip(second.ttl).map(|(first, second)| first.max(second)),
            on_expiry,
            ..self
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldCause {
    /// A plugin wants somebody to look at it.
    Verdict,
    /// A plugin gave no answer: it is asked again.
    Fault,
}

/// What becomes of a held message that nobody has decided about in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExpiry {
    Release,
    #[default]
    Refuse,
}

/// A plugin's note on a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Label {
    pub plugin: String,
    /// 1 to 64 characters of `a-z 0-9 _ . -`.
    pub name: String,
    /// From 0 to 1.
    pub score: Option<f32>,
    pub severity: Severity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Low,
    Medium,
    High,
}

/// One plugin's part in a judgement. It holds nothing of what the message says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    pub plugin: String,
    /// SHA-256 of the component, in hex.
    pub version: String,
    /// Counts the changes of its configuration.
    pub config_revision: i64,
    /// At which hook; steps from before there were several have none.
    #[serde(default = "before_send")]
    pub hook: String,
    /// `pass`, `modify`, `reject`, `hold` or `shadow`; of a content `valid`, `normalised` or
    /// `invalid`; or `fault`.
    pub verdict: String,
    /// Which fault, where it gave no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// The same in words, such as which field of the answer breaks which rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The plugin's own word for those who review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// The fields that it changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// How long the call took, waiting included.
    pub micros: u64,
    /// The guest's linear memory at the end of the call.
    pub memory_bytes: u64,
}

impl Step {
    /// The step that says what a plugin makes of a draft: its verdict, or its word on the
    /// content where that was all. `steps`: those of that plugin.
    pub fn decisive<'a>(
        steps: impl DoubleEndedIterator<Item = &'a Self> + Clone,
    ) -> Option<&'a Self> {
        let verdict = steps.clone().rfind(|step| step.hook == "before-send");
        verdict.or_else(|| steps.last())
    }

    /// The same of the plugin of that name.
    pub fn decisive_of<'a>(steps: &'a [Self], plugin: &str) -> Option<&'a Self> {
        Self::decisive(steps.iter().filter(|step| step.plugin == plugin))
    }
}

fn before_send() -> String {
    "before-send".to_owned()
}

/// What a message meets where a plugin gives no usable answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFault {
    /// Carry on as if the plugin were not there.
    Allow,
    /// Refuse the message; the sender may retry.
    Reject,
    /// Keep the message, unseen by its recipient, until the plugin answers.
    #[default]
    Hold,
}

impl OnFault {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Reject => "reject",
            Self::Hold => "hold",
        }
    }

    /// From a row: the columns' check constraints admit nothing else.
    pub(crate) fn stored(text: &str) -> Self {
        match text {
            "allow" => Self::Allow,
            "reject" => Self::Reject,
            _ => Self::Hold,
        }
    }
}

/// When a plugin is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// First: it may change the draft.
    #[default]
    Transform,
    /// Last: it sees the final draft, and changes nothing.
    Guard,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Guard => "guard",
        }
    }

    /// From a row: the column's check constraint admits nothing else.
    pub(crate) fn stored(text: &str) -> Self {
        if text == "guard" { Self::Guard } else { Self::Transform }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::discriminant;

    use super::*;

    fn hold(plugin: &str, ttl: Option<u64>, on_expiry: OnExpiry) -> Outcome {
        Outcome::Hold(Hold {
            cause: HoldCause::Verdict,
            plugin: plugin.to_owned(),
            version: String::new(),
            reason: String::new(),
            shadow: false,
            ttl: ttl.map(Duration::from_secs),
            on_expiry,
        })
    }

    fn reject() -> Outcome {
        let reason = "no".to_owned();
        let rejection = Rejection { reason, ..Rejection::moderation_unavailable() };
        Outcome::Reject(rejection)
    }

    #[test]
    fn the_strictest_outcome_counts_in_either_order() {
        let held = hold("a", None, OnExpiry::Refuse);
        let rising = [Outcome::Send, Outcome::Shadow, held, reject()];
        for (at, weaker) in rising.iter().enumerate() {
            for stricter in &rising[at..] {
                let one_way = weaker.clone().tighten(stricter.clone());
                let the_other = stricter.clone().tighten(weaker.clone());
                assert_eq!(discriminant(&one_way), discriminant(stricter));
                assert_eq!(one_way, the_other);
            }
        }
    }

    #[test]
    fn a_step_from_before_there_were_several_hooks_is_of_before_send() {
        let stored = json!({
            "plugin": "guard", "version": "ab12", "configRevision": 1, "verdict": "pass",
            "micros": 7, "memoryBytes": 0,
        });

        let step: Step = serde_json::from_value(stored).unwrap();

        assert_eq!((step.hook.as_str(), step.verdict.as_str()), ("before-send", "pass"));
    }

    #[test]
    fn a_hold_remembers_a_shadow() {
        let both = hold("a", None, OnExpiry::Refuse).tighten(Outcome::Shadow);

        assert!(matches!(both, Outcome::Hold(hold) if hold.shadow));
    }

    #[test]
    fn two_holds_are_the_first_ones_reason_and_the_longest_wait() {
        let first = hold("a", Some(5), OnExpiry::Release);

        let longer = first.clone().tighten(hold("b", Some(9), OnExpiry::Release));
        assert_eq!(longer, hold("a", Some(9), OnExpiry::Release));

        let endless = first.tighten(hold("b", None, OnExpiry::Refuse));
        assert_eq!(endless, hold("a", None, OnExpiry::Refuse));
    }
}
