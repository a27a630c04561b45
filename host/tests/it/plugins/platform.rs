//! The life of a plugin in an org: uploaded, granted, checked, activated, rolled back.

use std::{collections::BTreeMap, sync::Arc};

use duologue::{
    Error, Result,
    domain::{Body, BodyLimits, Caller, Judgement, OnFault, Outcome, Phase},
    plugin::{BeforeSend, Door, Hooks, PluginHost},
    service::{PluginEntry, PluginTerms, Plugins, Stages},
    settings::Settings,
};
use serde_json::json;
use time::OffsetDateTime;

use super::support::{Scene, compiled, host, installed, server, text};
use crate::{
    database::support::{EVENTS, TestDatabase, guests as guest_settings, letter},
    guests::{self, Answer},
};

/// An org's plugins on a database of its own, and people who write.
pub struct Org<const N: usize> {
    pub database: TestDatabase,
    pub plugins: Plugins,
    pub people: [Caller; N],
}

impl<const N: usize> Org<N> {
    pub async fn new(names: [&str; N]) -> Self {
        let database = TestDatabase::create().await;
        let people = database.org("acme", names).await;
        let plugins = plugins(&database, &host());
        Self { database, plugins, people }
    }

    pub fn admin(&self) -> &Caller {
        &self.people[0]
    }

    async fn upload(&self, wasm: &[u8]) -> PluginEntry {
        self.plugins.upload(self.admin(), "guest", wasm).await.unwrap().0
    }

    async fn activate(&self, terms: PluginTerms) -> Result<PluginEntry> {
        self.plugins.activate(self.admin(), "guest", (None, None), terms).await
    }

    async fn install(&self, wasm: &[u8]) -> PluginEntry {
        self.upload(wasm).await;
        self.activate(PluginTerms::default()).await.unwrap()
    }

    async fn find(&self) -> PluginEntry {
        self.plugins.find(self.admin(), "guest").await.unwrap()
    }

    /// What the plugins make of a message from one person to another.
    pub async fn judge(&self, from: &Caller, to: &Caller) -> Result<Judgement> {
        self.judge_body(from, to, &text("hello")).await
    }

    pub async fn judge_body(&self, from: &Caller, to: &Caller, body: &Body) -> Result<Judgement> {
        let ask = BeforeSend {
            caller: from,
            to: &to.user,
            body,
            reply_to: None,
            previous: None,
            door: Door::Rest,
            attempt: 1,
            now: OffsetDateTime::now_utc(),
            limits: &BodyLimits { max_content_bytes: 64, http_attachments: false },
        };
        self.plugins.judge(&ask).await
    }
}

/// An org's plugins as a server with that host has them.
pub fn plugins(database: &TestDatabase, host: &PluginHost) -> Plugins {
    let hooks = Hooks::new(host.clone()).served_by(Arc::new(server(database)));
    let stages = Stages {
        guests: Arc::new(server(database)),
        stand_in: guest_settings().stand_in(&EVENTS),
        settings: Settings::parse(None).unwrap().stages,
    };
    Plugins::new(database.db.clone(), host.clone(), hooks, stages)
}

pub fn refusal<T>(outcome: Result<T>) -> String {
    match outcome {
        Err(error @ (Error::Invalid(_) | Error::Conflict(_))) => error.to_string(),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was taken"),
    }
}

fn config(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("k".to_owned(), value.to_owned())])
}

#[tokio::test]
async fn a_version_that_imports_more_than_was_granted_is_not_activated() {
    let org = Org::new(["alice"]).await;
    let uploaded = org.upload(&guests::component_with("import history;", guests::HISTORY)).await;
    assert_eq!(uploaded.versions[0].report["imports"], json!(["history"]));

    let refused = refusal(org.activate(PluginTerms::default()).await);
    assert!(refused.contains("lack history"), "{refused}");
    assert_eq!(org.find().await.active_version, None);

    let grants = BTreeMap::from([("history".to_owned(), json!({}))]);
    org.plugins.grant(org.admin(), "guest", grants.clone()).await.unwrap();
    let active = org.activate(PluginTerms::default()).await.unwrap();
    assert_eq!((active.active_version.is_some(), active.grants), (true, grants));
}

