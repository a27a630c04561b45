//! How recipients are told: what plugins decide, together and where they fail.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use duologue::{
    domain::{
        Channels, Delivery, Email, Kind, Message, MessageId, MessageState, Notified, PluginId,
        Priority, ThreadId, UserId, UserProfile,
    },
    plugin::{Compiled, Hooks, Installation, Limits, OnNotify, PluginHost, Standing},
};
use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use time::{OffsetDateTime, macros::datetime};
use tokio::sync::OnceCell;

use super::support::{
    Scene, compiled, configured, host, host_with, installed, logged, server, text,
};
use crate::{
    database::support::{TestDatabase, letter},
    guests,
};

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

/// A message between two people, and the plugins of their org.
struct Notifying {
    scene: Scene,
    message: Message,
    sender: UserProfile,
    recipient: UserProfile,
}

impl Notifying {
    fn new(host: PluginHost, plugins: Vec<Installation>) -> Self {
        let scene = Scene::new(host);
        scene.install(plugins);
        let (sender, recipient) = (UserId::new(), UserId::new());
        Self {
            scene,
            message: message("hello", sender, recipient),
            sender: person("alice@a.example"),
            recipient: person("bob@b.example"),
        }
    }

    /// With the guest of `guests/notify`, once for each of these deeds.
    async fn doing(deeds: &[&str]) -> Self {
        let guest = guest().await;
        let plugins = deeds.iter().map(|deed| configured(&guest, [("does", *deed)]));
        Self::new(host(), plugins.collect())
    }

    fn question(&self) -> OnNotify<'_> {
        OnNotify {
            org: &self.scene.caller.org,
            message: &self.message,
            sender: &self.sender,
            recipient: &self.recipient,
            standing: Standing { online: false, last_seen_at: None, unread: 1 },
            attempt: 1,
            now: NOW,
        }
    }

    async fn notified(&self) -> Notified {
        self.scene.hooks.on_notify(&self.question()).await
    }
}

async fn guest() -> Arc<Compiled> {
    static GUEST: OnceCell<Arc<Compiled>> = OnceCell::const_new();
    let compile = || async { compiled(&host(), &guests::built("notify.wasm")).await };
    Arc::clone(GUEST.get_or_init(compile).await)
}

fn person(email: &str) -> UserProfile {
    UserProfile {
        email: Email::parse(email).unwrap(),
        kind: Kind::Customer,
        name: None,
        picture: None,
        zoneinfo: None,
        locale: None,
        first_seen_at: None,
    }
}

fn message(content: &str, sender_id: UserId, recipient_id: UserId) -> Message {
    Message {
        id: MessageId::new(),
        thread_id: ThreadId::of(sender_id, recipient_id),
        sender_id,
        recipient_id,
        client_id: None,
        body: text(content),
        reply_to: None,
        seq: Some(7),
        state: MessageState::Sent,
        shadowed: false,
        refused_reason: None,
        pending_revision: None,
        created_at: NOW,
        edited_at: None,
        deleted_at: None,
        read_at: None,
        hidden_for_sender: false,
        hidden_for_recipient: false,
    }
}

/// What was noted of an org's one plugin: verdicts and faults.
fn counted(hooks: &Hooks, notifying: &Notifying, plugin: &Installation) -> Json {
    let live = hooks.read(notifying.scene.caller.org.id, plugin.id);
    let [post] = &live[..] else { panic!("{live:?}") };
    assert_eq!(post.hook, "on-notify");
    json!({ "verdicts": post.counters.verdicts, "faults": post.counters.faults })
}

#[tokio::test]
async fn without_a_plugin_a_notification_stays_as_it_is() {
    let notified = Notifying::new(host(), Vec::new()).notified().await;

    assert_eq!(notified.delivery, Delivery::Now);
    assert!(!notified.tells_sockets(false));
}

#[tokio::test]
async fn a_plugin_rewrites_suppresses_delays_and_routes() {
    let rewritten = Notifying::doing(&["rewrite Hello"]).await.notified().await;
    let words = &rewritten.words;
    assert_eq!(words.title.as_deref(), Some("Hello"));
    assert_eq!(words.body.as_deref(), Some("rewritten"));
    assert_eq!((&words.data, words.priority), (&Some(json!({ "a": 1 })), Some(Priority::High)));
    assert!(rewritten.tells_sockets(false));

    let suppressed = Notifying::doing(&["suppress a bot wrote it"]).await.notified().await;
    assert_eq!(suppressed.delivery, Delivery::Suppressed("a bot wrote it".to_owned()));

    let delayed = Notifying::doing(&["delay 60000"]).await.notified().await;
    assert_eq!(delayed.delivery, Delivery::Later(NOW + Duration::from_mins(1)));

    let routed = Notifying::doing(&["ways socket"]).await.notified().await;
    assert_eq!(routed.channels, Some(Channels { list: false, socket: true }));
    let nowhere = Notifying::doing(&["ways "]).await.notified().await;
    assert_eq!(nowhere.channels, Some(Channels::default()));
}

