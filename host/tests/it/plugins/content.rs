//! `validate-content`: whose word on a content counts, and what becomes of the message.

use duologue::{
    domain::{Body, ContentType, HoldCause, Judgement, OnFault, Outcome, Phase},
    plugin::{ContentTypes, DeclaredType, Installation, Limits, Unowned},
};
use serde_json::{Value as Json, json};

use super::support::{Scene, compiled, host, host_with, installed, named, rejection, text};
use crate::guests::{self, Answer, content::Judging};

/// Texts of lower-case letters, `!` and `?`, of at most 12.
const SCHEMA: &str = r#"{"type": "string", "maxLength": 12, "pattern": "^[a-z!?]*$"}"#;
const POLL: &[(&str, Option<&str>)] = &[("acme.poll", Some(SCHEMA))];
const FREE: &[(&str, Option<&str>)] = &[("acme.poll", None)];
const TEXT: &[(&str, Option<&str>)] = &[("text", None)];

/// An installed guest, as a server that took its upload has it.
async fn judging(name: &str, guest: &Judging<'_>) -> Installation {
    let compiled = compiled(&host(), &guest.component()).await;
    let types = guest.types.iter().map(|(name, schema)| DeclaredType {
        name: (*name).to_owned(),
        schema: schema.map(str::to_owned),
    });
    let content_types = ContentTypes::new(&types.collect::<Vec<_>>());
    named(name, Installation { content_types, ..installed(compiled) })
}

async fn answering(name: &str, answer: &Answer) -> Installation {
    named(name, installed(compiled(&host(), &guests::answering(answer)).await))
}

fn poll(content: &str) -> Body {
    let content_type = ContentType::Namespaced("acme.poll".to_owned());
    Body { content_type, ..text(content) }
}

async fn judged(plugins: Vec<Installation>, body: &Body) -> Judgement {
    let scene = Scene::new(host());
    scene.install(plugins);
    scene.judge(body).await
}

fn steps(judgement: &Judgement) -> Vec<(&str, &str, &str)> {
    let steps = judgement.steps.iter();
    steps
        .map(|step| {
            let word = step.fault.as_deref().unwrap_or(&step.verdict);
            (step.plugin.as_str(), step.hook.as_str(), word)
        })
        .collect()
}

