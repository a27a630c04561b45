//! Recorded calls run again: the same question gets the same answer, and nobody else is asked.

use std::collections::BTreeMap;

use duologue::{
    domain::{Body, Judgement, Receipt, Run, RunContent, Step, ThreadId, UserId},
    plugin::{Hook, NotReplayable, Replayed, replay_limits},
    service::{NewSecret, PluginTerms},
};
use serde_json::{Value as Json, json};

use super::{
    asking::{COUNT, sender},
    platform::Org,
    support::{host_with, server, text},
    word_filter,
};
use crate::{guests, outgoing::support::Peer};

/// The one call of a judgement.
fn only(judgement: &Judgement) -> (&Step, &Run) {
    assert_eq!((judgement.steps.len(), judgement.runs.len()), (1, 1));
    (&judgement.steps[0], judgement.runs[0].as_deref().unwrap())
}

fn content(judgement: &Judgement) -> RunContent {
    serde_json::from_str(only(judgement).1.content.get()).unwrap()
}

/// What a component makes of a recorded call.
async fn replay(wasm: &[u8], judgement: &Judgement) -> Result<Replayed, NotReplayable> {
    let (step, run) = only(judgement);
    let host = host_with(replay_limits(&run.record.terms, false));
    let compiled = host.compile(wasm).await.unwrap();
    let config = run.config.as_ref().unwrap().config.clone();
    let config: BTreeMap<String, String> = serde_json::from_value(config).unwrap();
    let hook = Hook::parse(&step.hook).unwrap();
    host.replay(&compiled, hook, (&run.record, &content(judgement)), config).await
}

/// It answers as it did then.
async fn assert_same(wasm: &[u8], judgement: &Judgement) {
    let replayed = replay(wasm, judgement).await.unwrap();

    let (step, run) = only(judgement);
    assert_eq!(replayed.diverged, None);
    assert_eq!(replayed.answered, run.record.answered);
    let content = content(judgement);
    assert_eq!(replayed.answer, content.answer, "{step:?}");
    let hashed = content.salt.sha256_of(&replayed.answer.to_string());
    assert_eq!(Some(hashed), run.record.answer_sha256);
}

impl Org<2> {
    async fn say(&self, content: &str) -> Judgement {
        self.say_body(&text(content)).await
    }

    async fn say_body(&self, body: &Body) -> Judgement {
        self.judge_body(&self.people[0], &self.people[1], body).await.unwrap()
    }
}

#[tokio::test]
async fn a_word_filter_gives_each_of_its_verdicts_again() {
    let wasm = std::fs::read(word_filter::path()).unwrap();
    let org = Org::new(["alice", "bob"]).await;
    org.add("guard", &wasm, json!({})).await;

    let mut answered = Vec::new();
    for mode in ["mask", "reject", "hold", "shadow", "label"] {
        let config = [("words", "darn"), ("mode", mode)];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        org.plugins.configure(org.admin(), "guard", config).await.unwrap();
        for content in ["oh darn", "oh dear"] {
            let judgement = org.say(content).await;
            assert_same(&wasm, &judgement).await;
            answered.push(only(&judgement).1.record.answered.clone());
        }
    }

    let pass = "pass";
    assert_eq!(
        answered,
        ["modify", pass, "reject", pass, "hold", pass, "shadow", pass, pass, pass]
    );
}

#[tokio::test]
async fn a_guest_that_rolls_dice_rolls_the_same_again() {
    let wasm = guests::built("js.wasm");
    let org = Org::new(["alice", "bob"]).await;
    org.add("dice", &wasm, json!({})).await;

    let (first, second) = (org.say("random").await, org.say("random").await);

    assert_ne!(first.body.content, second.body.content);
    assert!(only(&first).1.record.seed.is_some());
    assert_same(&wasm, &first).await;
    assert_same(&wasm, &second).await;
}

#[tokio::test]
async fn what_a_guest_has_kept_is_told_as_it_was_then() {
    let wasm = guests::asking(&["kv"], &["n"], COUNT);
    let org = Org::new(["alice", "bob"]).await;
    org.add("counter", &wasm, json!({ "kv": {} })).await;

    let (first, second) = (org.say("one").await, org.say("two").await);

    assert_same(&wasm, &first).await;
    assert_same(&wasm, &second).await;
    assert_ne!(content(&first).answer, content(&second).answer);
    // Nothing was counted by that.
    assert_eq!(org.told().await, ["3"]);
}

#[tokio::test]
async fn a_version_that_asks_for_something_else_diverges() {
    let org = Org::new(["alice", "bob"]).await;
    org.add("counter", &guests::asking(&["kv"], &["n"], COUNT), json!({ "kv": {} })).await;
    let judgement = org.say("one").await;

    let other_key = replay(&guests::asking(&["kv"], &["m"], COUNT), &judgement).await.unwrap();
    let twice = guests::asking(&["kv"], &["n"], &format!("{COUNT} {COUNT}"));
    let twice = replay(&twice, &judgement).await.unwrap();

    assert!(other_key.diverged.unwrap().contains("kv.increment for something else"));
    assert!(twice.diverged.unwrap().contains("no further answer"));
}

