//! From what a guest answers to what the server acts on. It is parsed like a client's request.

use std::time::Duration;

use super::{Fault, bindings::types};
use crate::domain::{
    Attachment, Body, BodyLimits, EntryId, InvalidField, OnExpiry, Patch, Phase, Rejection,
    Severity,
};

/// What a plugin decided about a draft, and what it noted.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    pub(super) labels: Vec<Note>,
    pub(super) explanation: Option<String>,
}

#[derive(Debug)]
pub(super) enum Verdict {
    Pass,
    /// The body to go on with.
    Modify(Body),
    Reject(Rejection),
    Hold(Wish),
    Shadow,
}

/// A hold as a plugin wants it.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) reason: String,
    pub(super) ttl: Option<Duration>,
    pub(super) on_expiry: OnExpiry,
}

/// A label as a plugin gives it.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) name: String,
    pub(super) score: Option<f32>,
    pub(super) severity: Severity,
}

/// What an answer is held to.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    /// The body that was asked about.
    pub(super) body: &'a Body,
    pub(super) limits: &'a BodyLimits,
    pub(super) phase: Phase,
}

const MAX_CODE_BYTES: usize = 64;
const MAX_USER_MESSAGE_CHARS: usize = 500;
const MAX_OBJECT_BYTES: usize = 4 << 10;
const MAX_HOLD_REASON_CHARS: usize = 500;
const MAX_EXPLANATION_CHARS: usize = 1000;
const MAX_LABELS: usize = 16;
/// Thirty days.
const MAX_TTL_SECONDS: u32 = 2_592_000;

impl Decision {
    pub(super) fn parse(
        answer: Result<types::Decision, types::Failure>,
        rules: Rules<'_>,
    ) -> Result<Self, Fault> {
        let decision = answer.map_err(|types::Failure::Declined(_)| Fault::Declined)?;
        if decision.labels.len() > MAX_LABELS {
            return Err(invalid("there may be at most 16 labels"));
        }
        let labels = decision.labels.into_iter().map(Note::try_from);
        let explanation = decision.explanation;
        Ok(Self {
            verdict: Verdict::parse(decision.verdict, rules)?,
            labels: labels.collect::<Result<_, _>>()?,
            explanation: explanation
                .map(|text| parse_text("explanation", text, MAX_EXPLANATION_CHARS))
                .transpose()?,
        })
    }
}

impl Verdict {
    fn parse(verdict: types::Verdict, rules: Rules<'_>) -> Result<Self, Fault> {
        match verdict {
            types::Verdict::Pass => Ok(Self::Pass),
            types::Verdict::Modify(_) if rules.phase == Phase::Guard => {
                Err(invalid("a guard must not modify"))
            }
            types::Verdict::Modify(patch) => {
                let patched = Patch::from(patch).apply(rules.body, rules.limits);
                patched.map(Self::Modify).map_err(|broken| Fault::InvalidAnswer(field(&broken)))
            }
            types::Verdict::Reject(rejection) => rejection.try_into().map(Self::Reject),
            types::Verdict::Hold(hold) => hold.try_into().map(Self::Hold),
            types::Verdict::Shadow => Ok(Self::Shadow),
        }
    }

    /// The word for records and counters.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Modify(_) => "modify",
            Self::Reject(_) => "reject",
            Self::Hold(_) => "hold",
            Self::Shadow => "shadow",
        }
    }
}

impl TryFrom<types::Hold> for Wish {
    type Error = Fault;

    fn try_from(hold: types::Hold) -> Result<Self, Fault> {
        if hold.ttl_seconds.is_some_and(|ttl| !(1..=MAX_TTL_SECONDS).contains(&ttl)) {
            return Err(invalid("`ttl-seconds` must be from 1 to 2592000"));
        }
        Ok(Self {
            reason: parse_text("reason", hold.reason, MAX_HOLD_REASON_CHARS)?,
            ttl: hold.ttl_seconds.map(|ttl| Duration::from_secs(ttl.into())),
            on_expiry: match hold.on_expiry {
                types::OnExpiry::Release => OnExpiry::Release,
                types::OnExpiry::Refuse => OnExpiry::Refuse,
            },
        })
    }
}

impl TryFrom<types::Label> for Note {
    type Error = Fault;

