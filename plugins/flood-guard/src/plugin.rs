//! What the server calls.

use crate::{
    config::{Config, Strangers},
    counting::{self, Judgement, Message},
    texts,
};

use duologue_plugin::{
    Body, Caller, Context, Decision, Draft, Failure, Kind, Plugin, Rejection, Severity, config,
    history, kv, log,
};

struct FloodGuard;

impl Plugin for FloodGuard {
    fn before_send(
        context: Context,
        draft: Draft,
        previous: Option<Body>,
    ) -> Result<Decision, Failure> {
        let config = Config::read(config::get).map_err(Failure::Declined)?;
        if is_exempt(&config, &context.caller) {
            return Ok(Decision::pass());
        }
        let message = Message {
            sender: texts::of_person(&context.caller.email),
            recipient: texts::of_person(&draft.to),
            text: texts::of_message(&draft.body, config.copies.letters),
            is_stranger: is_stranger(config.strangers, &context),
            is_edit: previous.is_some(),
            is_first_time: context.attempt == 1,
            now_ms: context.now_ms,
        };
        let count = |key: &str, delta: i64, seconds: u32| {
            // By name alone: a failure is logged.
            kv::increment(key, delta, Some(seconds)).map_err(|error| {
                Failure::Declined(format!("its counters cannot be had: {}", name_of(&error)))
            })
        };
        let judgement = counting::judge(&config, &message, count)?;
        Ok(decide(&judgement, config))
    }

    fn check() -> Result<(), String> {
        Config::read(config::get).map(drop)
    }
}

fn decide(judgement: &Judgement, config: Config) -> Decision {
    let (decision, found) = match *judgement {
        Judgement::Pass => return Decision::pass(),
        Judgement::TooFast { as_stranger, retry_after_ms } => {
            let found = if as_stranger {
                "more than a stranger may send"
            } else {
                "more than one may send"
            };
            let rejection = Rejection {
                retry_after_ms: Some(retry_after_ms),
                ..Rejection::new("flood", config.message)
            };
            (rejection.into(), found.to_owned())
        }
        Judgement::Copied => {
            let people = config.copies.people;
            let found = format!("one text to more than {people} people");
            (Decision::hold(found.as_str()), found)
        }
    };
    log::info(&found);
    decision.label("flood", Severity::Medium).explain(found)
}

fn is_exempt(config: &Config, caller: &Caller) -> bool {
    config.exempt.iter().any(|who| match who.as_str() {
        "staff" => caller.kind == Kind::Staff,
        "admins" => caller.admin,
        role => caller.roles.iter().any(|theirs| theirs == role),
    })
}

/// Asks for the thread only where it matters.
fn is_stranger(strangers: Strangers, context: &Context) -> bool {
    is_new(strangers, context)
        || (strangers.unanswered && history::previous().iter().all(|earlier| earlier.from_caller))
}

fn is_new(strangers: Strangers, context: &Context) -> bool {
    let days_ms = u64::from(strangers.days) * 86_400_000;
    let known_ms = context.caller.first_seen_ms.map(|at| context.now_ms.saturating_sub(at));
    strangers.new && known_ms.is_none_or(|known| known < days_ms)
}

fn name_of(error: &kv::Error) -> &'static str {
    match error {
        kv::Error::QuotaExceeded => "the store is full",
        kv::Error::Unavailable => "the store is away",
        kv::Error::Invalid(_) => "invalid",
        kv::Error::TooLarge => "too large",
        kv::Error::Conflict => "conflict",
        kv::Error::NotANumber => "not a number",
    }
}

duologue_plugin::export!(FloodGuard: before_send, lifecycle);

#[cfg(test)]
mod tests {
    use duologue_plugin::{Verdict, testing};

    use super::*;

    fn config() -> Config {
        Config::read(config::get).unwrap()
    }

    #[test]
    fn who_may_send_anything_is_configured() {
        let mut caller = testing::context().caller;
        testing::set_config([("exempt", "staff, admins, vip")]);
        assert!(!is_exempt(&config(), &caller));

        caller.roles = vec!["vip".to_owned()];
        assert!(is_exempt(&config(), &caller));
        testing::set_config([("exempt", "none")]);
        caller.kind = Kind::Staff;
        assert!(!is_exempt(&config(), &caller));
        testing::set_config([]);
        assert!(is_exempt(&config(), &caller));
    }

    #[test]
    fn somebody_is_new_for_so_many_days() {
        // First seen a day ago.
        let mut context = testing::context();
        assert!(is_new(config().strangers, &context));

        testing::set_config([("stranger-days", "1")]);
        assert!(!is_new(config().strangers, &context));
        context.caller.first_seen_ms = None;
        assert!(is_new(config().strangers, &context));
    }

    #[test]
    fn who_is_too_fast_is_told_when_to_try_again() {
        let judgement = Judgement::TooFast { as_stranger: true, retry_after_ms: 1500 };

        let Verdict::Reject(rejection) = decide(&judgement, config()).verdict else { panic!() };

        assert_eq!((rejection.code.as_str(), rejection.retry_after_ms), ("flood", Some(1500)));
    }
}
