//! What the server calls.

use crate::{
    answer::{Answer, question},
    config::{Config, Thresholds},
};

use duologue_plugin::{
    Body, Context, Decision, Draft, Failure, Label, Plugin, Severity, config,
    http::{self, HeaderValue, Method, Request},
    log, secrets,
};

/// Left of the call's time for an answer of our own.
const RESERVE_MS: u32 = 50;

struct Classifier;

impl Plugin for Classifier {
    fn before_send(context: Context, draft: Draft, _: Option<Body>) -> Result<Decision, Failure> {
        let config = Config::read(config::get).map_err(Failure::Declined)?;
        let Some(question) = question(draft.body.texts().map(|(_, text)| text)) else {
            return Ok(Decision::pass());
        };
        let timeout_ms = config.timeout_ms.min(context.budget_ms.saturating_sub(RESERVE_MS)).max(1);
        let decision = match ask(&config, question, timeout_ms) {
            Ok(answer) => decide(&answer, config.thresholds, config.message),
            Err(doubt) => {
                log::warn(&doubt);
                Decision::hold(format!("the classifier gave no usable answer: {doubt}"))
                    .label("unclassified", Severity::Low)
                    .explain(doubt)
            }
        };
        Ok(decision)
    }

    fn check() -> Result<(), String> {
        Config::read(config::get).map(drop)
    }
}

/// Asks, or says why there is no answer. What it says names neither the text nor the secret.
fn ask(config: &Config, question: Vec<u8>, timeout_ms: u32) -> Result<Answer, String> {
    let secret = config.secret.as_deref().map(open).transpose()?;
    let json = || HeaderValue::Plain("application/json".to_owned());
    let mut headers = vec![("content-type".to_owned(), json()), ("accept".to_owned(), json())];
    headers.extend(
        secret.as_ref().map(|secret| ("authorization".to_owned(), HeaderValue::Bearer(secret))),
    );
    let request = Request {
        method: Method::Post,
        url: config.url.clone(),
        headers,
        body: question,
        timeout_ms: Some(timeout_ms),
    };
    let response = http::send(&request).map_err(|error| match error {
        http::Error::Denied(why) => format!("it may not be asked: {why}"),
        http::Error::Timeout => format!("there was none within {timeout_ms} ms"),
        http::Error::TooLarge => "the text or the answer is too large".to_owned(),
        http::Error::QuotaExceeded => "it was asked too often".to_owned(),
        http::Error::Transport(why) => format!("it cannot be reached: {why}"),
    })?;
    Answer::parse(response.status, &response.body)
}

fn open(name: &str) -> Result<secrets::Secret, String> {
    secrets::open(name).map_err(|error| match error {
        secrets::Error::Unknown => format!("no secret `{name}` is set for this plugin"),
        secrets::Error::Unavailable => "secrets cannot be had for now".to_owned(),
    })
}

fn decide(answer: &Answer, thresholds: Thresholds, message: String) -> Decision {
    let reaches = |threshold: Option<f32>| threshold.is_some_and(|least| answer.score >= least);
    let name = answer.label.as_deref().unwrap_or("classified");
    let found = format!("{name}, score {:.2}", answer.score);
    let (mut decision, severity) = if reaches(thresholds.reject) {
        (Decision::reject("classified", message), Severity::High)
    } else if reaches(thresholds.hold) {
        (Decision::hold(found.as_str()), Severity::High)
    } else if reaches(thresholds.label) {
        (Decision::pass(), Severity::Medium)
    } else {
        return Decision::pass();
    };
    decision.labels.push(Label { name: name.to_owned(), score: Some(answer.score), severity });
    decision.explain(found)
}

duologue_plugin::export!(Classifier: before_send, lifecycle);

#[cfg(test)]
mod tests {
    use duologue_plugin::{Verdict, testing};

    use super::*;

    fn decided(score: f32) -> Decision {
        let thresholds = Thresholds { label: Some(0.3), hold: Some(0.6), reject: Some(0.9) };
        let answer = Answer { score, label: Some("spam".to_owned()) };
        decide(&answer, thresholds, "no".to_owned())
    }

    #[test]
    fn the_score_decides() {
        assert_eq!(decided(0.29), Decision::pass());
        let labelled = decided(0.3);
        assert_eq!((labelled.verdict, labelled.labels[0].score), (Verdict::Pass, Some(0.3)));
        assert!(
            matches!(decided(0.6).verdict, Verdict::Hold(hold) if hold.reason.contains("spam"))
        );
        assert!(
            matches!(decided(0.9).verdict, Verdict::Reject(refused) if refused.code == "classified")
        );
    }

    #[test]
    fn nothing_to_say_is_nothing_to_ask() {
        testing::set_config([("url", "https://api.test/")]);

        let decision = Classifier::before_send(testing::context(), testing::draft(""), None);

        assert_eq!(decision, Ok(Decision::pass()));
    }
}
