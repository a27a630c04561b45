//! Several plugins about one message: whose verdict counts, and what is recorded.

use std::time::Duration;

use duologue::{
    domain::{Hold, HoldCause, Judgement, OnExpiry, OnFault, Outcome, Phase, Severity},
    plugin::Installation,
};

use super::support::{Scene, compiled, fault_of, host, installed, named, rejection, text};
use crate::guests::{self, Answer};

async fn answering(name: &str, answer: &Answer) -> Installation {
    named(name, installed(compiled(&host(), &guests::answering(answer)).await))
}

/// What these plugins, asked in this order, make of a message.
async fn judged(plugins: Vec<Installation>) -> Judgement {
    let scene = Scene::new(host());
    scene.install(plugins);
    scene.judge(&text("hello")).await
}

fn held(judgement: &Judgement) -> &Hold {
    match &judgement.outcome {
        Outcome::Hold(hold) => hold,
        other => panic!("not held: {other:?}"),
    }
}

fn verdicts(judgement: &Judgement) -> Vec<&str> {
    judgement.steps.iter().map(|step| step.verdict.as_str()).collect()
}

#[tokio::test]
async fn a_hold_says_who_wants_it_why_and_how_long() {
    let plugin = answering("review", &Answer::hold("looks odd", Some(90))).await;
    let version = plugin.version.clone();

    let judgement = judged(vec![plugin]).await;

    let expected = Hold {
        cause: HoldCause::Verdict,
        plugin: "review".to_owned(),
        version,
        reason: "looks odd".to_owned(),
        shadow: false,
        ttl: Some(Duration::from_secs(90)),
        on_expiry: OnExpiry::Refuse,
    };
    assert_eq!(held(&judgement), &expected);
    assert_eq!(judgement.body, text("hello"));
}

#[tokio::test]
async fn a_shadow_is_an_outcome_of_its_own() {
    let judgement = judged(vec![answering("quiet", &Answer::shadow()).await]).await;

    assert_eq!(judgement.outcome, Outcome::Shadow);
}

#[tokio::test]
async fn after_a_hold_and_a_shadow_the_rest_is_still_asked() {
    let judgement = judged(vec![
        answering("a", &Answer::hold("first", Some(5))).await,
        answering("b", &Answer::shadow()).await,
        answering("c", &Answer::hold("second", Some(9))).await,
        answering("d", &Answer::content("HELLO")).await,
        answering("e", &Answer::default()).await,
    ])
    .await;

    let hold = held(&judgement);
    assert_eq!((hold.plugin.as_str(), hold.reason.as_str()), ("a", "first"));
    assert_eq!((hold.ttl, hold.shadow), (Some(Duration::from_secs(9)), true));
    assert_eq!(verdicts(&judgement), ["hold", "shadow", "hold", "modify", "pass"]);
    assert_eq!(judgement.body, text("HELLO"));
}

#[tokio::test]
async fn a_rejection_counts_before_a_hold_and_nobody_after_it_is_asked() {
    let judgement = judged(vec![
        answering("a", &Answer::hold("first", None)).await,
        answering("b", &Answer::reject("no", "", "{}")).await,
        answering("c", &Answer::default()).await,
    ])
    .await;

    assert!(matches!(judgement.outcome, Outcome::Reject(_)), "{:?}", judgement.outcome);
    assert_eq!(verdicts(&judgement), ["hold", "reject"]);
}

#[tokio::test]
async fn labels_of_all_plugins_add_up_and_stop_nothing() {
    let judgement = judged(vec![
        answering("a", &Answer::default().labelled("spam", 0.5, 2)).await,
        answering("b", &Answer::default().labelled("scam", 1.0, 1)).await,
    ])
    .await;

    assert_eq!(judgement.outcome, Outcome::Send);
    let labels: Vec<_> = judgement
        .labels
        .iter()
        .map(|label| (label.plugin.as_str(), label.name.as_str(), label.score, label.severity))
        .collect();
    let spam = ("a", "spam", Some(0.5), Severity::High);
    assert_eq!(labels, [spam, spam, ("b", "scam", Some(1.0), Severity::High)]);
}