/// The reason of a refusal, and its violations.
fn refused(judgement: &Judgement) -> (&str, Json) {
    match &judgement.outcome {
        Outcome::Reject(rejection) => {
            let details = rejection.details.clone().unwrap_or_default();
            (&rejection.reason, details["violations"].clone())
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn what_its_owner_accepts_passes_with_a_preview() {
    let preview = "é".repeat(201);
    let guest = Judging { types: POLL, preview: Some(&preview), ..Judging::default() };

    let judgement = judged(vec![judging("polls", &guest).await], &poll(r#""when""#)).await;

    assert_eq!(judgement.outcome, Outcome::Send);
    let preview = Some("é".repeat(200));
    assert_eq!(judgement.body, Body { preview, ..poll(r#""when""#) });
    assert_eq!(steps(&judgement), [("polls", "validate-content", "valid")]);
}

#[tokio::test]
async fn a_type_that_no_active_plugin_owns_is_told_apart_with_and_without_plugins() {
    let scene = Scene::new(host());
    let body = poll(r#""when""#);
    let judge = async || scene.hooks.judge(&scene.question(&body), 0).await.map(drop);
    assert_eq!(judge().await, Err(Unowned));

    let other = [("acme.quiz", None), ("text", None)];
    scene.install(vec![
        judging("others", &Judging { types: &other, ..Judging::default() }).await,
        answering("guard", &Answer::default()).await,
    ]);
    assert_eq!(judge().await, Err(Unowned));

    scene.install(vec![judging("polls", &Judging { types: POLL, ..Judging::default() }).await]);
    assert_eq!(judge().await, Ok(()));
    scene.install(Vec::new());
    assert_eq!(judge().await, Err(Unowned));
}

#[tokio::test]
async fn content_that_is_no_json_or_breaks_the_schema_is_refused_before_the_plugin_is_asked() {
    let guest = Judging { types: POLL, ..Judging::default() };
    let plugin = judging("polls", &guest).await;
    let scene = Scene::new(host());
    scene.install(vec![plugin]);

    let no_json = scene.judge(&poll("{nonsense")).await;
    // The guest would trap.
    let broken = scene.judge(&poll(r#""!MUCH TOO LONG""#)).await;

    let (reason, violations) = refused(&no_json);
    assert_eq!((reason, &violations[0]["path"]), ("invalid_content", &json!("")));
    assert!(violations[0]["message"].as_str().unwrap().contains("JSON"), "{violations}");
    let (reason, violations) = refused(&broken);
    assert_eq!((reason, violations.as_array().unwrap().len()), ("invalid_content", 2));
    assert_eq!(steps(&broken), [("polls", "validate-content", "invalid")]);
    assert!(!broken.is_fault());
}

#[tokio::test]
async fn what_the_plugin_finds_wrong_is_told_by_path() {
    let long = "x".repeat(300);
    let violations = [("/options/0", "must differ"), ("", long.as_str())];
    let guest = Judging { types: FREE, violations: &violations, ..Judging::default() };

    let judgement = judged(vec![judging("polls", &guest).await], &poll(r#""?""#)).await;

    let told = json!([
        { "path": "/options/0", "message": "must differ" },
        { "path": "", "message": "x".repeat(200) },
    ]);
    assert_eq!(refused(&judgement), ("invalid_content", told));
}

#[tokio::test]
async fn a_normalised_content_takes_the_place_of_what_was_sent() {
    let guest = Judging { types: POLL, content: Some(r#""then""#), ..Judging::default() };
    let plugin = judging("polls", &guest).await;
    let guard = answering("guard", &Answer::default()).await;

    let judgement = judged(vec![plugin, guard], &poll(r#""when""#)).await;

    assert_eq!(judgement.body, poll(r#""then""#));
    assert_eq!(
        steps(&judgement),
        [("polls", "validate-content", "normalised"), ("guard", "before-send", "pass")]
    );
    assert_eq!(judgement.steps[0].changed, ["content"]);
}

#[tokio::test]
async fn a_normaliser_that_breaks_the_rules_is_at_fault() {
    let long = format!("\"{}\"", "x".repeat(70));
    for (types, content) in
        [(POLL, r#""LOUD""#), (POLL, "{"), (FREE, "{"), (FREE, long.as_str()), (FREE, "\"\0\"")]
    {
        let guest = Judging { types, content: Some(content), ..Judging::default() };

        let judgement = judged(vec![judging("polls", &guest).await], &poll(r#""when""#)).await;

        assert_eq!(refused(&judgement).0, "content_unchecked", "{content}");
        assert_eq!(steps(&judgement), [("polls", "validate-content", "invalid_answer")]);
        assert_eq!(judgement.body, poll(r#""when""#));
    }
}

#[tokio::test]
async fn an_answer_that_breaks_the_rules_is_a_fault() {
    let many = [("", "no"); 17];
    let astray = [("options", "no")];
    for violations in [&[][..], &many, &astray] {
        let guest = Judging { types: FREE, violations, ..Judging::default() };

        let judgement = judged(vec![judging("polls", &guest).await], &poll(r#""?""#)).await;

        assert_eq!(steps(&judgement), [("polls", "validate-content", "invalid_answer")]);
    }
    let most = Judging { types: FREE, violations: &many[1..], ..Judging::default() };
    let judgement = judged(vec![judging("polls", &most).await], &poll(r#""?""#)).await;
    assert_eq!(refused(&judgement).1.as_array().unwrap().len(), 16);

    for (types, body) in [(TEXT, text("hello")), (FREE, poll(r#""when""#))] {
        let preview = if types == TEXT { "a preview" } else { "a\0b" };
        let guest = Judging { types, preview: Some(preview), ..Judging::default() };
        let judgement = judged(vec![judging("polls", &guest).await], &body).await;
        assert_eq!(steps(&judgement), [("polls", "validate-content", "invalid_answer")]);
    }
}

#[tokio::test]
async fn several_may_tighten_one_type_and_each_sees_what_the_one_before_it_left() {
    let first = Judging { types: TEXT, content: Some("h?"), ..Judging::default() };
    let second = Judging { types: TEXT, violations: &[("", "no")], ..Judging::default() };
    let plugins = vec![judging("first", &first).await, judging("second", &second).await];

    let judgement = judged(plugins, &text("hello")).await;

    assert_eq!(refused(&judgement).1, json!([{ "path": "", "message": "no" }]));
    assert_eq!(
        steps(&judgement),
        [("first", "validate-content", "normalised"), ("second", "validate-content", "invalid")]
    );
}

#[tokio::test]
async fn whoever_judges_one_type_is_not_asked_about_another() {
    let plugin = judging("polls", &Judging { types: POLL, ..Judging::default() }).await;

    let judgement = judged(vec![plugin], &text("n!")).await;

    assert_eq!((judgement.outcome, judgement.steps), (Outcome::Send, Vec::new()));
}

#[tokio::test]
async fn a_content_type_is_no_way_round_before_send() {
    let plugin = judging("polls", &Judging { types: POLL, ..Judging::default() }).await;
    let stop = answering("stop", &Answer::reject("words", "", "{}")).await;

    let judgement = judged(vec![plugin, stop], &poll(r#""when""#)).await;

    assert_eq!(refused(&judgement).0, "words");
    assert_eq!(steps(&judgement)[1], ("stop", "before-send", "reject"));
}

#[tokio::test]
async fn a_modification_is_judged_again_and_gets_a_preview_of_its_own() {
    let guest = Judging { types: POLL, preview: Some("a poll"), ..Judging::default() };
    let plugin = judging("polls", &guest).await;
    let modify = answering("modify", &Answer::content(r#""then""#)).await;

    let judgement = judged(vec![plugin, modify], &poll(r#""when""#)).await;

    let preview = Some("a poll".to_owned());
    assert_eq!(judgement.body, Body { preview, ..poll(r#""then""#) });
    assert_eq!(
        steps(&judgement),
        [
            ("polls", "validate-content", "valid"),
            ("modify", "before-send", "modify"),
            ("polls", "validate-content", "valid"),
        ]
    );
}

#[tokio::test]
async fn a_modification_that_is_invalid_is_the_modifiers_fault_and_nothing_of_it_is_kept() {
    let plugin = async || {
        let guest = Judging { types: POLL, preview: Some("a poll"), ..Judging::default() };
        judging("polls", &guest).await
    };
    let modify = async |on_fault| Installation {
        on_fault,
        ..answering("modify", &Answer::content(r#""LOUD""#)).await
    };
    let stored = Body { preview: Some("a poll".to_owned()), ..poll(r#""when""#) };
    let all = [
        ("polls", "validate-content", "valid"),
        ("polls", "validate-content", "invalid"),
        ("modify", "before-send", "invalid_answer"),
    ];

    let plugins = vec![plugin().await, modify(OnFault::Allow).await];
    let allowed = judged(plugins, &poll(r#""when""#)).await;
    assert_eq!((&allowed.outcome, &allowed.body), (&Outcome::Send, &stored));
    assert_eq!(steps(&allowed), all);

    let plugins = vec![plugin().await, modify(OnFault::Hold).await];
    let waiting = judged(plugins, &poll(r#""when""#)).await;
    let Outcome::Hold(hold) = &waiting.outcome else { panic!("{waiting:?}") };
    assert_eq!((hold.cause, hold.plugin.as_str()), (HoldCause::Fault, "modify"));
    assert_eq!(waiting.body, stored);

    let plugins = vec![plugin().await, modify(OnFault::Reject).await];
    let refusal = judged(plugins, &poll(r#""when""#)).await;
    assert_eq!(refused(&refusal).0, "moderation_unavailable");
    assert!(refusal.is_fault());
}

#[tokio::test]
async fn a_validator_that_fails_about_a_modification_goes_by_its_own_policy() {
    let guest = Judging { types: TEXT, ..Judging::default() };
    let plugin = judging("tighten", &guest).await;
    let modify = answering("modify", &Answer::content("h!")).await;

    let judgement = judged(vec![modify, plugin], &text("hello")).await;

    assert_eq!(refused(&judgement).0, "content_unchecked");
    assert_eq!(steps(&judgement)[2], ("tighten", "validate-content", "trapped"));
    assert!(judgement.is_fault());
}

#[tokio::test]
async fn a_fault_of_validation_goes_by_a_policy_of_its_own() {
    let plugin = async |on_content_fault| Installation {
        on_content_fault,
        on_fault: OnFault::Allow,
        ..judging("polls", &Judging { types: POLL, ..Judging::default() }).await
    };
    let body = poll(r#""!""#);

    let allowed = judged(vec![plugin(OnFault::Allow).await], &body).await;
    let refusal = judged(vec![plugin(OnFault::Reject).await], &body).await;
    let guard = answering("guard", &Answer::default()).await;
    let waiting = judged(vec![plugin(OnFault::Hold).await, guard], &body).await;

    assert_eq!((allowed.outcome, allowed.body), (Outcome::Send, body));
    let Outcome::Reject(rejection) = &refusal.outcome else { panic!("{refusal:?}") };
    assert_eq!(rejection.reason, "content_unchecked");
    assert!(rejection.retry_after_ms.is_some() && rejection.user_message.is_some());
    assert!(refusal.is_fault());
    let Outcome::Hold(hold) = &waiting.outcome else { panic!("{waiting:?}") };
    assert_eq!((hold.cause, hold.reason.as_str()), (HoldCause::Fault, "no answer: trapped"));
    // The rest is still asked.
    assert_eq!(steps(&waiting)[1], ("guard", "before-send", "pass"));
}

#[tokio::test]
async fn a_version_that_cannot_be_loaded_is_at_fault_but_its_schema_holds() {
    let plugin = judging("polls", &Judging { types: POLL, ..Judging::default() }).await;
    let on_content_fault = OnFault::Allow;
    let scene = Scene::new(host());
    scene.install(vec![Installation { compiled: None, on_content_fault, ..plugin }]);

    let passed = scene.judge(&poll(r#""when""#)).await;
    let broken = scene.judge(&poll(r#""LOUD""#)).await;

    assert_eq!(passed.outcome, Outcome::Send);
    assert_eq!(steps(&passed), [("polls", "validate-content", "unloadable")]);
    assert_eq!(refused(&broken).0, "invalid_content");
}

#[tokio::test]
async fn a_schema_that_cannot_be_read_any_more_is_a_fault_of_its_plugin() {
    let plugin = judging("polls", &Judging { types: FREE, ..Judging::default() }).await;
    let types = [DeclaredType { name: "acme.poll".to_owned(), schema: Some("{".to_owned()) }];
    let content_types = ContentTypes::new(&types);

    let plugins = vec![Installation { content_types, ..plugin }];
    let judgement = judged(plugins, &poll(r#""when""#)).await;

    assert_eq!(refused(&judgement).0, "content_unchecked");
    assert_eq!(steps(&judgement), [("polls", "validate-content", "unloadable")]);
}

#[tokio::test]
async fn the_check_of_a_schema_takes_one_of_the_orgs_places() {
    let limits = Limits { instances_per_org: 0, ..Limits::default() };
    let scene = Scene::new(host_with(limits));
    scene.install(vec![judging("polls", &Judging { types: POLL, ..Judging::default() }).await]);

    let judgement = scene.judge(&poll(r#""LOUD""#)).await;

    assert_eq!(refused(&judgement).0, "content_unchecked");
    assert_eq!(steps(&judgement), [("polls", "validate-content", "busy")]);
}

#[tokio::test]
async fn a_guard_may_own_a_type_and_normalise() {
    let guest = Judging { types: POLL, content: Some(r#""then""#), ..Judging::default() };
    let plugin = Installation { phase: Phase::Guard, ..judging("polls", &guest).await };

    let judgement = judged(vec![plugin], &poll(r#""when""#)).await;

    assert_eq!(judgement.body, poll(r#""then""#));
}

#[tokio::test]
async fn admins_see_how_validation_fares_beside_the_other_hook() {
    let scene = Scene::new(host());
    let plugin = judging("polls", &Judging { types: POLL, ..Judging::default() }).await;
    let id = plugin.id;
    scene.install(vec![plugin]);
    for content in [r#""when""#, r#""!""#, r#""LOUD""#] {
        scene.judge(&poll(content)).await;
    }

    let live = serde_json::to_value(scene.hooks.read(scene.caller.org.id, id)).unwrap();

    assert_eq!((&live[0]["hook"], &live[0]["calls"]), (&json!("validate-content"), &json!(2)));
    assert_eq!(live[0]["verdicts"], json!({ "valid": 1 }));
    assert_eq!(live[0]["refusedBySchema"], json!(1), "no call was made for it");
    assert_eq!(live[0]["faults"], json!({ "trapped": 1 }));
    assert_eq!(rejection(scene.send_body(&poll(r#""!""#)).await).reason, "content_unchecked");
}
