//! What the server calls.

use crate::{
    config::{Config, Mode},
    redact::{Kind, redact},
};

use duologue_plugin::{
    Body, Context, Decision, Draft, Failure, Patch, Plugin, Rejection, Severity, config, log,
};

struct Redactor;

impl Plugin for Redactor {
    fn before_send(_: Context, draft: Draft, _: Option<Body>) -> Result<Decision, Failure> {
        let config = Config::read(config::get).map_err(Failure::Declined)?;
        let mut kinds = Vec::new();
        let patch = Patch::rewriting(&draft.body, |text| {
            let (found, masked) = redact(&config, text)?;
            kinds.extend(found);
            Some(masked)
        });
        let Some(patch) = patch else { return Ok(Decision::pass()) };
        kinds.sort_unstable();
        kinds.dedup();
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        let found = format!("found: {}", names.join(", "));
        // What kind of thing, never which: the line may be read by others than the sender.
        log::info(&found);
        let decision = match config.mode {
            Mode::Mask => Decision::modify(patch),
            Mode::Reject => labelled(rejection(config.message, &names).into(), &kinds),
            Mode::Label => labelled(Decision::pass(), &kinds),
        };
        Ok(decision.explain(found))
    }

    fn check() -> Result<(), String> {
        Config::read(config::get).map(drop)
    }
}

fn labelled(decision: Decision, kinds: &[Kind]) -> Decision {
    kinds.iter().fold(decision, |decision, kind| decision.label(kind.name(), Severity::Medium))
}

fn rejection(message: String, kinds: &[&str]) -> Rejection {
    // Plain words, so that the JSON needs no escaping.
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("\"{kind}\"")).collect();
    let details = format!("{{\"kinds\":[{}]}}", kinds.join(","));
    Rejection { details: Some(details), ..Rejection::new("personal_data", message) }
}

duologue_plugin::export!(Redactor: before_send, lifecycle);

#[cfg(test)]
mod tests {
    use duologue_plugin::{Verdict, testing};

    use super::*;

    fn decide(content: &str) -> Decision {
        Redactor::before_send(testing::context(), testing::draft(content), None).unwrap()
    }

    #[test]
    fn what_it_logs_names_the_kind_alone() {
        let decision = decide("4111 1111 1111 1111");

        assert_eq!(decision.verdict, Verdict::Modify(Patch::content("**** **** **** 1111")));
        assert_eq!(testing::take_log()[0].1, "found: card");
    }

    #[test]
    fn a_refusal_and_a_label_name_the_kinds() {
        testing::set_config([("mode", "reject")]);
        let Verdict::Reject(rejection) = decide("+49 30 123456").verdict else { panic!() };
        assert_eq!(rejection.details.as_deref(), Some(r#"{"kinds":["phone"]}"#));

        testing::set_config([("mode", "label"), ("kinds", "emails")]);
        let decision = decide("bob@b.example, +49 30 123456");
        assert_eq!(decision.verdict, Verdict::Pass);
        assert_eq!(decision.labels.len(), 1);
        assert_eq!(decision.labels[0].name, "email");
    }
}