    fn try_from(label: types::Label) -> Result<Self, Fault> {
        if !is_code(&label.name) {
            return Err(invalid("the name of a label must be 1 to 64 characters of a-z 0-9 _ . -"));
        }
        // Not a number is in no range.
        if label.score.is_some_and(|score| !(0.0..=1.0).contains(&score)) {
            return Err(invalid("the score of a label must be from 0 to 1"));
        }
        Ok(Self {
            name: label.name,
            score: label.score,
            severity: match label.severity {
                types::Severity::Info => Severity::Info,
                types::Severity::Low => Severity::Low,
                types::Severity::Medium => Severity::Medium,
                types::Severity::High => Severity::High,
            },
        })
    }
}

/// Which field of a patch breaks a rule. A key of the metadata is content, so it is left out.
fn field(broken: &InvalidField) -> String {
    let field = broken.field.split(['.', '[']).next().unwrap_or_default();
    format!("the patch breaks a rule of `{field}`: it {}", broken.message)
}

impl From<types::Patch> for Patch {
    fn from(patch: types::Patch) -> Self {
        let attachments = patch.attachments;
        Self {
            content: patch.content,
            attachments: attachments.map(|list| list.into_iter().map(Into::into).collect()),
            metadata: patch.metadata,
        }
    }
}

impl From<types::Attachment> for Attachment {
    fn from(attachment: types::Attachment) -> Self {
        Self {
            url: attachment.url,
            media_type: attachment.media_type,
            name: attachment.name,
            size: attachment.size,
        }
    }
}

impl TryFrom<types::Rejection> for Rejection {
    type Error = Fault;

    fn try_from(rejection: types::Rejection) -> Result<Self, Fault> {
        if !is_code(&rejection.code) {
            return Err(invalid("`code` must be 1 to 64 characters of a-z 0-9 _ . -"));
        }
        let details = rejection.details.as_deref().map(|text| parse_object("details", text));
        Ok(Self {
            id: EntryId::new(),
            reason: rejection.code,
            user_message: rejection
                .user_message
                .map(|text| parse_text("user-message", text, MAX_USER_MESSAGE_CHARS))
                .transpose()?,
            details: details.transpose()?,
            retry_after_ms: rejection.retry_after_ms,
        })
    }
}

fn is_code(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    (1..=MAX_CODE_BYTES).contains(&text.len()) && text.chars().all(allowed)
}

/// Cut rather than refused: a plugin that says too much has still decided.
/// The database has no place for U+0000, and a row that it refuses takes others with it.
pub(super) fn parse_text(field: &str, text: String, most_chars: usize) -> Result<String, Fault> {
    if text.contains('\0') {
        return Err(invalid(&format!("`{field}` must not contain U+0000")));
    }
    Ok(cut(text, most_chars))
}

fn cut(mut text: String, most_chars: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most_chars) {
        text.truncate(end);
    }
    text
}

/// The text of a JSON object.
pub(super) fn parse_object(field: &str, text: &str) -> Result<serde_json::Value, Fault> {
    if text.len() > MAX_OBJECT_BYTES {
        return Err(invalid(&format!("`{field}` must be at most 4 KiB")));
    }
    let object: serde_json::Value =
        serde_json::from_str(text).map_err(|_| invalid(&format!("`{field}` must be JSON")))?;
    if !object.is_object() {
        return Err(invalid(&format!("`{field}` must be a JSON object")));
    }
    if has_nul(&object) {
        return Err(invalid(&format!("`{field}` must not contain U+0000")));
    }
    Ok(object)
}

/// The database has no place for U+0000, however it is written.
fn has_nul(json: &serde_json::Value) -> bool {
    match json {
        serde_json::Value::String(text) => text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().any(has_nul),
        serde_json::Value::Object(fields) => {
            fields.iter().any(|(key, value)| key.contains('\0') || has_nul(value))
        }
        _ => false,
    }
}

