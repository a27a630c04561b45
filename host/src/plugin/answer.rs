//! From what a guest answers to what the server acts on. It is parsed like a client's request.

use super::{Fault, bindings::types};
use crate::domain::{Attachment, Body, BodyLimits, InvalidField, Patch, Rejection};

/// What a plugin decided about a draft.
#[derive(Debug)]
pub(super) enum Answer {
    Pass,
    /// The body to go on with.
    Modify(Body),
    Reject(Rejection),
}

const MAX_CODE_BYTES: usize = 64;
const MAX_USER_MESSAGE_CHARS: usize = 500;
const MAX_DETAILS_BYTES: usize = 4 << 10;

impl Answer {
    pub(super) fn parse(
        answer: Result<types::Verdict, types::Failure>,
        body: &Body,
        limits: &BodyLimits,
    ) -> Result<Self, Fault> {
        match answer {
            Ok(types::Verdict::Pass) => Ok(Self::Pass),
            Ok(types::Verdict::Modify(patch)) => {
                let patched = Patch::from(patch).apply(body, limits);
                patched.map(Self::Modify).map_err(|broken| Fault::InvalidAnswer(field(&broken)))
            }
            Ok(types::Verdict::Reject(rejection)) => rejection.try_into().map(Self::Reject),
            Err(types::Failure::Declined(_)) => Err(Fault::Declined),
        }
    }
}

/// Which field of a patch breaks a rule. A key of the metadata is content, so it is left out.
fn field(broken: &InvalidField) -> String {
    let field = broken.field.split(['.', '[']).next().unwrap_or_default();
    format!("the patch breaks a rule of `{field}`")
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
        Ok(Self {
            reason: rejection.code,
            user_message: rejection.user_message.map(cut),
            details: rejection.details.as_deref().map(parse_details).transpose()?,
            retry_after_ms: rejection.retry_after_ms,
        })
    }
}

fn is_code(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
    (1..=MAX_CODE_BYTES).contains(&text.len()) && text.chars().all(allowed)
}

/// Cut rather than refused: a plugin that says too much has still said no.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_USER_MESSAGE_CHARS) {
        text.truncate(end);
    }
    text
}

fn parse_details(text: &str) -> Result<serde_json::Value, Fault> {
    if text.len() > MAX_DETAILS_BYTES {
        return Err(invalid("`details` must be at most 4 KiB"));
    }
    let details: serde_json::Value =
        serde_json::from_str(text).map_err(|_| invalid("`details` must be JSON"))?;
    if details.is_object() { Ok(details) } else { Err(invalid("`details` must be a JSON object")) }
}

fn invalid(reason: &str) -> Fault {
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
    fn details_are_a_small_json_object() {
        let parse = |details: &str| Rejection::try_from(rejection("x", "", Some(details)));

        assert_eq!(parse(r#"{"a":[1]}"#).unwrap().details.unwrap()["a"][0], 1);
        for bad in ["", "[]", "1", "{", &format!(r#"{{"a":"{}"}}"#, "x".repeat(4096))] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse(&"[".repeat(4000)).is_err());
    }

    #[test]
    fn a_fault_does_not_tell_what_a_message_said() {
        let broken = InvalidField::new("metadata.secret key", "must not contain U+0000");

        assert_eq!(field(&broken), "the patch breaks a rule of `metadata`");
    }
}
