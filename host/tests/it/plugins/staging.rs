//! What plugins write for a message is stored with it, or not at all.

use std::sync::Arc;

use duologue::{
    Error, Result,
    domain::{Caller, ClientId, Message},
    service::{EditCommand, PluginTerms, SendCommand, Sent, Services, Via},
};
use serde_json::json;

use super::support::{host, text};
use crate::{
    database::support::{TestDatabase, letter},
    guests,
};

/// Tells what is under `k`, or nothing.
const READ: &str = "
    (call $get (i32.const 2048) (i32.const 1) (i32.const 768))
    (if (i32.load8_u (i32.const 776))
      (then (call $say (i32.load (i32.const 784)) (i32.load (i32.const 788)))))";
/// Sets `k` to `seen`.
const SET: &str = "
    (call $set (i32.const 2048) (i32.const 1) (i32.const 2049) (i32.const 4)
      (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 768))";
/// Refuses what comes where `k` is there, and sets it: no message after the first.
const ONCE: &str = "
    (call $get (i32.const 2048) (i32.const 1) (i32.const 768))
    (if (i32.load8_u (i32.const 776)) (then (call $reject)))
    (call $set (i32.const 2048) (i32.const 1) (i32.const 2049) (i32.const 4)
      (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 768))";
/// Counts under `n`.
const COUNT: &str = "
    (call $increment
      (i32.const 2053) (i32.const 1) (i64.const 1) (i32.const 0) (i32.const 0) (i32.const 768))";

/// An org with one plugin that was granted `kv`.
struct Scene {
    database: TestDatabase,
    services: Services,
    alice: Caller,
    bob: Caller,
}

impl Scene {
    async fn new(asking: &str) -> Self {
        let database = TestDatabase::create().await;
        let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
        let services = database.services_on(&host()).0;
        let scene = Self { database, services, alice, bob };
        scene.add("guest", asking).await;
        scene
    }

    /// One more plugin, or another version of one.
    async fn add(&self, name: &str, asking: &str) {
        let wasm = guests::asking(&["kv"], &["kseenn"], asking);
        let plugins = &self.services.plugins;
        // Boxed: large as futures.
        Box::pin(plugins.upload(&self.alice, name, &wasm)).await.unwrap();
        let grants = [("kv".to_owned(), json!({}))].into();
        plugins.grant(&self.alice, name, grants).await.unwrap();
        let terms = PluginTerms::default();
        Box::pin(plugins.activate(&self.alice, name, (None, None), terms)).await.unwrap();
    }

    async fn send(&self, content: &str) -> Result<Sent> {
        self.send_command(letter(&self.bob, content)).await
    }

    async fn send_command(&self, command: SendCommand) -> Result<Sent> {
        Box::pin(self.services.sending.send(&self.alice, Via::Rest, command)).await
    }

    async fn edit(&self, message: &Message, content: &str) -> Result<()> {
        let edit = EditCommand { content: Some(content.to_owned()), ..EditCommand::default() };
        let edited = self.services.messages.edit(&self.alice, Via::Rest, message.id, edit);
        Box::pin(edited).await.map(drop)
    }

    /// What the plugin has kept, as `key=value`.
    async fn kept(&self) -> Vec<String> {
        let rows: Vec<(String,)> = self
            .database
            .rows("select key || '=' || convert_from(value, 'UTF8') from plugin_kv order by key")
            .await;
        rows.into_iter().map(|(row,)| row).collect()
    }

    async fn seq_of(&self, message: &Message) -> Option<i64> {
        self.services.messages.find(&self.alice, message.id).await.unwrap().message.seq
    }

    /// What each message says, and what the plugin told of it.
    async fn stored(&self) -> Vec<(String, Option<String>)> {
        self.database
            .rows("select content, decision->'steps'->0->>'explanation' from messages order by id")
            .await
    }

