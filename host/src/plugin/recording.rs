//! What one call leaves for a receipt.

use serde_json::{
    Value as Json, json,
    value::{RawValue, to_raw_value},
};

use super::{
    Fault, Limits,
    answer::{Decision, Rules, Verdict},
    input::Input,
    runtime::Seed,
    tape::Tape,
    validation::{ContentRules, Validity},
};
use crate::domain::{Body, BodyLimits, Phase, Run, RunContent, RunRecord, RunTerms, Salt, hex};

/// A call that is being recorded: what was asked, and what the answer is held to.
pub(super) struct Recording {
    input: Box<RawValue>,
    now_ms: u64,
    terms: RunTerms,
}

/// What a guest's answer is held to, at whichever hook.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) phase: Phase,
    pub(super) owns: bool,
    pub(super) limits: &'a BodyLimits,
}

impl<'a> From<Rules<'a>> for Terms<'a> {
    fn from(rules: Rules<'a>) -> Self {
        Self { phase: rules.phase, owns: false, limits: rules.limits }
    }
}

impl<'a> From<ContentRules<'a>> for Terms<'a> {
    fn from(rules: ContentRules<'a>) -> Self {
        Self { phase: Phase::default(), owns: rules.owns, limits: rules.limits }
    }
}

impl Recording {
    pub(super) fn new(input: &Input, terms: Terms<'_>, limits: &Limits) -> Self {
        let Terms { phase, owns, limits: body } = terms;
        Self {
            input: to_raw_value(input).expect("words and numbers have a JSON form"),
            now_ms: input.context.now_ms,
            terms: RunTerms {
                phase,
                owns,
                max_content_bytes: body.max_content_bytes,
                http_attachments: body.http_attachments,
                memory_bytes: limits.memory_bytes,
                table_elements: limits.table_elements,
                handed_over_bytes: limits.handed_over_bytes,
                host_calls: limits.host_calls,
                open_secrets: limits.open_secrets,
            },
        }
    }

    pub(super) fn end(
        self,
        (answered, answer): (&str, Json),
        tape: Tape,
        seed: Option<&Seed>,
    ) -> Run {
        let told = tape.end(&answer);
        let salt = Salt::new();
        let record = RunRecord {
            input_sha256: salt.sha256_of(self.input.get()),
            // The salt stays where this answer does not: it could be guessed.
            answer_sha256: (!told.repeats_secret).then(|| salt.sha256_of(&answer.to_string())),
            answered: answered.to_owned(),
            now_ms: self.now_ms,
            seed: seed.map(|seed| hex(seed)),
            terms: self.terms,
            imports: told.imports,
            not_replayable: told.flaw,
        };
        let answer = if told.repeats_secret { Json::Null } else { answer };
        let content = RunContent::text(&salt, &self.input, &told.calls, &answer);
        Run {
            record,
            content,
            shown: told.shown,
            config: None,
            repeats_secret: told.repeats_secret,
        }
    }
}

pub(super) fn read_seed(text: &str) -> Option<Seed> {
    let mut seed = Seed::default();
    for (byte, at) in seed.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    (text.len() == seed.len() * 2).then_some(seed)
}

/// An answer whose recorded form is compared when the call is run again.
pub(super) trait Answer {
    /// The word for records.
    fn word(&self) -> &'static str;
    fn form(&self) -> Json;
}

/// The word for an outcome, and its whole recorded form.
pub(super) fn form<T: Answer>(outcome: &Result<T, Fault>) -> (&'static str, Json) {
    match outcome {
        Ok(answer) => (answer.word(), answer.form()),
        Err(fault) => (fault.as_str(), json!({ "fault": fault.as_str() })),
    }
}

impl Answer for Decision {
    fn word(&self) -> &'static str {
        self.verdict.as_str()
    }

    fn form(&self) -> Json {
        let labels = self.labels.iter().map(
            |label| json!({ "name": label.name, "score": label.score, "severity": label.severity }),
        );
        let verdict = match &self.verdict {
            Verdict::Pass | Verdict::Shadow => Json::Null,
            Verdict::Modify(body) => body_form(body),
            Verdict::Reject(rejection) => json!({
                "code": rejection.reason,
                "userMessage": rejection.user_message,
                "details": rejection.details,
                "retryAfterMs": rejection.retry_after_ms,
            }),
            Verdict::Hold(wish) => json!({
                "reason": wish.reason,
                "ttlSeconds": wish.ttl.map(|ttl| ttl.as_secs()),
                "onExpiry": wish.on_expiry,
            }),
        };
        json!({
            "verdict": self.word(),
            self.word(): verdict,
            "labels": labels.collect::<Vec<_>>(),
            "explanation": self.explanation,
        })
    }
}

impl Answer for Validity {
    fn word(&self) -> &'static str {
        self.as_str()
    }

    fn form(&self) -> Json {
        let (word, said) = (
            self.as_str(),
            match self {
                Self::Valid(body) => json!({ "preview": body.preview }),
                Self::Normalised(body) => {
                    json!({ "content": body.content, "preview": body.preview })
                }
                Self::Invalid(violations) => json!(violations),
            },
        );
        json!({ "verdict": word, word: said })
    }
}

fn body_form(body: &Body) -> Json {
    json!({
        "content": body.content,
        "contentType": body.content_type.as_str(),
        "attachments": body.attachments,
        "metadata": body.metadata,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_read_as_it_is_written() {
        let seed: Seed = std::array::from_fn(|at| u8::try_from(at * 7).unwrap());

        assert_eq!(read_seed(&hex(&seed)), Some(seed));
        assert_eq!(read_seed("00"), None);
        assert_eq!(read_seed(&"0g".repeat(32)), None);
    }
}
