//! What a plugin finds where it is asked about something made up.

use std::sync::Arc;

use duologue::{
    domain::{KvLimits, Phase},
    plugin::{
        Act, Answered, Door, Hook, ImportCount, LaidOut, MadeUpSend, Scenario, StandInLimits,
        Tried, TryError, try_out,
    },
};
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use super::{
    asking::sender,
    support::{Scene, compiled, host, installed, text},
};
use crate::guests;

const LIMITS: StandInLimits = StandInLimits {
    kv: KvLimits { max_value_bytes: 64, max_keys: 3, max_bytes: 200, max_ttl_seconds: 60 },
    requests_per_call: 2,
    messages_per_call: 1,
};

async fn tried(wasm: &[u8], hook: Option<Hook>, laid_out: Json) -> Result<Tried, TryError> {
    let host = host();
    let scene = Scene::new(host.clone());
    let installation = installed(compiled(&host, wasm).await);
    assert_eq!(installation.phase, Phase::Transform);
    let send = MadeUpSend {
        hook,
        to: (*scene.caller.user).clone(),
        body: text("hello"),
        reply_to: None,
        previous: None,
        door: Door::Rest,
        attempt: 1,
        messages_24h: 0,
    };
    let scenario = Scenario {
        caller: scene.caller.clone(),
        now: OffsetDateTime::UNIX_EPOCH,
        act: Act::Send(Box::new(send)),
        laid_out: serde_json::from_value::<LaidOut>(laid_out).unwrap(),
    };
    try_out(&host, LIMITS, installation, scenario).await
}

/// What the guest told of what it found, and how its calls were answered.
async fn found(wasm: &[u8], laid_out: Json) -> (String, Vec<ImportCount>) {
    let tried = tried(wasm, None, laid_out).await.unwrap();
    let judgement = Arc::new(tried.judgement.unwrap());
    let said = judgement.steps.iter().find_map(|step| step.explanation.clone());
    (said.unwrap_or_default(), tried.imports)
}

fn counted(import: &'static str, answered: Answered, count: u64) -> ImportCount {
    ImportCount { import, answered, count }
}

#[tokio::test]
async fn keys_are_what_is_laid_out_and_what_the_call_makes_of_them() {
    // Counts under `n`, and tells what is there then.
    let count = "
        (call $increment
          (i32.const 2048) (i32.const 1) (i64.const 2) (i32.const 0) (i32.const 0) (i32.const 768))
        (call $get (i32.const 2048) (i32.const 1) (i32.const 768))
        (if (i32.load8_u (i32.const 776))
          (then (call $say (i32.load (i32.const 784)) (i32.load (i32.const 788)))))";
    let wasm = guests::asking(&["kv"], &["n"], count);
    let answers = |first| vec![counted("kv", first, 1), counted("kv", Answered::StandIn, 1)];

    let laid = found(&wasm, json!({ "kv": { "n": "40" } })).await;
    let bare = found(&wasm, json!({})).await;

    assert_eq!(laid, ("42".to_owned(), answers(Answered::LaidOut)));
    assert_eq!(bare, ("2".to_owned(), answers(Answered::LaidOut)));
}

#[tokio::test]
async fn what_a_call_wrote_is_in_the_store_afterwards() {
    let write = "
        (call $set (i32.const 2048) (i32.const 1) (i32.const 2049) (i32.const 4)
          (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 768))
        (call $delete (i32.const 2053) (i32.const 1) (i32.const 768))";
    let wasm = guests::asking(&["kv"], &["kkeptd"], write);

    let tried = tried(&wasm, None, json!({ "kv": { "d": "1", "o": "2" } })).await.unwrap();

    let stored = [("k", "kept"), ("o", "2")].map(|(key, text)| (key.to_owned(), text.to_owned()));
    assert_eq!(tried.kv, stored.into());
}