#[tokio::test]
async fn a_grant_that_the_active_version_needs_cannot_be_taken_away() {
    let org = Org::new(["alice"]).await;
    org.upload(&guests::component_with("import history;", guests::HISTORY)).await;
    let grants = BTreeMap::from([("history".to_owned(), json!({}))]);
    org.plugins.grant(org.admin(), "guest", grants).await.unwrap();
    org.activate(PluginTerms::default()).await.unwrap();

    let refused = refusal(org.plugins.grant(org.admin(), "guest", BTreeMap::new()).await);
    assert!(refused.contains("imports history"), "{refused}");

    org.plugins.disable(org.admin(), "guest").await.unwrap();
    org.plugins.grant(org.admin(), "guest", BTreeMap::new()).await.unwrap();
}

#[tokio::test]
async fn only_what_is_offered_can_be_granted() {
    let org = Org::new(["alice"]).await;
    org.upload(&guests::pass()).await;
    for grants in [("files", json!({})), ("history", json!({ "most": 9 })), ("history", json!(1))] {
        let grants = BTreeMap::from([(grants.0.to_owned(), grants.1)]);

        refusal(org.plugins.grant(org.admin(), "guest", grants).await);
    }
}

#[tokio::test]
async fn a_plugin_that_was_granted_history_sees_what_the_caller_sees() {
    let org = Org::new(["alice", "bob", "carol"]).await;
    let [alice, bob, carol] = &org.people;
    let services = org.database.services();
    services.sending.send(alice, duologue::service::Via::Rest, letter(bob, "first")).await.unwrap();
    services
        .sending
        .send(bob, duologue::service::Via::Rest, letter(alice, "second"))
        .await
        .unwrap();
    org.upload(&guests::component_with("import history;", guests::HISTORY)).await;
    let grants = BTreeMap::from([("history".to_owned(), json!({}))]);
    org.plugins.grant(org.admin(), "guest", grants).await.unwrap();
    org.activate(PluginTerms::default()).await.unwrap();

    assert_eq!(org.judge(alice, bob).await.unwrap().body, text("second"));
    assert_eq!(org.judge(alice, carol).await.unwrap().body, text("hello"));
}

#[tokio::test]
async fn a_guest_may_ask_the_server_only_so_often() {
    let host = host();
    let scene = Scene::new(host.clone());
    let guest = guests::component_with("import history;", guests::CURIOUS);
    scene.install(vec![installed(compiled(&host, &guest).await)]);

    let judgement = scene.judge(&text("hello")).await;

    assert_eq!(judgement.steps[0].fault.as_deref(), Some("too_many_calls"));
}

#[tokio::test]
async fn a_plugin_is_told_who_the_caller_is() {
    let host = host();
    let mut scene = Scene::new(host.clone());
    let seen = duologue::domain::User {
        first_seen_at: Some(OffsetDateTime::UNIX_EPOCH),
        ..(*scene.caller.user).clone()
    };
    scene.caller.user = seen.into();
    scene.caller.roles = ["vip".to_owned()].into();
    scene.install(vec![installed(compiled(&host, &guests::component(guests::ECHO_CALLER)).await)]);

    let body = text("hello");
    let judgement = scene.hooks.judge(&scene.question(&body), 42).await.unwrap();

    let Outcome::Hold(hold) = &judgement.outcome else { panic!("{judgement:?}") };
    assert_eq!((hold.reason.as_str(), hold.ttl.unwrap().as_secs()), ("vip", 42));
}

#[tokio::test]
async fn roll_back_swaps_the_two_versions_that_decided_last() {
    let org = Org::new(["alice", "bob"]).await;
    let [alice, bob] = &org.people;
    let first = org.install(&guests::pass()).await.active_version;
    refusal(org.plugins.roll_back(org.admin(), "guest").await);
    let second = org.install(&guests::answering(&Answer::shadow())).await.active_version;
    assert_eq!(org.judge(alice, bob).await.unwrap().outcome, Outcome::Shadow);

    let back = org.plugins.roll_back(org.admin(), "guest").await.unwrap();
    assert_eq!((&back.active_version, &back.previous_version), (&first, &second));
    assert_eq!(org.judge(alice, bob).await.unwrap().outcome, Outcome::Send);

    let forth = org.plugins.roll_back(org.admin(), "guest").await.unwrap();
    assert_eq!((&forth.active_version, &forth.previous_version), (&second, &first));
}