#[tokio::test]
async fn each_plugin_sees_what_the_one_before_it_left() {
    let notified = Notifying::doing(&["rewrite a", "mark b", "ways list", "mark c"]).await;

    let notified = notified.notified().await;

    assert_eq!(notified.words.title.as_deref(), Some("abc"));
    assert_eq!(notified.words.body.as_deref(), Some("rewritten"));
    assert_eq!(notified.channels, Some(Channels { list: true, socket: false }));
}

#[tokio::test]
async fn the_longest_delay_counts_and_a_suppression_ends_the_round() {
    let delayed = Notifying::doing(&["delay 1000", "delay 9000", "delay 2000"]).await;
    let delayed = delayed.notified().await;
    assert_eq!(delayed.delivery, Delivery::Later(NOW + Duration::from_secs(9)));

    let suppressed = Notifying::doing(&["delay 1000", "suppress enough", "mark x"]).await;
    let suppressed = suppressed.notified().await;
    assert_eq!(suppressed.delivery, Delivery::Suppressed("enough".to_owned()));
    assert_eq!(suppressed.words.title, None);
}

#[tokio::test]
async fn a_plugin_is_shown_the_message_and_how_it_stands_with_the_recipient() {
    let mut notifying = Notifying::doing(&["show"]).await;
    notifying.sender.name = Some("Alice".to_owned());
    notifying.sender.kind = Kind::Staff;
    notifying.recipient.zoneinfo = Some("Europe/Berlin".to_owned());
    let standing = Standing { online: true, last_seen_at: Some(NOW), unread: 3 };
    let ask = OnNotify { standing, attempt: 2, ..notifying.question() };

    let shown = notifying.scene.hooks.on_notify(&ask).await.words.data.unwrap();

    let now_ms = 1_795_348_800_000_u64;
    assert_eq!(
        shown["recipient"],
        json!({
            "online": true, "lastSeenMs": now_ms, "unread": 3, "zoneinfo": "Europe/Berlin",
            "local": {
                "year": 2026, "month": 11, "day": 22, "weekday": 7,
                "hour": 13, "minute": 0, "offsetMinutes": 60,
            },
        })
    );
    let call = &shown["call"];
    assert_eq!((&call["org"], &call["attempt"]), (&json!("acme"), &json!(2)));
    assert_eq!(call["nowMs"], now_ms);
    let message = &shown["notification"]["message"];
    assert_eq!(
        message["sender"],
        json!({ "email": "alice@a.example", "kind": "staff", "name": "Alice" })
    );
    assert_eq!(message["recipient"]["email"], "bob@b.example");
    assert_eq!((&message["body"]["content"], &message["seq"]), (&json!("hello"), &json!(7)));
    assert_eq!(shown["notification"]["priority"], "normal");
}

#[tokio::test]
async fn a_zone_that_is_none_has_no_local_time() {
    let mut notifying = Notifying::doing(&["show"]).await;
    notifying.recipient.zoneinfo = Some("Mars/Base".to_owned());

    let shown = notifying.notified().await.words.data.unwrap();

    assert_eq!(shown["recipient"]["zoneinfo"], "Mars/Base");
    assert_eq!(shown["recipient"]["local"], Json::Null);
}

#[tokio::test]
async fn where_a_plugin_fails_the_recipient_is_told_as_the_others_say() {
    let limits = Limits {
        call_cpu: Duration::from_millis(200),
        notify_timeout: Duration::from_secs(20),
        wait_for_instance: Duration::from_secs(10),
        ..Limits::default()
    };
    let host = host_with(limits);
    let hostile = [
        (guests::notifier(guests::TRAP), "trapped"),
        (guests::notifier(guests::SPIN), "timed_out"),
        (guests::notifier(guests::HOG), "out_of_memory"),
        (guests::notifier(guests::DEEP), "trapped"),
    ];
    let guest = compiled(&host, &guests::built("notify.wasm")).await;
    let mut failing: Vec<(Installation, &str)> = vec![
        (configured(&guest, [("does", "crash")]), "trapped"),
        (configured(&guest, [("does", "ways list,push")]), "invalid_answer"),
        (configured(&guest, [("does", "suppress a\0b")]), "invalid_answer"),
        (Installation { compiled: None, ..installed(Arc::clone(&guest)) }, "unloadable"),
    ];
    for (wasm, fault) in hostile {
        failing.push((installed(compiled(&host, &wasm).await), fault));
    }
    for (plugin, fault) in failing {
        let named = Installation { id: plugin.id, ..configured(&guest, []) };
        let mark = |mark| configured(&guest, [("does", mark)]);
        let notifying =
            Notifying::new(host.clone(), vec![mark("rewrite a"), plugin, mark("mark b")]);

        let (notified, log) = logged(notifying.notified()).await;

        assert!(notified.faulted);
        assert_eq!(notified.delivery, Delivery::Now, "{fault}");
        assert_eq!(notified.words.title.as_deref(), Some("ab"), "{fault}");
        let counted = counted(&notifying.scene.hooks, &notifying, &named);
        assert_eq!(counted, json!({ "verdicts": {}, "faults": { fault: 1 } }));
        assert!(log.contains(&format!("fault=\"{fault}\"")), "{log}");
        assert!(!log.contains("hello"), "{log}");
    }
}

