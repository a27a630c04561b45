//! What plugins keep: counted, bounded, apart from each other, and staged with a message.

use duologue::{
    db::{
        kv::{self, Committed},
        plugins,
    },
    domain::{
        Caller, Increment, Installed, KvError, KvKey, KvLimits, KvWrite, PluginId, StagedWrites,
    },
    service::Kv,
};
use futures_util::future::join_all;

use super::support::TestDatabase;

const LIMITS: KvLimits =
    KvLimits { max_value_bytes: 64, max_keys: 3, max_bytes: 200, max_ttl_seconds: 60 };

struct Scene {
    database: TestDatabase,
    kv: Kv,
    caller: Caller,
    plugin: Installed,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let [caller] = database.org("acme", ["alice"]).await;
        let plugin = install(&database, &caller, "filter").await;
        let kv = Kv::new(database.db.clone(), LIMITS);
        Self { database, kv, caller, plugin }
    }

    async fn set(&self, name: &str, value: &str, expect: Option<u64>) -> Result<u64, KvError> {
        self.kv.write(self.plugin, &key(name), put(value, expect), None).await
    }

    async fn count(&self, name: &str, delta: i64) -> Result<i64, KvError> {
        let step = Increment { delta, ttl_seconds: None };
        self.kv.increment(self.plugin, &key(name), step, None).await
    }

    async fn value(&self, name: &str) -> Option<String> {
        value_of(&self.kv, self.plugin, name).await
    }

    async fn revision(&self, name: &str) -> u64 {
        self.kv.find(self.plugin, &key(name), None).await.unwrap().unwrap().revision
    }

    /// Ends the time of every entry that has one.
    async fn let_time_pass(&self) {
        sqlx::raw_sql("update plugin_kv set expires_at = now() where expires_at is not null")
            .execute(&self.database.raw)
            .await
            .unwrap();
    }

    /// What the usage rows say, and what the entries come to.
    async fn usage(&self) -> [(i64, i64); 2] {
        let kept = self.database.rows("select keys, bytes from plugin_kv_usage").await;
        let counted = "
            select count(*), coalesce(sum(
                octet_length(key) + greatest(octet_length(value), 20)), 0)::bigint
            from plugin_kv
            ";
        [kept[0], self.database.rows(counted).await[0]]
    }

    async fn commit(&self, staged: &StagedWrites) -> Committed {
        let mut tx = self.database.db.begin(self.caller.org.id).await.unwrap();
        let committed = kv::commit(&mut tx.conn(), staged).await.unwrap();
        if committed == Committed::Done {
            tx.commit().await.unwrap();
        }
        committed
    }

    async fn stage(&self, staged: &mut StagedWrites, name: &str, write: KvWrite) {
        self.kv.write(self.plugin, &key(name), write, Some(staged)).await.unwrap();
    }

    async fn read(&self, staged: &mut StagedWrites, name: &str) -> Option<String> {
        let entry = self.kv.find(self.plugin, &key(name), Some(staged)).await.unwrap();
        entry.map(|entry| String::from_utf8(entry.value).unwrap())
    }
}

async fn install(database: &TestDatabase, caller: &Caller, name: &str) -> Installed {
    let org_id = caller.org.id;
    let mut handle = database.db.org(org_id).await.unwrap();
    let plugin_id = plugins::upsert(&mut handle.conn(), name).await.unwrap();
    Installed { org_id, plugin_id }
}

async fn value_of(kv: &Kv, plugin: Installed, name: &str) -> Option<String> {
    let entry = kv.find(plugin, &key(name), None).await.unwrap();
    entry.map(|entry| String::from_utf8(entry.value).unwrap())
}

fn key(text: &str) -> KvKey {
    KvKey::parse(text.to_owned()).unwrap()
}

fn put(value: &str, expect: Option<u64>) -> KvWrite {
    KvWrite { value: Some(value.into()), ttl_seconds: None, expect }
}

fn put_for(value: &str, seconds: u32) -> KvWrite {
    KvWrite { ttl_seconds: Some(seconds), ..put(value, None) }
}

fn delete() -> KvWrite {
    KvWrite { value: None, ttl_seconds: None, expect: None }
}

