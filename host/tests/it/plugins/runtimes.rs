//! WASI as guests find it: there, and nothing behind it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use duologue::{
    Result,
    domain::Body,
    plugin::{BeforeSend, Compiled, Limits},
};
use time::{OffsetDateTime, macros::datetime};
use tokio::sync::OnceCell;

use super::support::{
    Scene, ask, compiled, decided, fault_in, fault_of, host, host_with, installed, logged,
    rejection, text,
};
use crate::guests;

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00:00.125 UTC);
const NOW_MS: &str = "1795348800125";

/// A scene with one of the guests in `guests/js` and `guests/python`.
async fn speaking(language: &str) -> Scene {
    let scene = Scene::new(host());
    scene.install(vec![installed(guest(language).await)]);
    scene
}

async fn guest(language: &str) -> Arc<Compiled> {
    static JS: OnceCell<Arc<Compiled>> = OnceCell::const_new();
    static PYTHON: OnceCell<Arc<Compiled>> = OnceCell::const_new();
    let cell = if language == "js" { &JS } else { &PYTHON };
    let compile = || async { compiled(&host(), &guests::built(&format!("{language}.wasm"))).await };
    Arc::clone(cell.get_or_init(compile).await)
}

/// What the guest makes of a trial, as it writes it into the message.
async fn tried(scene: &Scene, trial: &str) -> String {
    let (outcome, log) = logged(at_now(scene, trial)).await;
    outcome.unwrap_or_else(|error| panic!("{trial}: {error}: {log}")).content
}

async fn at_now(scene: &Scene, trial: &str) -> Result<Body> {
    let body = text(trial);
    let ask = BeforeSend { now: NOW, ..scene.question(&body) };
    decided(scene.hooks.judge(&ask, 0).await.unwrap())
}

#[tokio::test]
async fn a_report_names_what_runtimes_import_behind_what_is_ours() {
    for language in ["js", "python"] {
        let imports = guest(language).await.report.imports.clone();

        let (wasi, mut ours): (Vec<_>, Vec<_>) =
            imports.iter().cloned().partition(|name| name.starts_with("wasi:"));
        ours.sort();
        assert_eq!(ours, ["config", "log"]);
        assert_eq!(imports[2..], wasi);
        assert!(wasi.iter().any(|name| name.starts_with("wasi:clocks/wall-clock@0.2.")));
    }
}

#[tokio::test]
async fn time_stands_still_at_the_time_of_the_call() {
    let js = tried(&speaking("js").await, "time").await;
    let python = tried(&speaking("python").await, "time").await;

    assert_eq!(js, format!("{NOW_MS} {NOW_MS}"));
    assert_eq!(python, format!("{NOW_MS}000000 {NOW_MS}000000 0"));
}

#[tokio::test]
async fn who_waits_for_a_time_has_it_at_once() {
    let scene = speaking("python").await;
    let started = Instant::now();

    // An hour.
    assert_eq!(tried(&scene, "sleep").await, "None");

    assert!(started.elapsed() < Duration::from_secs(10));
    let trial = "(call $block (call $after (i64.const -1)))";
    assert!(ask(&guests::trying(trial), "hello").await.is_ok());
}

#[tokio::test]
async fn a_guest_that_waits_for_ever_uses_up_its_time() {
    let host = host_with(Limits {
        call_cpu: Duration::from_millis(50),
        call_timeout: Duration::from_secs(10),
        chain_timeout: Duration::from_secs(10),
        ..Limits::default()
    });
    let trial = "
        (local.set $n (call $after (i64.const 1000000000)))
        (loop (call $block (local.get $n)) (br 0))";

    assert_eq!(fault_of(host, &guests::trying(trial)).await, "timed_out");
}

#[tokio::test]
async fn randomness_differs_between_calls() {
    for language in ["js", "python"] {
        let scene = speaking(language).await;

        let first = tried(&scene, "random").await;

        assert!(first.starts_with("0."), "{first}");
        assert_ne!(first, tried(&scene, "random").await);
    }
}