#[tokio::test]
async fn a_plugin_that_fails_for_many_senders_is_spared_and_recipients_are_told() {
    let guest = guest().await;
    let plugin = configured(&guest, [("does", "crash")]);
    let named = Installation { id: plugin.id, ..configured(&guest, []) };
    let mut notifying = Notifying::new(host(), vec![plugin]);
    for _ in 0..6 {
        notifying.message.sender_id = UserId::new();
        assert_eq!(notifying.notified().await.delivery, Delivery::Now);
    }

    let faults = &counted(&notifying.scene.hooks, &notifying, &named)["faults"];

    assert_eq!(faults, &json!({ "trapped": 5, "breaker_open": 1 }));
}

#[tokio::test]
async fn what_nobody_waits_for_waits_for_a_place_itself() {
    let host = host_with(Limits {
        call_cpu: Duration::from_millis(50),
        notify_timeout: Duration::from_mins(1),
        wait_for_instance: Duration::from_millis(1),
        instances_per_org: 1,
        ..Limits::default()
    });
    let plugin = installed(compiled(&host, &guests::notifier(guests::SPIN)).await);
    let named = Installation { id: plugin.id, ..installed(guest().await) };
    let mut notifying = Notifying::new(host, vec![plugin]);
    let database = TestDatabase::create().await;
    let hooks = notifying.scene.hooks.clone().served_by(Arc::new(server(&database)));
    notifying.scene.hooks = hooks;

    join_all((0..3).map(|_| notifying.notified())).await;

    let counted = counted(&notifying.scene.hooks, &notifying, &named);
    assert_eq!(counted["faults"], json!({ "timed_out": 3 }));
}

#[tokio::test]
async fn a_plugin_has_no_longer_than_its_time() {
    let host = host_with(Limits {
        call_cpu: Duration::from_mins(1),
        notify_timeout: Duration::from_millis(300),
        ..Limits::default()
    });
    let plugin = installed(compiled(&host, &guests::notifier(guests::SPIN)).await);
    let notifying = Notifying::new(host, vec![plugin]);
    let began = Instant::now();

    assert!(notifying.notified().await.faulted);

    assert!((300..10_000).contains(&began.elapsed().as_millis()));
}

#[tokio::test]
async fn imports_act_at_once_for_the_recipient_and_nobody_is_written_to() {
    let database = TestDatabase::create().await;
    let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
    let services = database.services();
    let sent = services.sending.send(&alice, duologue::service::Via::Rest, letter(&bob, "first"));
    Box::pin(sent).await.unwrap();
    let wasm = guests::built("notify.wasm");
    let plugins = super::platform::plugins(&database, &host());
    Box::pin(plugins.upload(&alice, "guest", &wasm)).await.unwrap();
    let granted = ["history", "kv", "messages"].map(|name| (name.to_owned(), json!({})));
    plugins.grant(&alice, "guest", granted.into()).await.unwrap();
    let hooks = Hooks::new(host()).served_by(Arc::new(server(&database)));
    let [(id,)]: [(PluginId,); 1] =
        database.rows("select id from plugins").await.try_into().unwrap();
    let ask = async |does: &str| {
        let plugin = Installation { id, ..configured(&guest().await, [("does", does)]) };
        hooks.replace(alice.org.id, vec![plugin]);
        let notifying = Notifying::new(host(), Vec::new());
        let ask = OnNotify {
            org: &alice.org,
            message: &message("hello", alice.user.id, bob.user.id),
            ..notifying.question()
        };
        hooks.on_notify(&ask).await.words
    };

    assert_eq!(ask("count").await.title.as_deref(), Some("call 1"));
    assert_eq!(ask("count").await.title.as_deref(), Some("call 2"));
    // It was not bob who wrote it.
    assert_eq!(ask("history").await.body.as_deref(), Some(r#"[[false,"first"]]"#));
    assert_eq!(ask("send").await.title.as_deref(), Some("denied"));
}

#[tokio::test]
async fn an_upload_is_tried_on_a_notification() {
    let scene = Scene::new(host());
    for (deed, verdict) in [("mark x", "rewrite"), ("crash", "fault")] {
        let config = [("does".to_owned(), deed.to_owned())].into();
        let runs = scene.hooks.dry_run(&*guest().await, &scene.caller, config, &[]).await;

        let [run] = &runs[..] else { panic!("{runs:?}") };
        assert_eq!((run.hook, run.verdict), ("on-notify", verdict));
    }
}