#[tokio::test]
async fn increments_at_the_same_time_all_count() {
    let scene = Scene::new().await;

    let sums = join_all((0..40).map(|_| scene.count("n", 1))).await;

    let mut sums: Vec<i64> = sums.into_iter().map(Result::unwrap).collect();
    sums.sort_unstable();
    assert_eq!(sums, (1..=40).collect::<Vec<i64>>());
    assert_eq!(scene.value("n").await.as_deref(), Some("40"));
    let [kept, counted] = scene.usage().await;
    assert_eq!((kept, kept), (counted, (1, 21)));
}

#[tokio::test]
async fn only_numbers_that_stay_in_range_are_added_to() {
    let scene = Scene::new().await;
    scene.set("text", "12 apples", None).await.unwrap();
    scene.set("big", &i64::MAX.to_string(), None).await.unwrap();

    assert_eq!(scene.count("text", 1).await, Err(KvError::NotANumber));
    assert_eq!(scene.count("big", 1).await, Err(KvError::NotANumber));
    assert_eq!(scene.count("big", -1).await, Ok(i64::MAX - 1));
    assert_eq!(scene.count("new", i64::MIN).await, Ok(i64::MIN));
    assert_eq!(scene.count("new", -1).await, Err(KvError::NotANumber));
}

#[tokio::test]
async fn of_many_that_expect_one_revision_one_wins() {
    let scene = Scene::new().await;

    let made = join_all((0..8).map(|_| scene.set("a", "new", Some(0)))).await;
    let revision = scene.revision("a").await;
    let changed = join_all((0..8).map(|_| scene.set("a", "x", Some(revision)))).await;

    for answers in [made, changed] {
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 7));
        assert!(lost.iter().all(|answer| *answer == Err(KvError::Conflict)));
    }
}

#[tokio::test]
async fn a_key_made_anew_never_has_a_revision_that_it_had() {
    let scene = Scene::new().await;
    let first = scene.set("a", "one", None).await.unwrap();
    scene.count("n", 1).await.unwrap();
    scene.count("n", 1).await.unwrap();
    let counted = scene.revision("n").await;

    for name in ["a", "n"] {
        scene.kv.write(scene.plugin, &key(name), delete(), None).await.unwrap();
    }
    let again = scene.set("a", "one", Some(0)).await.unwrap();

    assert_eq!(scene.value("n").await, None);
    assert!(again > first && again > counted, "{again}, {first}, {counted}");
    assert_eq!(scene.set("a", "two", Some(first)).await, Err(KvError::Conflict));
}

#[tokio::test]
async fn what_has_expired_is_absent_and_then_gone() {
    let scene = Scene::new().await;
    let step = Increment { delta: 5, ttl_seconds: Some(60) };
    scene.kv.write(scene.plugin, &key("a"), put_for("one", 60), None).await.unwrap();
    scene.kv.increment(scene.plugin, &key("n"), step, None).await.unwrap();
    scene.set("stays", "yes", None).await.unwrap();
    assert_eq!(scene.value("a").await.as_deref(), Some("one"));

    scene.let_time_pass().await;

    assert_eq!((scene.value("a").await, scene.value("n").await), (None, None));
    assert_eq!(scene.count("n", 1).await, Ok(1), "a counter begins anew");
    assert!(scene.set("a", "two", Some(0)).await.is_ok());
    scene.kv.write(scene.plugin, &key("a"), put_for("three", 60), None).await.unwrap();
    scene.let_time_pass().await;
    scene.kv.sweep(scene.plugin.org_id).await.unwrap();
    let [kept, counted] = scene.usage().await;
    assert_eq!(kept, counted);
    assert_eq!(kept.0, 2, "the counter without a TTL and the key that stays");
}

#[tokio::test]
async fn a_later_increment_does_not_prolong_a_counter() {
    let scene = Scene::new().await;
    let window = Increment { delta: 1, ttl_seconds: Some(10) };
    let ends = "select expires_at::text from plugin_kv";

    scene.kv.increment(scene.plugin, &key("n"), window, None).await.unwrap();
    let first: Vec<(String,)> = scene.database.rows(ends).await;
    scene.kv.increment(scene.plugin, &key("n"), window, None).await.unwrap();

    assert_eq!(scene.database.rows::<(String,)>(ends).await, first);
}