#[tokio::test]
async fn a_request_is_answered_from_the_receipt_and_its_secret_is_not_in_it() {
    let org = Org::new(["alice", "bob"]).await;
    let peer = Peer::answering("200 OK", "clean").await;
    let wasm = sender(&peer.url("/check"), 1, true);
    let judgement = Box::pin(spending(&org, &peer, &wasm)).await;

    assert_same(&wasm, &judgement).await;

    let run = only(&judgement).1;
    assert_eq!(run.record.imports, ["secrets.open", "http.send"]);
    assert!(!format!("{run:?}").contains("hush"), "{run:?}");
    let asked = &content(&judgement).host_calls[1].asked;
    assert_eq!(asked["headers"], json!([["authorization", { "bearer": true }]]));
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_repeats_a_secret_is_not_recorded() {
    let org = Org::new(["alice", "bob"]).await;
    let peer = Peer::answering("200 OK", "you said: hush").await;
    let judgement = Box::pin(spending(&org, &peer, &sender(&peer.url("/check"), 1, true))).await;

    let run = only(&judgement).1;

    assert!(!format!("{run:?}").contains("hush"), "{run:?}");
    assert_eq!(content(&judgement).answer, Json::Null);
    assert!(run.record.not_replayable.as_ref().unwrap().contains("secret"));
}

#[tokio::test]
async fn a_secret_that_comes_back_a_request_later_is_not_recorded() {
    let org = Org::new(["alice", "bob"]).await;
    let peer = Peer::answering("200 OK", "you said: hush").await;
    let judgement = Box::pin(spending(&org, &peer, &forgetful(&peer.url("/check")))).await;

    let (step, run) = only(&judgement);

    assert_eq!(step.explanation.as_deref(), Some("you said: hush"), "the guest was told");
    assert_eq!(run.record.imports, ["secrets.open", "http.send"]);
    assert!(!format!("{run:?}").contains("hush"), "{run:?}");
    assert_eq!((content(&judgement).answer, &run.record.answer_sha256), (Json::Null, &None));
    assert!(run.record.not_replayable.as_ref().unwrap().contains("secret"));
    let receipt = receipt_of(&judgement);
    assert!(!format!("{receipt:?}").contains("hush"), "{receipt:?}");
}

/// As it is kept.
fn receipt_of(judgement: &Judgement) -> Receipt {
    let thread = ThreadId::of(UserId::new(), UserId::new());
    Receipt::new(thread, (false, 1), &judgement.steps, judgement.runs.clone()).unwrap()
}

/// A guest that opens the secret `key`, asks without it and tells the answer: as one does whose
/// peer remembers what an earlier request brought.
fn forgetful(url: &str) -> Vec<u8> {
    let asking = format!(
        "(call $open (i32.const 2048) (i32.const 3) (i32.const 768))
        (call $send (i32.const 0) (i32.const 2051) (i32.const {})
          (i32.const 512) (i32.const 0) (i32.const 0) (i32.const 0)
          (i32.const 0) (i32.const 0) (i32.const 768))
        (call $say (i32.load (i32.const 784)) (i32.load (i32.const 788)))",
        url.len()
    );
    guests::asking(&["http", "secrets"], &["key", url], &asking)
}

#[tokio::test]
async fn hashes_of_short_content_cannot_be_guessed() {
    let org = Org::new(["alice", "bob"]).await;
    let wasm = guests::asking(&["kv"], &["n"], "");
    org.add("guest", &wasm, json!({ "kv": {} })).await;

    let [one, other] = [org.say("hello").await, org.say("hello").await];

    let answers = [&one, &other].map(|judgement| content(judgement).answer);
    assert_eq!(answers[0], answers[1]);
    let hashes = [&one, &other].map(|judgement| only(judgement).1.record.answer_sha256.clone());
    assert!(hashes[0].is_some() && hashes[0] != hashes[1], "{hashes:?}");
}

/// What a guest makes of a message that spends the secret `hush`.
async fn spending(org: &Org<2>, peer: &Peer, wasm: &[u8]) -> Judgement {
    let at = peer.grant().to_string();
    // Boxed: large as a future.
    Box::pin(org.add("guest", wasm, json!({ "http": { "hosts": [at] }, "secrets": {} }))).await;
    let new = NewSecret { value: "hush".to_owned().into(), hosts: vec![at] };
    server(&org.database).secrets.set(org.admin(), "guest", "key", &new).await.unwrap();
    org.say("hello").await
}

#[tokio::test]
async fn a_fault_is_the_same_fault_again() {
    let wasm = guests::component(guests::TRAP);
    let org = Org::new(["alice", "bob"]).await;
    org.plugins.upload(org.admin(), "trap", &wasm).await.unwrap();
    let terms = PluginTerms::default();
    org.plugins.activate(org.admin(), "trap", (None, None), terms).await.unwrap();

    let judgement = org.say("hello").await;

    assert_same(&wasm, &judgement).await;
    assert_eq!(only(&judgement).1.record.answered, "trapped");
}

#[tokio::test]
async fn nothing_is_recorded_for_an_org_that_wants_no_receipts() {
    let org = Org::new(["alice", "bob"]).await;
    org.add("counter", &guests::asking(&["kv"], &["n"], COUNT), json!({ "kv": {} })).await;
    let mut caller = org.people[0].clone();
    let mut quiet = (*caller.org).clone();
    quiet.settings.receipt_days = 0;
    caller.org = quiet.into();

    let judgement = org.judge(&caller, &org.people[1]).await.unwrap();

    assert_eq!(judgement.steps.len(), 1);
    assert!(judgement.runs[0].is_none());
}