#[tokio::test]
async fn what_is_printed_is_in_the_log_in_its_order() {
    let (outcome, log) = logged(at_now(&speaking("python").await, "print")).await;

    assert!(outcome.is_ok(), "{log}");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("guest.level")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    assert!(lines[0].contains("Info") && lines[0].contains("printed by"), "{log}");
    assert!(lines[1].contains("Info") && lines[1].contains("written by"), "{log}");
    assert!(lines[2].contains("Warn") && lines[2].contains("complained by"), "{log}");

    let (_, log) = logged(at_now(&speaking("js").await, "print")).await;

    assert!(log.contains("printed by") && log.contains("complained by"), "{log}");
}

#[tokio::test]
async fn what_a_runtime_says_of_a_crash_is_in_the_log() {
    let (outcome, log) = logged(at_now(&speaking("js").await, "crash")).await;

    assert_eq!(rejection(outcome).reason, "moderation_unavailable");
    assert_eq!(fault_in(&log), "trapped");
    assert!(log.contains("missing is not defined"), "{log}");
}

#[tokio::test]
async fn printing_counts_against_the_limits_of_the_log() {
    let host = host();
    let scene = Scene::new(host.clone());
    let trial = "
        (local.set $n (i32.const 1000))
        (loop
          (call $write (call $stdout) (i32.const 4096) (i32.const 7) (i32.const 64))
          (local.set $n (i32.sub (local.get $n) (i32.const 1)))
          (br_if 0 (local.get $n)))";
    // One handle is enough for any number of lines.
    let trial = trial.replace("(call $stdout)", "(i32.load (i32.const 8))");
    let trial = format!(
        "(i32.store (i32.const 8) (call $stdout)) {trial} (i32.store8 (i32.const 4) (i32.const 0))"
    );
    scene.install(vec![installed(compiled(&host, &guests::trying(&trial)).await)]);

    let (outcome, log) = logged(scene.send("hello")).await;

    assert!(outcome.is_ok());
    assert_eq!(log.matches("line=\"a line\"").count(), 64);
    assert!(log.contains("dropped=936"), "{log}");
}

#[tokio::test]
async fn there_are_no_files_no_network_and_no_environment() {
    let scene = speaking("python").await;

    for trial in ["open", "write", "connect", "resolve"] {
        let answer = tried(&scene, trial).await;

        assert!(answer.starts_with("OSError"), "{trial}: {answer}");
    }
    assert_eq!(tried(&scene, "environ").await, "({}, [])");
    assert_eq!(tried(&scene, "input").await, "''");
}

#[tokio::test]
async fn a_guest_that_ends_itself_is_at_fault() {
    let (outcome, log) = logged(at_now(&speaking("python").await, "exit")).await;

    assert_eq!(rejection(outcome).reason, "moderation_unavailable");
    assert_eq!(fault_in(&log), "trapped");
    assert!(log.contains("exit code 1"), "{log}");
    assert_eq!(fault_of(host(), &guests::trying("(call $exit (i32.const 0))")).await, "trapped");
}

#[tokio::test]
async fn handles_and_random_bytes_are_bounded() {
    let hoard = "(loop (drop (call $stdout)) (br 0))";
    assert_eq!(fault_of(host(), &guests::trying(hoard)).await, "trapped");

    let flood = "(call $random (i64.const 1000000000000) (i32.const 64))";
    fault_of(host(), &guests::trying(flood)).await;

    assert!(ask(&guests::pass(), "hello").await.is_ok());
}

#[tokio::test]
async fn a_call_in_another_language_fits_the_default_limits() {
    for language in ["js", "python"] {
        let scene = speaking(language).await;

        // Other tests may have the processors for a while; not each time.
        let mut fastest = Duration::MAX;
        for _ in 0..20 {
            let started = Instant::now();
            assert!(scene.send("hello").await.is_ok());
            fastest = fastest.min(started.elapsed());
        }

        assert!(fastest < Limits::default().call_timeout, "{language}: {fastest:?}");
    }
}