#[tokio::test]
async fn a_store_has_so_many_keys_and_bytes_and_what_expired_makes_room() {
    let scene = Scene::new().await;
    scene.kv.write(scene.plugin, &key("a"), put_for("1", 60), None).await.unwrap();
    scene.set("b", "2", None).await.unwrap();
    scene.count("c", 3).await.unwrap();

    assert_eq!(scene.set("d", "4", None).await, Err(KvError::QuotaExceeded));
    assert_eq!(scene.count("d", 4).await, Err(KvError::QuotaExceeded));
    assert_eq!(scene.set("b", &"x".repeat(65), None).await, Err(KvError::TooLarge));
    scene.let_time_pass().await;
    assert_eq!(scene.count("d", 4).await, Ok(4));
    scene.set("b", &"x".repeat(64), None).await.unwrap();
    scene.set("c", &"x".repeat(64), None).await.unwrap();
    let overfull = scene.set("d", &"x".repeat(64), None).await;
    assert_eq!(overfull, Ok(scene.revision("d").await), "195 bytes of 200");
    scene.set(&"d".repeat(20), "x", None).await.unwrap_err();
    let [kept, counted] = scene.usage().await;
    assert_eq!((kept, kept), (counted, (3, 195)));
}

#[tokio::test]
async fn a_ttl_is_within_its_bounds() {
    let scene = Scene::new().await;

    for seconds in [0, 61] {
        let refused = scene.kv.write(scene.plugin, &key("a"), put_for("x", seconds), None).await;
        assert!(matches!(refused, Err(KvError::Invalid(_))), "{refused:?}");
    }
    for bad in ["", "a\0", &"k".repeat(257)] {
        assert!(KvKey::parse(bad.to_owned()).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn plugins_and_orgs_do_not_see_each_others_keys() {
    let scene = Scene::new().await;
    let [stranger] = scene.database.org("globex", ["carol"]).await;
    let beside = install(&scene.database, &scene.caller, "other").await;
    let elsewhere = install(&scene.database, &stranger, "filter").await;
    // Knows the id of the plugin, and is of another org.
    let forged = Installed { org_id: stranger.org.id, ..scene.plugin };
    scene.set("a", "ours", None).await.unwrap();

    for other in [beside, elsewhere, forged] {
        assert_eq!(value_of(&scene.kv, other, "a").await, None);
    }
    scene.kv.write(beside, &key("a"), put("theirs", Some(0)), None).await.unwrap();
    scene.kv.write(elsewhere, &key("a"), delete(), None).await.unwrap();
    let refused = scene.kv.write(forged, &key("a"), put("x", None), None).await;

    assert_eq!(refused, Err(KvError::Unavailable), "there is no such plugin in that org");
    assert_eq!(scene.value("a").await.as_deref(), Some("ours"));
}

#[tokio::test]
async fn what_a_plugin_kept_goes_with_it() {
    let scene = Scene::new().await;
    scene.set("a", "x", None).await.unwrap();
    let mut handle = scene.database.db.org(scene.plugin.org_id).await.unwrap();

    plugins::delete(&mut handle.conn(), scene.plugin.plugin_id).await.unwrap();

    let left = "select key from plugin_kv union all select keys::text from plugin_kv_usage";
    assert!(scene.database.rows::<(String,)>(left).await.is_empty());
}

#[tokio::test]
async fn staged_writes_are_the_calls_own_until_they_commit() {
    let scene = Scene::new().await;
    scene.set("old", "1", None).await.unwrap();
    let mut staged = scene.kv.stage(scene.plugin);

    scene.stage(&mut staged, "new", put("2", None)).await;
    scene.stage(&mut staged, "old", delete()).await;

    assert_eq!(scene.read(&mut staged, "new").await.as_deref(), Some("2"));
    assert_eq!(scene.read(&mut staged, "old").await, None);
    assert_eq!((scene.value("new").await, scene.value("old").await), (None, Some("1".into())));
    assert_eq!(scene.commit(&staged).await, Committed::Done);
    assert_eq!((scene.value("new").await, scene.value("old").await), (Some("2".into()), None));
    let [kept, counted] = scene.usage().await;
    assert_eq!(kept, counted);
}

#[tokio::test]
async fn a_call_that_built_on_what_has_changed_does_not_commit() {
    let scene = Scene::new().await;
    scene.set("a", "1", None).await.unwrap();
    let mut staged = scene.kv.stage(scene.plugin);
    scene.read(&mut staged, "a").await;
    scene.stage(&mut staged, "a", put("2", None)).await;
    scene.stage(&mut staged, "b", put("2", None)).await;

    scene.set("a", "changed", None).await.unwrap();

    assert_eq!(scene.commit(&staged).await, Committed::Conflict);
    assert_eq!(scene.value("a").await.as_deref(), Some("changed"));
    assert_eq!(scene.value("b").await, None, "all of it or nothing");
}

#[tokio::test]
async fn of_two_calls_that_saw_no_key_one_makes_it() {
    let scene = Scene::new().await;
    let mut calls = [scene.kv.stage(scene.plugin), scene.kv.stage(scene.plugin)];
    for staged in &mut calls {
        assert_eq!(scene.read(staged, "a").await, None);
        scene.stage(staged, "a", put("mine", None)).await;
    }

    let (one, other) = tokio::join!(scene.commit(&calls[0]), scene.commit(&calls[1]));

    assert!(one != other, "{one:?}, {other:?}");
}

#[tokio::test]
async fn an_increment_of_a_call_acts_at_once_and_is_no_conflict_for_it() {
    let scene = Scene::new().await;
    scene.count("n", 1).await.unwrap();
    let mut staged = scene.kv.stage(scene.plugin);
    scene.read(&mut staged, "n").await;
    let step = Increment { delta: 1, ttl_seconds: None };

    let sum = scene.kv.increment(scene.plugin, &key("n"), step, Some(&mut staged)).await;

    assert_eq!((sum, scene.value("n").await.as_deref()), (Ok(2), Some("2")));
    scene.stage(&mut staged, "n", put("0", None)).await;
    let late = scene.kv.increment(scene.plugin, &key("n"), step, Some(&mut staged)).await;
    assert!(matches!(late, Err(KvError::Invalid(_))), "{late:?}");
    assert_eq!(scene.commit(&staged).await, Committed::Done);
    assert_eq!(scene.value("n").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_store_that_filled_up_meanwhile_is_a_conflict() {
    let scene = Scene::new().await;
    let mut staged = scene.kv.stage(scene.plugin);
    scene.stage(&mut staged, "staged", put("x", None)).await;

    for name in ["a", "b", "c"] {
        scene.set(name, "x", None).await.unwrap();
    }

    assert_eq!(scene.commit(&staged).await, Committed::Conflict);
    let mut again = scene.kv.stage(scene.plugin);
    let full = scene.kv.write(scene.plugin, &key("staged"), put("x", None), Some(&mut again)).await;
    assert_eq!(full, Err(KvError::QuotaExceeded));
}

#[tokio::test]
async fn nothing_staged_needs_no_row() {
    let scene = Scene::new().await;

    assert_eq!(scene.commit(&StagedWrites::new(PluginId::new(), LIMITS)).await, Committed::Done);
}

/// Test databases give plugins four places at a time.
#[tokio::test]
async fn plugins_that_hold_all_their_connections_leave_the_org_its_own() {
    let scene = Scene::new().await;
    let org_id = scene.plugin.org_id;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(scene.database.db.org_for_plugin(org_id).await.unwrap());
    }
    let name = key("a");
    let waiting = scene.kv.find(scene.plugin, &name, None);
    tokio::pin!(waiting);

    let raced = tokio::select! {
        biased;
        _ = &mut waiting => "the plugin's",
        handle = scene.database.db.org(org_id) => { handle.unwrap(); "the org's" }
    };

    assert_eq!(raced, "the org's");
    held.pop();
    assert_eq!(waiting.await, Ok(None));
}
