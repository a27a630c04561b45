//! What becomes of a message when a plugin answers, and when its answer is no good.

use std::sync::Arc;

use duologue::{domain::OnFault, plugin::Installation};
use futures_util::future::join_all;
use serde_json::json;

use super::support::{
    Scene, ask, compiled, configured, fault_of, host, installed, logged, rejection, text,
};
use crate::guests::{self, Answer, ECHO_CONFIG, LOOK, REMEMBER, STAIN};

#[tokio::test]
async fn an_org_without_plugins_stores_what_was_sent() {
    let scene = Scene::new(host());

    assert_eq!(scene.send("hello").await.unwrap(), text("hello"));
}

#[tokio::test]
async fn pass_stores_what_was_sent() {
    assert_eq!(ask(&guests::pass(), "hello").await.unwrap(), text("hello"));
}

#[tokio::test]
async fn modify_stores_what_the_plugin_says() {
    let patched = ask(&guests::answering(&Answer::content("HELLO")), "hello").await.unwrap();
    assert_eq!(patched, text("HELLO"));

    let patched = ask(&guests::answering(&Answer::metadata("seen", "yes")), "hello").await.unwrap();
    assert_eq!(patched.metadata["seen"], "yes");
    assert_eq!(patched.content, "hello");
}

#[tokio::test]
async fn reject_tells_the_sender_code_message_and_details() {
    let guest =
        guests::answering(&Answer::reject("no.links", "No links, please.", r#"{"at":[3]}"#));

    let rejection = rejection(ask(&guest, "hello").await);

    assert_eq!(rejection.reason, "no.links");
    assert_eq!(rejection.user_message.as_deref(), Some("No links, please."));
    assert_eq!(rejection.details, Some(json!({ "at": [3] })));
    assert_eq!(rejection.retry_after_ms, Some(1500));
}

#[tokio::test]
async fn each_plugin_sees_what_the_one_before_it_left_and_the_first_rejection_ends_the_round() {
    let host = host();
    let echo = compiled(&host, &guests::component(ECHO_CONFIG)).await;
    let reject = compiled(&host, &guests::answering(&Answer::reject("no", "", "{}"))).await;
    let metadata = compiled(&host, &guests::answering(&Answer::metadata("k", "v"))).await;
    let scene = Scene::new(host);

    scene.install(vec![configured(&echo, [("k", "changed")]), installed(metadata)]);
    let body = scene.send("hello").await.unwrap();
    assert_eq!((body.content.as_str(), body.metadata["k"].as_str()), ("changed", "v"));

    scene.install(vec![installed(reject), configured(&echo, [("k", "changed")])]);
    assert_eq!(rejection(scene.send("hello").await).reason, "no");
}

#[tokio::test]
async fn each_org_has_its_own_plugins_and_configuration() {
    let host = host();
    let echo = compiled(&host, &guests::component(ECHO_CONFIG)).await;
    let acme = Scene::new(host);
    let other = acme.other_org();

    acme.install(vec![configured(&echo, [("k", "acme's")])]);
    assert_eq!(acme.send("hello").await.unwrap().content, "acme's");
    assert_eq!(other.send("hello").await.unwrap().content, "hello");

    other.install(vec![configured(&echo, [("other", "x")])]);
    assert_eq!(other.send("hello").await.unwrap().content, "hello");
}

#[tokio::test]
async fn a_plugin_that_is_removed_is_asked_no_more() {
    let host = host();
    let scene = Scene::new(host.clone());
    let reject = compiled(&host, &guests::answering(&Answer::reject("no", "", "{}"))).await;
    scene.install(vec![installed(reject)]);
    assert!(scene.send("hello").await.is_err());

    scene.install(Vec::new());

    assert!(scene.send("hello").await.is_ok());
}

#[tokio::test]
async fn no_instance_remembers_another_message() {
    let host = host();
    let scene = Scene::new(host.clone());
    scene.install(vec![installed(compiled(&host, &guests::component(REMEMBER)).await)]);

    for _ in 0..300 {
        assert!(scene.send("hello").await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_orgs_guest_leaves_in_memory_nobody_elses_finds() {
    const LOOKS: usize = 100_000;
    let host = host();
    let stainer = Scene::new(host.clone());
    stainer.install(vec![installed(compiled(&host, &guests::component(STAIN)).await)]);
    let looker = stainer.other_org();
    looker.install(vec![installed(compiled(&host, &guests::component(LOOK)).await)]);

    for _ in 0..LOOKS / 20 {
        let (left, found) =
            tokio::join!(stainer.send("hello"), join_all((0..20).map(|_| looker.send("hello"))));
        assert!(left.is_ok());
        assert!(found.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn a_patch_that_breaks_the_rules_of_a_message_is_a_fault() {
    let long = "x".repeat(65);
    let answers = [
        Answer::content("a\0b"),
        Answer::content(""),
        Answer::content(&long),
        Answer::attachments(11),
        Answer::metadata("k", "a\0b"),
    ];
    for answer in answers {
        assert_eq!(fault_of(host(), &guests::answering(&answer)).await, "invalid_answer");
    }
}

#[tokio::test]
async fn a_rejection_that_breaks_the_rules_is_a_fault() {
    let answers = [
        Answer::reject("Not A Code", "", "{}"),
        Answer::reject("", "", "{}"),
        Answer::reject("no", "", "not json"),
        Answer::reject("no", "", "[]"),
        Answer::reject("no", "a\0b", "{}"),
        // However it is written.
        Answer::reject("no", "", r#"{"a":[{"b":"\u0000"}]}"#),
    ];
    for answer in answers {
        assert_eq!(fault_of(host(), &guests::answering(&answer)).await, "invalid_answer");
    }
}

#[tokio::test]
async fn a_plugin_that_could_not_decide_is_a_fault_of_its_own_kind() {
    let guest = guests::answering(&Answer::declined("mode is wrong"));

    assert_eq!(fault_of(host(), &guest).await, "declined");
}

#[tokio::test]
async fn the_org_chooses_what_a_message_meets_on_a_fault() {
    let host = host();
    let scene = Scene::new(host.clone());
    let guest = compiled(&host, &guests::answering(&Answer::declined(""))).await;

    scene.install(vec![installed(Arc::clone(&guest))]);
    let refused = rejection(scene.send("hello").await);
    assert_eq!(refused.reason, "moderation_unavailable");
    assert_eq!(refused.retry_after_ms, Some(5000));
    assert!(refused.user_message.is_some());

    scene.install(vec![Installation { on_fault: OnFault::Allow, ..installed(guest) }]);
    assert_eq!(scene.send("hello").await.unwrap(), text("hello"));
}

#[tokio::test]
async fn a_plugin_that_fails_on_every_message_is_one_line_in_the_log() {
    let host = host();
    let scene = Scene::new(host.clone());
    scene.install(vec![installed(compiled(&host, &guests::component(guests::TRAP)).await)]);

    let ((), log) = logged(async {
        for _ in 0..50 {
            assert!(scene.send("hello").await.is_err());
        }
    })
    .await;

    assert_eq!(log.matches("plugin gave no answer").count(), 1, "{log}");
}
