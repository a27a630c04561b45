//! A store that lies over a plugin's own, as a canary has it.

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

use super::support::TestDatabase;

const LIMITS: KvLimits =
    KvLimits { max_value_bytes: 64, max_keys: 10, max_bytes: 1000, max_ttl_seconds: 60 };

struct Scene {
    database: TestDatabase,
    kv: Kv,
    caller: Caller,
    /// The plugin's own store, and the one over it.
    lower: Installed,
    upper: Installed,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let [caller] = database.org("acme", ["alice"]).await;
        let org_id = caller.org.id;
        let mut tx = database.db.begin(org_id).await.unwrap();
        let plugin_id = plugins::upsert(&mut tx.conn(), "filter").await.unwrap();
        let store = PluginId::new();
        kv::insert_overlay(&mut tx.conn(), store, plugin_id).await.unwrap();
        tx.commit().await.unwrap();
        Self {
            kv: Kv::new(database.db.clone(), LIMITS),
            lower: Installed { org_id, plugin_id },
            upper: Installed { org_id, plugin_id: store },
            database,
            caller,
        }
    }

    async fn set(&self, store: Installed, name: &str, value: &str) {
        self.kv.write(store, &key(name), put(value), None).await.unwrap();
    }

    async fn delete(&self, store: Installed, name: &str) {
        let write = KvWrite { value: None, ttl_seconds: None, expect: None };
        self.kv.write(store, &key(name), write, None).await.unwrap();
    }

    async fn count(&self, store: Installed, name: &str) -> Result<i64, KvError> {
        let step = Increment { delta: 1, ttl_seconds: None };
        self.kv.increment(store, &key(name), step, None).await
    }

    async fn value(&self, store: Installed, name: &str) -> Option<String> {
        let entry = self.kv.find(store, &key(name), None).await.unwrap();
        entry.map(|entry| String::from_utf8(entry.value).unwrap())
    }

    async fn both(&self, name: &str) -> (Option<String>, Option<String>) {
        (self.value(self.lower, name).await, self.value(self.upper, name).await)
    }

    async fn merge(&self) {
        let mut tx = self.database.db.begin(self.caller.org.id).await.unwrap();
        let (upper, lower) = (self.upper.plugin_id, self.lower.plugin_id);
        kv::merge_overlay(&mut tx.conn(), upper, lower).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn drop(&self) {
        let mut tx = self.database.db.begin(self.caller.org.id).await.unwrap();
        kv::drop_overlay(&mut tx.conn(), self.upper.plugin_id).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn commit(&self, staged: &StagedWrites) -> Committed {
        let mut tx = self.database.db.begin(self.caller.org.id).await.unwrap();
        let committed = kv::commit(&mut tx.conn(), staged).await.unwrap();
        if committed == Committed::Done {
            tx.commit().await.unwrap();
        }
        committed
    }

    /// What the usage rows say, and what the entries come to.
    async fn usage(&self) -> (Vec<(i64, i64)>, Vec<(i64, i64)>) {
        let kept = "select keys, bytes from plugin_kv_usage order by plugin_id";
        let counted = "
            select count(key), coalesce(sum(plugin_kv.bytes), 0)::bigint
            from plugin_kv_usage left join plugin_kv using (org_id, plugin_id)
            group by plugin_id order by plugin_id
            ";
        (self.database.rows(kept).await, self.database.rows(counted).await)
    }
}

fn key(text: &str) -> KvKey {
    KvKey::parse(text.to_owned()).unwrap()
}

fn put(value: &str) -> KvWrite {
    KvWrite { value: Some(value.into()), ttl_seconds: None, expect: None }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands for what is read")]
fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

#[tokio::test]
async fn what_is_not_written_above_is_read_below_and_what_is_stays_above() {
    let scene = Scene::new().await;
    scene.set(scene.lower, "a", "low").await;
    scene.set(scene.lower, "b", "low").await;
    scene.set(scene.lower, "n", "5").await;

    scene.set(scene.upper, "a", "high").await;
    scene.delete(scene.upper, "b").await;
    assert_eq!(scene.count(scene.upper, "n").await, Ok(6));
    assert_eq!(scene.count(scene.upper, "new").await, Ok(1));
    scene.set(scene.lower, "later", "low").await;

    assert_eq!(scene.both("a").await, (some("low"), some("high")));
    assert_eq!(scene.both("b").await, (some("low"), None));
    assert_eq!(scene.both("n").await, (some("5"), some("6")));
    assert_eq!(scene.both("new").await, (None, some("1")));
    assert_eq!(scene.both("later").await, (some("low"), some("low")));
    let (kept, counted) = scene.usage().await;
    assert_eq!(kept, counted);
}

#[tokio::test]
async fn a_revision_that_was_read_below_counts_above() {
    let scene = Scene::new().await;
    scene.set(scene.lower, "a", "low").await;
    let read = scene.kv.find(scene.upper, &key("a"), None).await.unwrap().unwrap();

    let expecting = |revision| KvWrite { expect: Some(revision), ..put("high") };
    let stale = expecting(read.revision + 1);
    let refused = scene.kv.write(scene.upper, &key("a"), stale, None).await;
    let taken = scene.kv.write(scene.upper, &key("a"), expecting(read.revision), None).await;

    assert_eq!(refused, Err(KvError::Conflict));
    assert!(taken.unwrap() > read.revision);
    assert_eq!(scene.both("a").await, (some("low"), some("high")));
}

#[tokio::test]
async fn a_merge_takes_over_all_that_was_written_and_nothing_else() {
    let scene = Scene::new().await;
    for name in ["kept", "replaced", "deleted"] {
        scene.set(scene.lower, name, "low").await;
    }
    let before = scene.kv.find(scene.lower, &key("replaced"), None).await.unwrap().unwrap();
    scene.set(scene.upper, "replaced", "high").await;
    scene.set(scene.upper, "new", "high").await;
    scene.delete(scene.upper, "deleted").await;

    scene.merge().await;

    let after = scene.kv.find(scene.lower, &key("replaced"), None).await.unwrap().unwrap();
    assert!(after.revision > before.revision);
    for (name, value) in [
        ("kept", some("low")),
        ("replaced", some("high")),
        ("deleted", None),
        ("new", some("high")),
    ] {
        assert_eq!(scene.value(scene.lower, name).await, value, "{name}");
    }
    let (kept, counted) = scene.usage().await;
    assert_eq!((kept.len(), &kept), (1, &counted));
}

#[tokio::test]
async fn what_is_dropped_is_gone_and_a_message_that_staged_for_it_is_asked_about_again() {
    let scene = Scene::new().await;
    scene.set(scene.lower, "a", "low").await;
    scene.set(scene.upper, "a", "high").await;
    let mut staged = scene.kv.stage(scene.upper);
    scene.kv.write(scene.upper, &key("b"), put("x"), Some(&mut staged)).await.unwrap();

    scene.drop().await;

    assert_eq!(scene.commit(&staged).await, Committed::Conflict);
    assert_eq!(scene.count(scene.upper, "n").await, Err(KvError::Unavailable));
    assert_eq!(scene.value(scene.lower, "a").await, some("low"));
    assert_eq!(scene.usage().await.0.len(), 1);
}

#[tokio::test]
async fn writes_staged_above_are_stored_above() {
    let scene = Scene::new().await;
    scene.set(scene.lower, "a", "low").await;
    let mut staged = scene.kv.stage(scene.upper);
    scene.kv.write(scene.upper, &key("a"), put("high"), Some(&mut staged)).await.unwrap();

    assert_eq!(scene.commit(&staged).await, Committed::Done);

    assert_eq!(scene.both("a").await, (some("low"), some("high")));
}