#[tokio::test]
async fn a_version_that_fails_for_five_senders_gives_way_where_an_admin_chose_that() {
    let org = Org::new(["a", "b", "c", "d", "e", "f"]).await;
    let good = org.install(&guests::pass()).await.active_version;
    org.upload(&guests::component(guests::TRAP)).await;
    let terms = PluginTerms {
        on_fault: Some(OnFault::Hold),
        auto_rollback: Some(true),
        ..PluginTerms::default()
    };
    org.activate(terms).await.unwrap();
    let to = &org.people[5];

    for _ in 0..9 {
        org.judge(&org.people[0], to).await.unwrap();
    }
    assert_ne!(org.find().await.active_version, good);
    for from in &org.people[..5] {
        org.judge(from, to).await.unwrap();
    }

    while org.find().await.active_version != good {
        tokio::task::yield_now().await;
    }
    let now = org.find().await;
    assert_eq!(now.previous_version, None);
    // This server has it in place a moment after the database does.
    while org.judge(&org.people[0], to).await.unwrap().outcome != Outcome::Send {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_plugin_that_is_spared_is_not_called_and_its_policy_decides() {
    let org = Org::new(["a", "b", "c", "d", "e", "f"]).await;
    org.install(&guests::component(guests::TRAP)).await;
    let to = &org.people[5];
    for from in &org.people[..5] {
        let judgement = org.judge(from, to).await.unwrap();
        assert_eq!(judgement.steps[0].fault.as_deref(), Some("trapped"));
    }

    let judgement = org.judge(&org.people[0], to).await.unwrap();

    assert_eq!(judgement.steps[0].fault.as_deref(), Some("breaker_open"));
    assert!(matches!(judgement.outcome, Outcome::Hold(_)), "{:?}", judgement.outcome);
    let live = serde_json::to_value(org.find().await.live.remove(0)).unwrap();
    assert_eq!(live["breaker"]["state"], "open");
    assert_eq!(live["faults"], json!({ "trapped": 5, "breaker_open": 1 }));
}

#[tokio::test]
async fn a_version_that_does_not_take_its_configuration_is_not_activated() {
    let org = Org::new(["alice"]).await;
    org.upload(&guests::component_with("export lifecycle;", guests::LIFECYCLE)).await;

    let refused = refusal(org.activate(PluginTerms::default()).await);
    assert!(refused.contains("k is missing"), "{refused}");

    org.plugins.configure(org.admin(), "guest", config("v")).await.unwrap();
    let active = org.activate(PluginTerms::default()).await.unwrap();
    assert_eq!(active.config_revision, 2);

    let refused = refusal(org.plugins.configure(org.admin(), "guest", BTreeMap::new()).await);
    assert!(refused.contains("k is missing"), "{refused}");
    let version = active.active_version.unwrap();
    assert!(refused.contains(&format!("version {}", &version[..12])), "{refused}");
    assert!(refused.contains("the active version"), "{refused}");
    assert_eq!(org.find().await.config, config("v"));
}

#[tokio::test]
async fn a_version_and_a_configuration_that_only_it_takes_are_activated_together() {
    let org = Org::new(["alice", "bob"]).await;
    let [alice, bob] = &org.people;
    let picky = guests::component_with("export lifecycle;", guests::LIFECYCLE);
    org.upload(&picky).await;
    let terms = PluginTerms::default();
    let activate = |config| org.plugins.activate(alice, "guest", (None, Some(config)), terms);

    let refused = refusal(activate(BTreeMap::new()).await);
    assert!(refused.contains("k is missing"), "{refused}");
    assert_eq!((org.find().await.active_version, org.find().await.config_revision), (None, 1));
    activate(config("v")).await.unwrap();

    // What the active version does not take, the next one does.
    let next = org.upload(&guests::component(guests::ECHO_CONFIG)).await;
    refusal(org.plugins.configure(alice, "guest", BTreeMap::new()).await);
    let other = BTreeMap::from([("j".to_owned(), "w".to_owned())]);
    let active = activate(other.clone()).await.unwrap();

    assert_eq!(
        (active.active_version, active.config),
        (Some(next.versions[0].version.clone()), other)
    );
    assert_eq!(active.config_revision, 3);
    let judgement = org.judge(alice, bob).await.unwrap();
    assert_eq!(judgement.steps[0].verdict, "pass");
}

#[tokio::test]
async fn a_version_that_panics_over_its_configuration_says_where() {
    let org = Org::new(["alice"]).await;
    org.upload(&guests::component_with("export lifecycle;", guests::PANICKING)).await;

    let refused = refusal(org.activate(PluginTerms::default()).await);

    assert!(refused.contains("gave no answer: it trapped"), "{refused}");
    assert!(refused.contains("panicked at src/lib.rs:7:9: no `k`"), "{refused}");
    let log = org.plugins.list_log(org.admin(), "guest", 0).await.unwrap();
    let lines: Vec<_> = log.lines.iter().map(|line| (line.number, line.level)).collect();
    assert_eq!(lines, [(1, "error")]);

    // The lines go on where another version comes to decide.
    org.install(&guests::component(guests::FLOOD)).await;
    assert_eq!(org.plugins.list_log(org.admin(), "guest", 0).await.unwrap().lines, log.lines);
}

#[tokio::test]
async fn an_upload_is_tried_once_and_the_report_says_how_it_did() {
    let org = Org::new(["alice"]).await;

    let passes = org.upload(&guests::answering(&Answer::shadow())).await;
    let traps = org.upload(&guests::component(guests::TRAP)).await;

    let dry_run = &passes.versions[0].report["dryRun"][0];
    assert_eq!((&dry_run["hook"], &dry_run["verdict"]), (&json!("before-send"), &json!("shadow")));
    assert!(dry_run["micros"].as_u64().unwrap() > 0);
    assert_eq!(dry_run["memoryBytes"], 128 << 10);
    let dry_run = &traps.versions[0].report["dryRun"][0];
    assert_eq!((&dry_run["verdict"], &dry_run["fault"]), (&json!("fault"), &json!("trapped")));
    assert!(dry_run["why"].as_str().unwrap().contains("unreachable"), "{dry_run}");

    let says = org.upload(&guests::component(guests::PANICKING)).await;
    let dry_run = &says.versions[0].report["dryRun"][0];
    assert_eq!(dry_run["log"], json!(["panicked at src/lib.rs:7:9: no `k`"]));
}

#[tokio::test]
async fn plugins_are_asked_by_phase_and_position() {
    let org = Org::new(["alice", "bob"]).await;
    let [alice, bob] = &org.people;
    for name in ["one", "two", "three"] {
        org.plugins.upload(alice, name, &guests::pass()).await.unwrap();
        org.plugins.activate(alice, name, (None, None), PluginTerms::default()).await.unwrap();
    }
    let order = async |name: &'static str, phase, position| {
        org.plugins.order(alice, name, phase, position).await.unwrap();
        let steps = org.judge(alice, bob).await.unwrap().steps;
        steps.into_iter().map(|step| step.plugin).collect::<Vec<_>>()
    };

    assert_eq!(order("three", None, Some(1)).await, ["one", "three", "two"]);
    assert_eq!(order("one", Some(Phase::Guard), Some(1)).await, ["three", "two", "one"]);
    assert_eq!(order("three", None, None).await, ["two", "three", "one"]);
    refusal(org.plugins.order(alice, "one", None, Some(0)).await);
}

#[tokio::test]
async fn admins_see_counters_and_what_guests_logged() {
    let org = Org::new(["alice", "bob"]).await;
    let [alice, bob] = &org.people;
    org.install(&guests::component(guests::FLOOD)).await;
    org.judge(alice, bob).await.unwrap();

    let live = serde_json::to_value(org.find().await.live.remove(0)).unwrap();
    assert_eq!((&live["calls"], &live["verdicts"]), (&json!(1), &json!({ "pass": 1 })));
    assert_eq!(live["breaker"], json!({ "state": "closed" }));
    let page = org.plugins.list_log(alice, "guest", 0).await.unwrap();
    assert_eq!((page.lines.len(), page.dropped, page.cursor), (64, 936, 64));
    assert_eq!((page.lines[0].level, page.lines[0].text.len()), ("info", 2048));
    assert_eq!(org.plugins.list_log(alice, "guest", 64).await.unwrap().lines, []);
}
