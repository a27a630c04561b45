//! Versions that are tried before they decide.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use duologue::{
    Error,
    domain::{Caller, Email, EntryId, RunState},
    plugin::PluginHost,
    service::{BacktestCommand, PluginTerms, RunEntry, RunResult, SendCommand, Services, Via},
};
use futures_util::{StreamExt, stream};
use serde_json::json;
use uuid::Uuid;

use super::{support::host, word_filter};
use crate::{
    database::support::{TestDatabase, letter},
    guests,
};

/// Sets `k` to `seen`, and counts under `n`.
const WRITE: &str = "
    (call $set (i32.const 2048) (i32.const 1) (i32.const 2049) (i32.const 4)
      (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 768))
    (call $increment
      (i32.const 2053) (i32.const 1) (i64.const 1) (i32.const 0) (i32.const 0) (i32.const 768))";

struct Scene {
    database: TestDatabase,
    services: Services,
    people: Vec<Caller>,
}

impl Scene {
    /// An org with a plugin of which no version decides.
    async fn new(host: &PluginHost, wasm: &[u8]) -> Self {
        let database = TestDatabase::create().await;
        let mut people = database.org("acme", ["alice", "bob"]).await.to_vec();
        for caller in &mut people {
            // Many first messages at once would each be charged as one to a new person.
            let mut org = (*caller.org).clone();
            org.settings.limits.new_peers_per_day = 0;
            caller.org = Arc::new(org);
        }
        let services = database.services_on(host).0;
        // Boxed: large as a future.
        Box::pin(services.plugins.upload(&people[0], "guest", wasm)).await.unwrap();
        Self { database, services, people }
    }

    async fn keeping() -> Self {
        let scene = Self::new(&host(), &guests::asking(&["kv"], &["kseenn"], WRITE)).await;
        let grants = [("kv".to_owned(), json!({}))].into();
        scene.services.plugins.grant(scene.admin(), "guest", grants).await.unwrap();
        scene
    }

    async fn filtering() -> Self {
        let wasm = std::fs::read(word_filter::path()).unwrap();
        let scene = Self::new(&host(), &wasm).await;
        let config = [("words", "darn"), ("mode", "reject")];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
        scene.services.plugins.configure(scene.admin(), "guest", config.into()).await.unwrap();
        scene
    }

    fn admin(&self) -> &Caller {
        &self.people[0]
    }

    /// Sends one, and answers its id, or `None` where it was refused; and how long that took.
    async fn send(&self, content: &str) -> (Option<Uuid>, Duration) {
        let began = Instant::now();
        let id = self.send_to(self.people[1].user.email.clone(), content).await;
        (id, began.elapsed())
    }