    /// From now on nothing that was read is still so when it is to be stored.
    async fn never_settle(&self) {
        let sql = "
            create function disturb() returns trigger language plpgsql as $$
            begin
                update plugin_kv set revision = revision + 1;
                return new;
            end $$;
            create trigger disturb before update on plugin_kv_usage
                for each row execute function disturb()
            ";
        sqlx::raw_sql(sql).execute(&self.database.raw).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_plugin_writes_is_stored_with_the_message() {
    let scene = Scene::new(&format!("{READ} {SET} {COUNT}")).await;

    scene.send("one").await.unwrap();
    assert_eq!(scene.kept().await, ["k=seen", "n=1"]);
    scene.send("two").await.unwrap();

    let seen = Some("seen".to_owned());
    assert_eq!(scene.stored().await, [("one".to_owned(), None), ("two".to_owned(), seen)]);
    assert_eq!(scene.kept().await, ["k=seen", "n=2"]);
}

#[tokio::test]
async fn of_a_refused_message_only_the_counter_stays() {
    let scene = Scene::new(&format!("{SET} {COUNT} (call $reject)")).await;

    for _ in 0..2 {
        assert!(matches!(scene.send("one").await, Err(Error::Rejected(_))));
    }

    assert_eq!(scene.kept().await, ["n=2"]);
    assert_eq!(scene.stored().await, []);
}

#[tokio::test]
async fn of_a_call_without_an_answer_only_the_counter_stays() {
    let scene = Scene::new(&format!("{SET} {COUNT} unreachable")).await;

    scene.send("held").await.unwrap();

    assert_eq!(scene.kept().await, ["n=1"]);
    assert_eq!(scene.stored().await, [("held".to_owned(), None)]);
}

#[tokio::test]
async fn a_held_message_keeps_what_was_written_for_it() {
    let hold = "(i32.store8 (i32.const 4) (i32.const 3))";
    let scene = Scene::new(&format!("{SET} {hold}")).await;

    let sent = scene.send("wait").await.unwrap();

    assert_eq!(sent.letter.message.seq, None);
    assert_eq!(scene.kept().await, ["k=seen"]);
}

#[tokio::test]
async fn a_repeated_client_id_writes_nothing() {
    let scene = Scene::new(&format!("{SET} {COUNT}")).await;
    let client_id = Some(ClientId::parse("c1".to_owned()).unwrap());
    let command = SendCommand { client_id, ..letter(&scene.bob, "one") };

    let first = scene.send_command(command.clone()).await.unwrap();
    let second = scene.send_command(command).await.unwrap();

    assert_eq!(first.letter.message.id, second.letter.message.id);
    assert_eq!(scene.kept().await, ["k=seen", "n=1"]);
}

#[tokio::test]
async fn a_plugin_is_asked_once_more_where_what_it_read_has_changed() {
    let scene = Arc::new(Scene::new(&format!("{READ} {SET} {COUNT}")).await);
    scene.send("one").await.unwrap();
    let mut other = scene.database.raw.begin().await.unwrap();
    execute(&mut other, "select from plugin_kv_usage for update").await;

    let sending = tokio::spawn({
        let scene = scene.clone();
        async move { scene.send("two").await.map(drop) }
    });
    scene.database.blocked(1).await;
    execute(
        &mut other,
        "update plugin_kv set value = 'other', revision = revision + 1 where key = 'k'",
    )
    .await;
    other.commit().await.unwrap();
    sending.await.unwrap().unwrap();

    let other = Some("other".to_owned());
    assert_eq!(scene.stored().await[1], ("two".to_owned(), other));
    assert_eq!(scene.kept().await, ["k=seen", "n=3"]);
}

#[tokio::test]
async fn a_message_is_refused_where_what_was_read_changes_again_and_again() {
    let scene = Scene::new(&format!("{READ} {SET} {COUNT}")).await;
    let first = scene.send("one").await.unwrap();
    scene.never_settle().await;

    let sent = scene.send("two").await.map(drop);
    let edited = scene.edit(&first.letter.message, "edited").await;

    for refused in [sent, edited] {
        let Err(Error::Rejected(rejection)) = refused else { panic!("{refused:?}") };
        assert_eq!(rejection.reason, "moderation_unavailable");
        assert!(rejection.retry_after_ms.is_some());
    }
    assert_eq!(scene.stored().await, [("one".to_owned(), None)]);
    // Asked twice about each.
    assert_eq!(scene.kept().await, ["k=seen", "n=5"]);
}

#[tokio::test]
async fn an_edit_stores_what_was_written_for_it() {
    let scene = Scene::new(READ).await;
    let sent = scene.send("one").await.unwrap();
    let wasm = guests::asking(&["kv"], &["kseenn"], SET);
    let plugins = &scene.services.plugins;
    plugins.upload(&scene.alice, "guest", &wasm).await.unwrap();
    plugins.activate(&scene.alice, "guest", (None, None), PluginTerms::default()).await.unwrap();
    assert_eq!(scene.kept().await, [""; 0]);

    scene.edit(&sent.letter.message, "edited").await.unwrap();

    assert_eq!(scene.kept().await, ["k=seen"]);
    assert_eq!(text(&scene.stored().await[0].0), text("edited"));
}

#[tokio::test]
async fn what_two_plugins_write_for_a_message_is_stored_or_forgotten_together() {
    let scene = Scene::new(&format!("{SET} {COUNT}")).await;
    scene.add("second", &format!("{SET} {COUNT} (call $reject)")).await;

    assert!(matches!(scene.send("refused").await, Err(Error::Rejected(_))));
    assert_eq!(scene.kept().await, ["n=1", "n=1"]);

    scene.add("second", SET).await;
    scene.send("stored").await.unwrap();

    assert_eq!(scene.kept().await, ["k=seen", "k=seen", "n=1", "n=2"]);
    assert_eq!(scene.stored().await, [("stored".to_owned(), None)]);
}

#[tokio::test]
async fn where_one_of_two_plugins_has_read_what_changed_both_are_asked_again() {
    let scene = Arc::new(Scene::new(&format!("{READ} {SET} {COUNT}")).await);
    scene.add("second", &format!("{READ} {SET} {COUNT}")).await;
    scene.send("one").await.unwrap();
    let mut other = scene.database.raw.begin().await.unwrap();
    execute(&mut other, "select from plugin_kv_usage for update").await;

    let sending = tokio::spawn({
        let scene = scene.clone();
        async move { scene.send("two").await.map(drop) }
    });
    scene.database.blocked(1).await;
    execute(
        &mut other,
        "update plugin_kv set value = 'other', revision = revision + 1
        where key = 'k' and plugin_id = (select id from plugins where name = 'second')",
    )
    .await;
    other.commit().await.unwrap();
    sending.await.unwrap().unwrap();

    let told: Vec<(Option<String>, Option<String>)> = scene
        .database
        .rows(
            "select decision->'steps'->0->>'explanation', decision->'steps'->1->>'explanation'
            from messages order by id desc limit 1",
        )
        .await;
    assert_eq!(told, [(Some("seen".to_owned()), Some("other".to_owned()))]);
    assert_eq!(scene.kept().await, ["k=seen", "k=seen", "n=3", "n=3"]);
}

#[tokio::test]
async fn a_shadowed_message_keeps_what_was_written_for_it() {
    let shadow = "(i32.store8 (i32.const 4) (i32.const 4))";
    let scene = Scene::new(&format!("{SET} {shadow}")).await;

    let sent = scene.send("unseen").await.unwrap();

    assert!(sent.letter.message.shadowed);
    assert_eq!(scene.kept().await, ["k=seen"]);
}

#[tokio::test]
async fn a_held_message_is_asked_about_once_more_where_what_was_read_has_changed() {
    let scene = Arc::new(Scene::new(&format!("{READ} {SET} {COUNT}")).await);
    scene.send("one").await.unwrap();
    scene.add("guest", "unreachable").await;
    let held = scene.send("two").await.unwrap().letter.message.clone();
    scene.add("guest", &format!("{READ} {SET} {COUNT}")).await;
    let mut other = scene.database.raw.begin().await.unwrap();
    execute(&mut other, "select from plugin_kv_usage for update").await;

    let asking = tokio::spawn({
        let scene = scene.clone();
        async move { scene.services.due_holds.round().await }
    });
    scene.database.blocked(1).await;
    execute(
        &mut other,
        "update plugin_kv set value = 'other', revision = revision + 1 where key = 'k'",
    )
    .await;
    other.commit().await.unwrap();
    asking.await.unwrap().unwrap();
    assert_eq!((held.seq, scene.seq_of(&held).await), (None, None));
    assert_eq!(scene.kept().await, ["k=other", "n=2"], "nothing but the counter");

    scene.services.due_holds.round().await.unwrap();

    assert_eq!(scene.seq_of(&held).await, Some(2));
    assert_eq!(scene.stored().await[1], ("two".to_owned(), Some("other".to_owned())));
    assert_eq!(scene.kept().await, ["k=seen", "n=3"]);
}

#[tokio::test]
async fn a_message_that_waits_for_another_plugin_is_no_repeat_of_itself() {
    let scene = Scene::new(&format!("{ONCE} {COUNT}")).await;
    scene.add("second", "unreachable").await;

    let held = scene.send("one").await.unwrap().letter.message.clone();
    assert_eq!(scene.kept().await, ["n=1"], "what was set is forgotten, what was counted is not");
    scene.services.due_holds.round().await.unwrap();
    assert_eq!(scene.kept().await, ["n=2"], "asked again, and still nothing is decided");
    scene.add("second", "").await;
    scene.services.due_holds.round().await.unwrap();

    assert_eq!((held.seq, scene.seq_of(&held).await), (None, Some(1)));
    assert_eq!(scene.kept().await, ["k=seen", "n=3"], "as it was last judged");
    assert!(matches!(scene.send("one").await, Err(Error::Rejected(_))));
}

#[tokio::test]
async fn an_edit_that_waits_for_another_plugin_is_no_repeat_of_itself() {
    let scene = Scene::new("").await;
    let sent = scene.send("one").await.unwrap();
    scene.add("guest", ONCE).await;
    scene.add("second", "unreachable").await;

    scene.edit(&sent.letter.message, "edited").await.unwrap();
    assert_eq!(scene.kept().await, [""; 0]);
    assert_eq!(scene.stored().await[0].0, "one");
    scene.add("second", "").await;
    scene.services.due_holds.round().await.unwrap();

    assert_eq!(scene.stored().await[0].0, "edited");
    assert_eq!(scene.kept().await, ["k=seen"]);
}

#[tokio::test]
async fn an_edit_of_what_waits_for_a_plugin_leaves_it_to_the_next_judgement() {
    let scene = Scene::new(ONCE).await;
    scene.add("second", "unreachable").await;
    let held = scene.send("one").await.unwrap().letter.message.clone();
    scene.add("second", "").await;

    // It passes, and goes on waiting: the server asks about it as about any that waits.
    scene.edit(&held, "edited").await.unwrap();
    assert_eq!((scene.seq_of(&held).await, scene.kept().await), (None, Vec::new()));
    scene.services.due_holds.round().await.unwrap();

    assert_eq!(scene.seq_of(&held).await, Some(1));
    assert_eq!(scene.stored().await[0].0, "edited");
    assert_eq!(scene.kept().await, ["k=seen"]);
}

#[tokio::test]
async fn a_hold_that_a_plugin_asked_for_keeps_what_was_written_whoever_fails_beside_it() {
    let waits = "(i32.store8 (i32.const 4) (i32.const 3))";
    let scene = Scene::new(&format!("{SET} {waits}")).await;
    scene.add("second", "unreachable").await;

    let held = scene.send("one").await.unwrap().letter.message.clone();
    assert_eq!(scene.kept().await, ["k=seen"]);
    scene.add("guest", &format!("{COUNT} {waits}")).await;
    scene.edit(&held, "edited").await.unwrap();

    // Nobody is asked again: an admin decides.
    scene.services.due_holds.round().await.unwrap();
    assert_eq!(scene.kept().await, ["k=seen", "n=1"]);
}

async fn execute(connection: &mut sqlx::PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}
