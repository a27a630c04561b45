//! The sample plugin as its author builds it.

use std::{path::PathBuf, sync::Arc};

use duologue::{
    domain::{Body, Metadata, Outcome},
    plugin::{BeforeSend, Compiled},
};
use serde_json::json;
use tokio::sync::OnceCell;

use super::support::{
    Scene, compiled, configured, decided, fault_in, file, host, logged, rejection, text,
};

/// Built by `make plugins` (`plugins/build.sh`), or lying where the environment says.
pub fn path() -> PathBuf {
    const BUILT: &str = "plugins/target/wasm32-unknown-unknown/release/word-filter.wasm";
    std::env::var_os("DUOLOGUE_WORD_FILTER").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(BUILT),
        PathBuf::from,
    )
}

pub async fn word_filter() -> Arc<Compiled> {
    static COMPILED: OnceCell<Arc<Compiled>> = OnceCell::const_new();
    let compile = || async {
        let path = path();
        let wasm = std::fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; run plugins/build.sh first", path.display())
        });
        compiled(&host(), &wasm).await
    };
    Arc::clone(COMPILED.get_or_init(compile).await)
}

async fn filtering<const N: usize>(config: [(&str, &str); N]) -> Scene {
    let scene = Scene::new(host());
    scene.install(vec![configured(&word_filter().await, config)]);
    scene
}

#[tokio::test]
async fn it_asks_for_nothing_but_its_configuration_and_a_log() {
    let report = &word_filter().await.report;

    assert_eq!(report.hooks, ["before-send"]);
    let mut imports = report.imports.clone();
    imports.sort();
    assert_eq!(imports, ["config", "log"]);
}

#[tokio::test]
async fn it_masks_the_words_wherever_a_recipient_reads_them() {
    let scene = filtering([("words", "darn, heck")]).await;
    let body = Body {
        attachments: vec![file("fine.txt"), file("heck.txt")],
        metadata: [("k".to_owned(), "what the HECK".to_owned())].into(),
        preview: None,
        ..text("Darn! Undarned.")
    };

    let masked = scene.send_body(&body).await.unwrap();

    assert_eq!(masked.content, "****! Undarned.");
    assert_eq!(masked.attachments, [file("fine.txt"), file("****.txt")]);
    assert_eq!(masked.metadata, Metadata::from([("k".to_owned(), "what the ****".to_owned())]));
}

#[tokio::test]
async fn it_rejects_where_its_org_wants_that() {
    let scene =
        filtering([("words", "darn"), ("mode", "reject"), ("message", "Mind your tongue.")]).await;

    let rejection = rejection(scene.send("oh, darn").await);

    assert_eq!(rejection.reason, "words");
    assert_eq!(rejection.user_message.as_deref(), Some("Mind your tongue."));
    assert_eq!(rejection.details, Some(json!({ "fields": ["content"] })));
    assert_eq!(scene.send("oh, dear").await.unwrap(), text("oh, dear"));
}

#[tokio::test]
async fn it_holds_shadows_or_labels_where_its_org_wants_that() {
    for mode in ["hold", "shadow", "label"] {
        let scene = filtering([("words", "darn"), ("mode", mode)]).await;

        let judgement = scene.judge(&text("oh, darn")).await;

        match mode {
            "hold" => {
                let Outcome::Hold(hold) = &judgement.outcome else { panic!("{judgement:?}") };
                assert_eq!(hold.reason, "a listed word in content");
            }
            "shadow" => assert_eq!(judgement.outcome, Outcome::Shadow),
            _ => assert_eq!(judgement.outcome, Outcome::Send),
        }
        assert_eq!(judgement.body, text("oh, darn"));
        assert_eq!((judgement.labels.len(), judgement.labels[0].name.as_str()), (1, "words"));
        assert_eq!(judgement.steps[0].explanation.as_deref(), Some("a listed word in content"));
        let clean = scene.judge(&text("oh, dear")).await;
        assert_eq!((clean.outcome, clean.labels.len()), (Outcome::Send, 0));
    }
}

#[tokio::test]
async fn it_judges_edits_like_new_messages() {
    let scene = filtering([("words", "darn")]).await;
    let (before, after) = (text("fine"), text("darn"));
    let edit = BeforeSend { previous: Some(&before), ..scene.question(&after) };

    assert_eq!(decided(scene.hooks.judge(&edit, 0).await.unwrap()).unwrap(), text("****"));
}

#[tokio::test]
async fn without_words_everything_passes() {
    let scene = filtering([("mode", "reject")]).await;

    assert_eq!(scene.send("darn").await.unwrap(), text("darn"));
}

#[tokio::test]
async fn a_mode_that_it_does_not_know_lets_nothing_through() {
    let scene = filtering([("words", "darn"), ("mode", "delete")]).await;

    let (outcome, log) = logged(scene.send("fine")).await;

    assert_eq!(rejection(outcome).reason, "moderation_unavailable");
    assert_eq!(fault_in(&log), "declined");
}