    async fn send_to(&self, to: Email, content: &str) -> Option<Uuid> {
        let command = SendCommand { to, ..letter(&self.people[1], content) };
        let sent = self.services.sending.send(&self.people[0], Via::Rest, command);
        match Box::pin(sent).await {
            Ok(sent) => Some(sent.letter.message.id.as_uuid()),
            Err(Error::Rejected(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sends so many, each tenth with a word that the filter refuses; their ids in order.
    async fn send_many(&self, range: std::ops::Range<usize>) -> Vec<Option<Uuid>> {
        let sending = stream::iter(range).map(|n| async move { self.send(&text(n)).await.0 });
        sending.buffered(64).collect().await
    }

    async fn activate(&self) {
        let terms = PluginTerms::default();
        let activated = self.services.plugins.activate(self.admin(), "guest", (None, None), terms);
        Box::pin(activated).await.unwrap();
    }

    async fn start_trial(&self) {
        let started = self.services.plugins.start_trial(self.admin(), "guest", None);
        Box::pin(started).await.unwrap();
    }

    async fn trial(&self) -> RunEntry {
        self.services.plugins.read_trial(self.admin(), "guest").await.unwrap()
    }

    async fn asked(&self, messages: u64) -> RunEntry {
        loop {
            let trial = self.trial().await;
            if trial.row.asked >= messages {
                return trial;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn start_backtest(&self, messages: Option<u64>) -> EntryId {
        let command = BacktestCommand { version: None, config: None, messages };
        let started = self.services.plugins.start_backtest(self.admin(), "guest", command);
        Box::pin(started).await.unwrap().row.id
    }

    async fn backtest(&self, id: EntryId) -> RunEntry {
        self.services.plugins.read_backtest(self.admin(), "guest", id).await.unwrap()
    }

    async fn finished(&self, id: EntryId) -> RunEntry {
        loop {
            let run = self.backtest(id).await;
            if run.row.state != RunState::Running {
                return run;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What a candidate made of each message.
    async fn verdicts(&self, backtest: Option<EntryId>) -> HashMap<Uuid, String> {
        let (mut found, mut after) = (HashMap::new(), None);
        loop {
            let place = (true, after, 1000);
            let plugins = &self.services.plugins;
            let page = match backtest {
                None => plugins.list_trial_results(self.admin(), "guest", place).await,
                Some(id) => plugins.list_backtest_results(self.admin(), ("guest", id), place).await,
            };
            let page = page.unwrap();
            let verdicts = page.items.into_iter();
            found.extend(
                verdicts.map(|RunResult { subject_id, verdict, .. }| (subject_id, verdict)),
            );
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }

    /// Holds what a candidate said of each message against what the version then does live.
    async fn require_same_live(&self, ids: &[Option<Uuid>], said: &HashMap<Uuid, String>) {
        self.activate().await;
        let live = self.send_many(0..ids.len()).await;

        assert_eq!(said.len(), ids.len());
        for (n, (id, live)) in ids.iter().zip(&live).enumerate() {
            let does = if live.is_some() { "pass" } else { "reject" };
            assert_eq!(said[&id.unwrap()], does, "message {n}");
        }
        assert_eq!(live.iter().filter(|id| id.is_none()).count(), ids.len().div_ceil(10));
    }

    /// Sends one in each of so many threads, and answers in which that version decided about it.
    async fn decided_by(&self, version: &str, threads: usize) -> Vec<bool> {
        let sending = stream::iter(0..threads).map(|n| async move {
            let to = Email::parse(&format!("peer-{n}@acme.example")).unwrap();
            self.send_to(to, "hello").await.unwrap()
        });
        let ids: Vec<Uuid> = sending.buffered(64).collect().await;
        let sql = "select id, decision -> 'steps' -> 0 ->> 'version' from messages";
        let stored: HashMap<Uuid, String> =
            self.database.rows::<(Uuid, String)>(sql).await.into_iter().collect();
        ids.iter().map(|id| stored[id] == version).collect()
    }

    async fn kept(&self) -> Vec<(String,)> {
        let sql = "select key || '=' || convert_from(value, 'UTF8') from plugin_kv order by key";
        self.database.rows(sql).await
    }
}

fn text(n: usize) -> String {
    if n.is_multiple_of(10) { format!("well, darn it {n}") } else { format!("message {n}") }
}

#[tokio::test]
async fn a_trial_keeps_keys_of_its_own_and_says_how_they_were_answered() {
    let scene = Scene::keeping().await;
    scene.start_trial().await;

    scene.send("one").await;
    scene.asked(1).await;
    scene.send("two").await;
    let trial = scene.asked(2).await;

    assert_eq!(scene.kept().await, []);
    let imports: Vec<_> = trial
        .imports
        .iter()
        .map(|row| (row.import.as_str(), row.answered.as_str(), row.count))
        .collect();
    assert_eq!(imports, [("kv", "stand-in", 4)], "it found nothing that is really there");
}

#[tokio::test]
async fn a_canarys_keys_become_the_plugins_when_it_is_promoted() {
    let scene = Scene::keeping().await;
    let plugins = &scene.services.plugins;
    Box::pin(plugins.set_canary(scene.admin(), "guest", (None, 100))).await.unwrap();
    scene.send("one").await;
    scene.send("two").await;
    let own = "select count(*), 0::bigint from plugin_kv
        where plugin_id in (select id from plugins)";

    assert_eq!(scene.database.rows::<(i64, i64)>(own).await, [(0, 0)]);
    Box::pin(plugins.promote_canary(scene.admin(), "guest")).await.unwrap();
    assert_eq!(scene.database.rows::<(i64, i64)>(own).await, [(2, 0)]);
    scene.send("three").await;

    assert_eq!(scene.kept().await, [("k=seen".to_owned(),), ("n=3".to_owned(),)]);
}

#[tokio::test]
async fn a_canarys_keys_are_forgotten_when_it_ends() {
    let scene = Scene::keeping().await;
    let plugins = &scene.services.plugins;
    Box::pin(plugins.set_canary(scene.admin(), "guest", (None, 100))).await.unwrap();
    scene.send("one").await;
    assert_eq!(scene.kept().await.len(), 2);

    Box::pin(plugins.end_canary(scene.admin(), "guest")).await.unwrap();
    scene.send("two").await;

    assert_eq!(scene.kept().await, []);
}

/// A canary's share of so many threads: that it is `within` so many of what was asked for, stands
/// still, and only grows.
async fn canary_holds_its_share(threads: usize, within: usize) {
    let scene = Scene::filtering().await;
    scene.activate().await;
    let mut candidate = std::fs::read(word_filter::path()).unwrap();
    // A custom section: another version that does the same.
    candidate.extend(b"\0\x02\x01c");
    let plugins = &scene.services.plugins;
    Box::pin(plugins.upload(scene.admin(), "guest", &candidate)).await.unwrap();
    let mut before = vec![false; threads];
    for percent in [25_u8, 75] {
        let set = plugins.set_canary(scene.admin(), "guest", (None, percent));
        let version = Box::pin(set).await.unwrap().canary.unwrap().version;

        let now = scene.decided_by(&version, threads).await;
        let again = scene.decided_by(&version, threads).await;

        assert!(now == again, "a thread flipped at {percent} per cent");
        assert!(before.iter().zip(&now).all(|(before, now)| *now || !before), "one was left");
        let in_canary = now.iter().filter(|is_canary| **is_canary).count();
        let wanted = threads * usize::from(percent) / 100;
        assert!(in_canary.abs_diff(wanted) <= within, "{in_canary} of {threads} threads");
        before = now;
    }
}

#[tokio::test]
async fn a_canary_holds_its_share_of_threads() {
    canary_holds_its_share(500, 50).await;
}

#[tokio::test]
#[ignore = "minutes: `cargo test --test it closing_run_canary -- --ignored`"]
async fn closing_run_canary() {
    canary_holds_its_share(20_000, 200).await;
}

/// Trial verdicts and later active verdicts, message by message.
async fn trial_agrees(messages: usize) {
    let scene = Scene::filtering().await;
    scene.start_trial().await;
    let mut ids = Vec::new();
    // No more than may wait, so that none goes by.
    for start in (0..messages).step_by(500) {
        ids.extend(scene.send_many(start..messages.min(start + 500)).await);
        scene.asked(ids.len() as u64).await;
    }
    let trial = scene.trial().await;
    assert_eq!((trial.row.asked, trial.row.dropped), (messages as u64, 0));

    let said = scene.verdicts(None).await;
    scene.services.plugins.end_trial(scene.admin(), "guest").await.unwrap();
    scene.require_same_live(&ids, &said).await;
}

#[tokio::test]
async fn a_trial_says_of_each_message_what_the_active_version_then_does() {
    trial_agrees(1500).await;
}

#[tokio::test]
#[ignore = "minutes: `cargo test --test it closing_run_trial -- --ignored`"]
async fn closing_run_trial() {
    trial_agrees(50_000).await;
}

#[tokio::test]
async fn a_backtest_says_of_each_message_what_the_active_version_then_does() {
    let scene = Scene::filtering().await;
    let ids = scene.send_many(0..1000).await;

    let id = scene.start_backtest(None).await;
    let run = scene.finished(id).await;

    assert_eq!((run.row.state, run.row.asked), (RunState::Finished, 1000));
    let said = scene.verdicts(Some(id)).await;
    scene.require_same_live(&ids, &said).await;
}

#[tokio::test]
async fn an_org_has_one_backtest_at_a_time_and_a_cancelled_one_stops() {
    let scene = Scene::filtering().await;
    scene.send_many(0..1000).await;
    let id = scene.start_backtest(None).await;

    let command = BacktestCommand { version: None, config: None, messages: None };
    let second = scene.services.plugins.start_backtest(scene.admin(), "guest", command);
    assert!(matches!(Box::pin(second).await, Err(Error::Conflict(_))));
    let cancelled = scene.services.plugins.cancel_backtest(scene.admin(), "guest", id).await;

    let asked = cancelled.unwrap().row.asked;
    assert!(asked < 1000, "{asked}");
    let next = scene.start_backtest(Some(100)).await;
    assert_eq!(scene.finished(next).await.row.asked, 100);
}

#[tokio::test]
async fn a_backtest_whose_server_is_gone_is_told_as_broken_off() {
    let scene = Scene::filtering().await;
    scene.send_many(0..500).await;
    let id = scene.start_backtest(None).await;
    // As if that server had not been heard of for a while.
    let sql = "
        create function age() returns trigger language plpgsql as $$
        begin
            new.seen_at := now() - interval '1 hour';
            return new;
        end $$;
        create trigger age before update on plugin_runs for each row execute function age();
        update plugin_runs set asked = asked where state = 'running'";
    sqlx::raw_sql(sql).execute(&scene.database.raw).await.unwrap();

    let run = scene.finished(id).await;

    assert_eq!(run.row.state, RunState::BrokenOff);
    assert!(run.row.asked < 500);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: `cargo test --test it closing_run_backtest -- --ignored --nocapture`"]
#[expect(clippy::print_stdout, reason = "its figures are for whoever runs it by hand")]
async fn closing_run_backtest() {
    const MESSAGES: usize = 100_000;
    let scene = Scene::filtering().await;
    let ids = scene.send_many(0..MESSAGES).await;

    let cancelled = scene.start_backtest(None).await;
    while scene.backtest(cancelled).await.row.asked < MESSAGES as u64 / 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let plugins = &scene.services.plugins;
    plugins.cancel_backtest(scene.admin(), "guest", cancelled).await.unwrap();

    let began = Instant::now();
    let id = scene.start_backtest(None).await;
    let run = scene.finished(id).await;
    let took = began.elapsed();
    assert_eq!((run.row.state, run.row.asked), (RunState::Finished, MESSAGES as u64));
    let per_second = MESSAGES as u128 * 1000 / took.as_millis().max(1);
    println!("{per_second} messages/s; a call {} µs (p50)", run.costs.p50_micros);
    let said = scene.verdicts(Some(id)).await;
    scene.require_same_live(&ids, &said).await;

    let quiet = scene.p99_of_live().await;
    scene.start_backtest(None).await;
    let meanwhile = scene.p99_of_live().await;
    println!("p99 of a send: {quiet:?} quiet, {meanwhile:?} beside a backtest");
}

impl Scene {
    /// Of sends that come one after another, 100 a second.
    async fn p99_of_live(&self) -> Duration {
        let mut took = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for n in 1..1000 {
            ticks.tick().await;
            took.push(self.send(&format!("live {n}")).await.1);
        }
        took.sort_unstable();
        took[took.len() * 99 / 100]
    }
}