pub(super) fn invalid(reason: &str) -> Fault {
    Fault::InvalidAnswer(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejection(code: &str, message: &str, details: Option<&str>) -> types::Rejection {
        types::Rejection {
            code: code.to_owned(),
            user_message: Some(message.to_owned()),
            details: details.map(str::to_owned),
            retry_after_ms: None,
        }
    }

    #[test]
    fn a_code_is_a_short_plain_word() {
        for good in ["words", "a.b-c_9", &"x".repeat(64)] {
            assert!(Rejection::try_from(rejection(good, "", None)).is_ok(), "{good}");
        }
        for bad in ["", "Words", "a b", "ä", "a\n", &"x".repeat(65)] {
            assert!(Rejection::try_from(rejection(bad, "", None)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = Rejection::try_from(rejection("x", &"é".repeat(501), None)).unwrap();

        assert_eq!(cut.user_message, Some("é".repeat(500)));
    }

    #[test]
    fn no_text_holds_what_the_database_cannot() {
        let reason = || "a\0b".to_owned();
        let decision = |verdict, explanation| types::Decision {
            verdict,
            labels: Vec::new(),
            explanation: Some(explanation),
        };
        let hold =
            types::Hold { reason: reason(), ttl_seconds: None, on_expiry: types::OnExpiry::Refuse };
        let limits = BodyLimits { max_content_bytes: 16, http_attachments: false };
        let body = Body {
            content: String::new(),
            content_type: crate::domain::ContentType::Text,
            attachments: Vec::new(),
            metadata: crate::domain::Metadata::new(),
            preview: None,
        };
        let parse = |given| {
            let rules = Rules { body: &body, limits: &limits, phase: Phase::Transform };
            Decision::parse(Ok(given), rules)
        };

        assert!(parse(decision(types::Verdict::Pass, "fine".to_owned())).is_ok());
        for bad in [
            decision(types::Verdict::Pass, reason()),
            decision(types::Verdict::Hold(hold), String::new()),
            decision(types::Verdict::Reject(rejection("x", "\0", None)), String::new()),
        ] {
            assert!(matches!(parse(bad), Err(Fault::InvalidAnswer(_))));
        }
    }

    #[test]
    fn details_are_a_small_json_object() {
        let parse = |details: &str| Rejection::try_from(rejection("x", "", Some(details)));

        assert_eq!(parse(r#"{"a":[1]}"#).unwrap().details.unwrap()["a"][0], 1);
        for bad in ["", "[]", "1", "{", &format!(r#"{{"a":"{}"}}"#, "x".repeat(4096))] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&"[".repeat(4000)).is_err());
    }

    #[test]
    fn details_hold_no_nul_however_it_is_written() {
        let parse = |details: &str| Rejection::try_from(rejection("x", "", Some(details)));

        for bad in [r#"{"a":"\u0000"}"#, r#"{"\u0000":1}"#, r#"{"a":[{"b":["x\u0000"]}]}"#] {
            assert!(matches!(parse(bad), Err(Fault::InvalidAnswer(_))), "{bad}");
        }
        assert!(parse(r#"{"a":"\\u0000"}"#).is_ok(), "a backslash and digits are no U+0000");
    }

    #[test]
    fn a_label_has_a_plain_name_and_a_score_from_0_to_1() {
        let note = |name: &str, score| {
            let severity = types::Severity::Low;
            Note::try_from(types::Label { name: name.to_owned(), score, severity })
        };

        for good in [None, Some(0.0), Some(0.5), Some(1.0)] {
            assert!(note("spam", good).is_ok(), "{good:?}");
        }
        for bad in [-0.1, 1.1, f32::NAN, f32::INFINITY] {
            assert!(note("spam", Some(bad)).is_err(), "{bad}");
        }
        assert!(note("Not a name", None).is_err());
    }

    #[test]
    fn a_hold_waits_from_a_second_to_thirty_days() {
        let wish = |ttl_seconds| {
            let on_expiry = types::OnExpiry::Release;
            Wish::try_from(types::Hold { reason: "é".repeat(501), ttl_seconds, on_expiry })
        };

        assert_eq!(wish(None).unwrap().reason, "é".repeat(500));
        for good in [1, MAX_TTL_SECONDS] {
            assert!(wish(Some(good)).is_ok(), "{good}");
        }
        for bad in [0, MAX_TTL_SECONDS + 1] {
            assert!(wish(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fault_does_not_tell_what_a_message_said() {
        let broken = InvalidField::new("metadata.secret key", "must not contain U+0000");

        assert_eq!(
            field(&broken),
            "the patch breaks a rule of `metadata`: it must not contain U+0000",
        );
    }
}
