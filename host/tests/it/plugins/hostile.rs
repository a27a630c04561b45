//! Guests that attack the server: each costs one message and nothing else.

use std::time::{Duration, Instant};

use duologue::plugin::{Limits, PluginHost};

use super::support::{
    Scene, ask_on, compiled, fault_in, fault_of, host, host_with, installed, logged, rejection,
    text,
};
use crate::guests::{self, Answer};

/// A host on which a loop ends soon, but a busy machine fails no honest guest.
fn strict() -> PluginHost {
    host_with(Limits {
        call_cpu: Duration::from_millis(100),
        call_timeout: Duration::from_secs(5),
        chain_timeout: Duration::from_secs(5),
        instances: 2,
        instances_per_org: 1,
        wait_for_instance: Duration::from_millis(20),
        ..Limits::default()
    })
}

#[tokio::test]
async fn a_guest_that_loops_is_stopped_wherever_it_does() {
    let host = strict();
    for wat in [guests::SPIN, guests::SPIN_AT_START, guests::SPIN_IN_REALLOC] {
        let started = Instant::now();

        assert_eq!(fault_of(host.clone(), &guests::component(wat)).await, "timed_out", "{wat}");

        // Compiling included.
        assert!(started.elapsed() < Duration::from_secs(10), "{wat}");
    }
    assert_eq!(ask_on(host, &guests::pass(), "hello").await.unwrap(), text("hello"));
}

#[tokio::test]
async fn a_guest_that_loops_leaves_its_thread_to_others() {
    let host = strict();
    let spin = compiled(&host, &guests::component(guests::SPIN)).await;
    let scene = Scene::new(host);
    scene.install(vec![installed(spin)]);

    // There is one thread, so the other task runs only where the guest lets go of it.
    let mut turns = 0;
    let other = async {
        loop {
            turns += 1;
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        outcome = scene.send("hello") => assert!(outcome.is_err()),
        () = other => {}
    }

    assert!(turns >= 10, "{turns}");
}

#[tokio::test]
async fn time_spent_computing_is_bounded_apart_from_time_spent() {
    let host = host_with(Limits {
        call_cpu: Duration::from_millis(20),
        call_timeout: Duration::from_mins(1),
        chain_timeout: Duration::from_mins(1),
        ..Limits::default()
    });

    assert_eq!(fault_of(host, &guests::component(guests::SPIN)).await, "timed_out");
}

#[tokio::test]
async fn all_plugins_of_an_org_share_one_deadline() {
    let host = host_with(Limits {
        call_cpu: Duration::from_mins(1),
        call_timeout: Duration::from_mins(1),
        chain_timeout: Duration::from_millis(50),
        ..Limits::default()
    });

    assert_eq!(fault_of(host, &guests::component(guests::SPIN)).await, "timed_out");
}

#[tokio::test]
async fn a_guest_that_eats_memory_is_stopped() {
    for wat in [guests::HOG, guests::TABLE_HOG] {
        assert_eq!(fault_of(host(), &guests::component(wat)).await, "out_of_memory", "{wat}");
    }
}

#[tokio::test]
async fn memory_is_counted_over_all_memories() {
    // 40 MiB each, where 64 MiB are allowed.
    let wat = guests::constant(&Answer::default()).replace("\"memory\") 2", "\"memory\") 640");
    let component = with_a_second_module(&guests::component(&wat), 640);
    let small = with_a_second_module(&guests::component(&wat), 64);

    assert_eq!(fault_of(host(), &component).await, "out_of_memory");
    assert!(ask_on(host(), &small, "hello").await.is_ok());
}

/// Puts a module with a memory of its own, and an instance of it, at the end of a component.
fn with_a_second_module(component: &[u8], pages: u32) -> Vec<u8> {
    let module = wat::parse_str(format!("(module (memory {pages}))")).unwrap();
    let mut wasm = component.to_vec();
    section(&mut wasm, 1, &module);
    // One core instance, made by instantiating module 1 with no arguments.
    section(&mut wasm, 2, &[1, 0, 1, 0]);
    wasm
}

fn section(wasm: &mut Vec<u8>, id: u8, content: &[u8]) {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80, "longer lengths take more bytes");
    wasm.extend_from_slice(&[id, length]);
    wasm.extend_from_slice(content);
}