#[tokio::test]
async fn a_version_is_asked_about_its_configuration() {
    let lifecycle = guests::component_with("export lifecycle;", guests::LIFECYCLE);
    let ask = async |wasm: &[u8], config: Json| {
        let host = host();
        let mut installation = installed(compiled(&host, wasm).await);
        installation.config = serde_json::from_value(config).unwrap();
        let scenario = Scenario {
            caller: Scene::new(host.clone()).caller,
            now: OffsetDateTime::UNIX_EPOCH,
            act: Act::Configures,
            laid_out: LaidOut::default(),
        };
        try_out(&host, LIMITS, installation, scenario).await
    };

    let refused = ask(&lifecycle, json!({})).await.unwrap();
    assert_eq!(
        (refused.verdict.as_str(), refused.refusal.as_deref()),
        ("refused", Some("k is missing"))
    );
    let taken = ask(&lifecycle, json!({ "k": "v" })).await.unwrap();
    assert_eq!((taken.verdict.as_str(), taken.refusal), ("taken", None));
    let panics = guests::component_with("export lifecycle;", guests::PANICKING);
    let panics = ask(&panics, json!({})).await.unwrap();
    assert_eq!((panics.verdict.as_str(), panics.fault.as_deref()), ("fault", Some("trapped")));
    assert_eq!(panics.log.lines.len(), 1);
    let silent = ask(&guests::pass(), json!({})).await;
    assert_eq!(silent.err(), Some(TryError::NoHook("lifecycle")));
}

#[tokio::test]
async fn a_request_is_answered_as_it_is_laid_out_and_never_made() {
    const URL: &str = "https://api.example.com/ask";
    let wasm = sender(URL, 1, true);
    let answer = json!({ "method": "get", "url": URL, "status": 200, "body": "spam" });

    let laid = found(&wasm, json!({ "http": [answer], "secrets": ["key"] })).await;
    let bare = found(&wasm, json!({ "secrets": ["key"] })).await;

    let secret = counted("secrets", Answered::StandIn, 1);
    assert_eq!(laid, ("spam".to_owned(), vec![counted("http", Answered::LaidOut, 1), secret]));
    // Denied.
    assert_eq!(bare, ("0".to_owned(), vec![counted("http", Answered::StandIn, 1), secret]));
}

#[tokio::test]
async fn earlier_messages_and_people_are_those_laid_out() {
    let find = "
        (call $find (i32.const 2048) (i32.const 16) (i32.const 768))
        (if (i32.load8_u (i32.const 776))
          (then (call $say (i32.load (i32.const 784)) (i32.load (i32.const 788))))
          (else (call $digit (i32.load8_u (i32.const 768)))))";
    let wasm = guests::asking(&["directory"], &["carl@example.com"], find);
    let laid = json!({ "directory": [{ "email": "Carl@Example.com" }] });

    let (known, imports) = found(&wasm, laid).await;
    let (unknown, _) = found(&wasm, json!({})).await;

    assert_eq!((known.as_str(), unknown.as_str()), ("Carl@Example.com", "0"));
    assert_eq!(imports, [counted("directory", Answered::LaidOut, 1)]);
    let curious = guests::component_with("import history;", guests::HISTORY);
    let history = json!({ "history": [{ "fromCaller": true, "content": "before" }] });
    let history = tried(&curious, None, history);
    assert_eq!(history.await.unwrap().imports, [counted("history", Answered::LaidOut, 1)]);
}

#[tokio::test]
async fn only_hooks_that_the_plugin_has_are_asked() {
    let wasm = guests::asking(&[], &[], "");

    let asked = tried(&wasm, Some(Hook::BeforeSend), json!({})).await.unwrap();
    let not_there = tried(&wasm, Some(Hook::ValidateContent), json!({})).await;

    assert_eq!(asked.verdict, "pass");
    assert!(asked.memory_bytes > 0 && asked.micros > 0);
    assert_eq!(not_there.err(), Some(TryError::NoHook("validate-content")));
}