#[tokio::test]
async fn labels_that_break_the_rules_are_a_fault() {
    let answers = [
        Answer::default().labelled("spam", 0.5, 17),
        Answer::default().labelled("Not a name", 0.5, 1),
        Answer::default().labelled("spam", 1.5, 1),
        Answer::default().labelled("spam", f32::NAN, 1),
    ];
    for answer in answers {
        assert_eq!(fault_of(host(), &guests::answering(&answer)).await, "invalid_answer");
    }
    let most = judged(vec![answering("a", &Answer::default().labelled("spam", 0.0, 16)).await]);
    assert_eq!(most.await.labels.len(), 16);
}

#[tokio::test]
async fn a_hold_that_breaks_the_rules_is_a_fault() {
    for ttl in [0, 2_592_001] {
        let guest = guests::answering(&Answer::hold("", Some(ttl)));

        assert_eq!(fault_of(host(), &guest).await, "invalid_answer");
    }
}

#[tokio::test]
async fn each_step_says_who_decided_what_in_how_long() {
    let long = "é".repeat(1001);
    let plugin = answering("caps", &Answer::content("HELLO").explained(&long)).await;
    let version = plugin.version.clone();

    let judgement = judged(vec![Installation { config_revision: 7, ..plugin }]).await;

    let [step] = judgement.steps.as_slice() else { panic!("{:?}", judgement.steps) };
    assert_eq!((step.plugin.as_str(), &step.version), ("caps", &version));
    assert_eq!((step.verdict.as_str(), step.config_revision), ("modify", 7));
    assert_eq!(step.changed, ["content"]);
    assert_eq!(step.explanation.as_deref(), Some("é".repeat(1000).as_str()));
    assert!(step.micros > 0);
    // Two pages.
    assert_eq!(step.memory_bytes, 128 << 10);
}

#[tokio::test]
async fn a_guard_sees_the_final_draft_and_must_not_change_it() {
    let caps = answering("caps", &Answer::content("HELLO")).await;
    let guard = |plugin| Installation { phase: Phase::Guard, on_fault: OnFault::Reject, ..plugin };
    let pass = guard(answering("guard", &Answer::default()).await);
    let modify = guard(answering("guard", &Answer::content("other")).await);
    let scene = Scene::new(host());

    scene.install(vec![caps, pass]);
    assert_eq!(scene.send("hello").await.unwrap(), text("HELLO"));

    scene.install(vec![modify]);
    let judgement = scene.judge(&text("hello")).await;
    assert_eq!(judgement.steps[0].fault.as_deref(), Some("invalid_answer"));
    assert_eq!(rejection(scene.send("hello").await).reason, "moderation_unavailable");
}

#[tokio::test]
async fn a_fault_holds_the_message_where_the_org_chose_that() {
    assert_eq!(OnFault::default(), OnFault::Hold);
    let plugin = answering("broken", &Answer::declined("secret")).await;

    let judgement = judged(vec![Installation { on_fault: OnFault::Hold, ..plugin }]).await;

    let hold = held(&judgement);
    assert_eq!((hold.cause, hold.plugin.as_str()), (HoldCause::Fault, "broken"));
    assert_eq!((hold.ttl, hold.on_expiry), (None, OnExpiry::Refuse));
    assert_eq!(hold.reason, "no answer: declined");
    assert_eq!(verdicts(&judgement), ["fault"]);
}

#[tokio::test]
async fn a_fault_that_is_allowed_leaves_the_verdicts_of_others() {
    let broken = answering("broken", &Answer::declined("")).await;
    let shadow = answering("quiet", &Answer::shadow()).await;

    let judgement = judged(vec![Installation { on_fault: OnFault::Allow, ..broken }, shadow]).await;

    assert_eq!(judgement.outcome, Outcome::Shadow);
    assert_eq!(judgement.steps[0].fault.as_deref(), Some("declined"));
}