#[tokio::test]
async fn a_guest_that_traps_or_recurses_costs_one_message() {
    for wat in [guests::TRAP, guests::DEEP] {
        assert_eq!(fault_of(host(), &guests::component(wat)).await, "trapped", "{wat}");
    }
    assert!(ask_on(host(), &guests::pass(), "hello").await.is_ok());
}

#[tokio::test]
async fn an_answer_of_20_mb_is_not_taken_over() {
    let guest = guests::component(guests::LONG_ANSWER);

    assert_eq!(fault_of(host(), &guest).await, "invalid_answer");
}

#[tokio::test]
async fn a_flood_of_lines_is_cut_and_counted() {
    let host = host();
    let scene = Scene::new(host.clone());
    scene.install(vec![installed(compiled(&host, &guests::component(guests::FLOOD)).await)]);

    let (outcome, log) = logged(scene.send("hello")).await;

    assert!(outcome.is_ok());
    assert_eq!(log.matches(&"x".repeat(2048)).count(), 64);
    assert!(!log.contains(&"x".repeat(2049)));
    assert!(log.contains("dropped=936"), "{}", &log[log.len() - 500..]);
}

#[tokio::test]
async fn an_org_that_uses_up_its_instances_takes_none_from_others() {
    let host = strict();
    let spin = compiled(&host, &guests::component(guests::SPIN)).await;
    let pass = compiled(&host, &guests::pass()).await;
    let busy = Scene::new(host);
    let other = busy.other_org();
    busy.install(vec![installed(spin)]);
    other.install(vec![installed(pass)]);

    // One of both has the org's one instance when the other asks.
    let both = logged(async { tokio::join!(busy.send("1"), busy.send("2")) });
    let (((first, second), log), third) = tokio::join!(both, other.send("3"));

    assert_eq!(rejection(first).reason, "moderation_unavailable");
    assert_eq!(rejection(second).reason, "moderation_unavailable");
    // It gives up waiting before the guest is out of time.
    assert_eq!(fault_in(&log), "busy");
    assert_eq!(third.unwrap(), text("3"));
}

#[tokio::test]
async fn a_call_in_flight_ends_with_what_it_began_with() {
    let host = host_with(Limits {
        call_timeout: Duration::from_secs(5),
        chain_timeout: Duration::from_secs(5),
        ..Limits::default()
    });
    let spin = compiled(&host, &guests::component(guests::SPIN)).await;
    let pass = compiled(&host, &guests::pass()).await;
    let scene = Scene::new(host);
    scene.install(vec![installed(spin)]);

    // The first has begun with its plugins when the second is polled.
    let (old, new) = tokio::join!(scene.send("old"), async {
        scene.install(vec![installed(pass)]);
        scene.send("new").await
    });

    assert_eq!(rejection(old).reason, "moderation_unavailable");
    assert_eq!(new.unwrap(), text("new"));
}

#[tokio::test]
async fn calls_that_are_given_up_leave_the_pool_whole() {
    let host = strict();
    let spin = compiled(&host, &guests::component(guests::SPIN)).await;
    let scene = Scene::new(host.clone());
    scene.install(vec![installed(spin)]);

    for _ in 0..100 {
        // As when a client goes away: the question is dropped while the guest runs.
        tokio::select! {
            biased;
            _ = scene.send("hello") => panic!("the guest cannot have answered"),
            () = tokio::task::yield_now() => {}
        }
    }

    assert!(ask_on(host, &guests::pass(), "hello").await.is_ok());
}
