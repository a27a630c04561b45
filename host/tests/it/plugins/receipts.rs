//! Decision receipts: what is kept of a judgement, who reads it, and when it goes.

use std::sync::Arc;

use duologue::{
    Error,
    db::receipts::{self, Packed},
    domain::{AdminReads, Caller, DeleteScope, EntryId, MessageId},
    service::{EditCommand, PluginTerms, ReceiptEntry, Services, Via},
};
use serde_json::{Value as Json, json};
use time::{Duration, OffsetDateTime};

use super::support::host;
use crate::{
    database::support::{RECEIPTS, TestDatabase, letter},
    guests,
};

/// An org with one plugin, and whoever reads its receipts.
struct Scene {
    database: TestDatabase,
    services: Services,
    alice: Caller,
    bob: Caller,
}

impl Scene {
    async fn new(wasm: &[u8], grant: &str) -> Self {
        let database = TestDatabase::create().await;
        let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
        let services = database.services_on(&host()).0;
        install(&services, &alice, wasm, grant).await;
        Self { database, services, alice, bob }
    }

    async fn historian() -> Self {
        Self::new(&guests::component_with("import history;", guests::HISTORY), "history").await
    }

    async fn send(&self, content: &str) -> MessageId {
        let command = letter(&self.bob, content);
        let sent = Box::pin(self.services.sending.send(&self.alice, Via::Rest, command)).await;
        sent.unwrap().letter.message.id
    }

    async fn refused(&self, content: &str) -> EntryId {
        let command = letter(&self.bob, content);
        let sent = Box::pin(self.services.sending.send(&self.alice, Via::Rest, command)).await;
        match sent.map(drop) {
            Err(Error::Rejected(rejection)) => rejection.id,
            other => panic!("{other:?}"),
        }
    }

    /// An admin where the org lets admins read that much.
    fn admin(&self, reads: AdminReads) -> Caller {
        let mut org = (*self.alice.org).clone();
        org.settings.admin_reads = reads;
        Caller { org: Arc::new(org), ..self.alice.clone() }
    }

    /// Once so many are stored: they are written behind the answer.
    async fn settled(&self, receipts: i64) {
        let count = "select count(*) from receipts";
        while self.database.rows::<(i64,)>(count).await[0].0 < receipts {
            tokio::task::yield_now().await;
        }
    }

    async fn of(&self, reads: AdminReads, id: MessageId) -> Vec<ReceiptEntry> {
        self.services.review.message_receipts(&self.admin(reads), id).await.unwrap()
    }

    async fn delete(&self, id: MessageId) {
        let scope = Some(DeleteScope::Everyone);
        Box::pin(self.services.messages.delete(&self.alice, id, scope)).await.unwrap();
    }

    async fn readings(&self) -> Vec<(Json,)> {
        let sql = "select detail from audit_log where action = 'content.read' order by id";
        self.database.rows(sql).await
    }
}

async fn install(services: &Services, admin: &Caller, wasm: &[u8], grant: &str) {
    let plugins = &services.plugins;
    Box::pin(plugins.upload(admin, "guest", wasm)).await.unwrap();
    let grants = [(grant.to_owned(), json!({}))].into();
    plugins.grant(admin, "guest", grants).await.unwrap();
    let terms = PluginTerms::default();
    Box::pin(plugins.activate(admin, "guest", (None, None), terms)).await.unwrap();
}

/// What a receipt's first call was asked about.
fn content(entry: &ReceiptEntry) -> Option<String> {
    let content = entry.calls[0].content.as_ref()?;
    Some(content.input["body"]["content"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_message_has_a_receipt_for_each_time_that_it_was_judged() {
    let scene = Scene::historian().await;
    let id = scene.send("one").await;
    let edit = EditCommand { content: Some("two".to_owned()), ..EditCommand::default() };
    let edited = scene.services.messages.edit(&scene.alice, Via::Rest, id, edit);
    Box::pin(edited).await.unwrap();
    scene.settled(2).await;

    let receipts = scene.of(AdminReads::All, id).await;

    let told: Vec<_> = receipts.iter().map(|entry| (entry.row.is_edit, content(entry))).collect();
    assert_eq!(told, [(true, Some("two".to_owned())), (false, Some("one".to_owned()))]);
    let previous = &receipts[0].calls[0].content.as_ref().unwrap().input["previous"];
    assert_eq!(previous["content"], "one");
    assert!(receipts.iter().all(|entry| entry.not_replayable.is_none()));
    assert_eq!(receipts[0].calls[0].config, Some(json!({})));
}

#[tokio::test]
async fn only_the_newest_receipts_of_a_message_are_kept() {
    let scene = Scene::new(&guests::asking(&["kv"], &["k"], ""), "kv").await;
    let id = scene.send("0").await;
    for count in 1..=4 {
        scene.settled(i64::min(count, RECEIPTS.per_message.into())).await;
        let content = Some(count.to_string());
        let edit = EditCommand { content, ..EditCommand::default() };
        let edited = scene.services.messages.edit(&scene.alice, Via::Rest, id, edit);
        Box::pin(edited).await.unwrap();
    }

    let newest = async {
        loop {
            let receipts = scene.of(AdminReads::All, id).await;
            let told: Vec<_> = receipts.iter().filter_map(content).collect();
            if told[0] == "4" {
                return told;
            }
        }
    };
    assert_eq!(newest.await, ["4", "3", "2"]);
}

#[tokio::test]
async fn deleting_a_message_takes_its_content_from_every_receipt_that_shows_it() {
    let scene = Scene::historian().await;
    let shown = scene.send("a secret").await;
    let later = scene.send("and on").await;
    let last = scene.send("still").await;
    scene.settled(3).await;

    scene.delete(later).await;

    // The last one was shown it.
    for id in [later, last] {
        let [receipt] = &scene.of(AdminReads::All, id).await[..] else { panic!("not one") };
        assert!(receipt.not_replayable.unwrap().contains("deleted"));
        assert!(receipt.calls[0].content.is_none());
        let run = receipt.calls[0].record.run.as_ref().unwrap();
        assert_eq!((run.input_sha256.len(), run.imports.len()), (64, 1));
    }
    let kept = scene.of(AdminReads::All, shown).await;
    assert_eq!(content(&kept[0]).as_deref(), Some("a secret"));
}

#[tokio::test]
async fn a_receipt_that_is_stored_after_the_deletion_has_no_content() {
    let scene = Scene::historian().await;
    let id = scene.send("a secret").await;
    scene.settled(1).await;
    let thread: Vec<(uuid::Uuid,)> = scene.database.rows("select thread_id from receipts").await;
    let late = |message_id, shown| receipts::NewReceipt {
        id: EntryId::new(),
        thread_id: thread[0].0.into(),
        message_id,
        request_id: None,
        is_edit: false,
        attempt: 1,
        calls: Packed::calls(&[]),
        content: Packed::contents(&[Json::Null]),
        shown,
        created_at: OffsetDateTime::now_utc(),
    };

    scene.delete(id).await;
    let mut tx = scene.database.db.begin(scene.alice.org.id).await.unwrap();
    let rows = [late(Some(id), vec![]), late(None, vec![id]), late(None, vec![])];
    receipts::insert_all(&mut tx.conn(), &rows).await.unwrap();
    tx.commit().await.unwrap();

    let stored = "select content is null from receipts order by id";
    assert_eq!(scene.database.rows::<(bool,)>(stored).await, [(true,), (true,), (true,), (false,)]);
}

#[tokio::test]
async fn what_admins_may_not_read_is_not_in_a_receipt_and_each_reading_is_noted() {
    let scene = Scene::historian().await;
    scene.send("one").await;
    let id = scene.send("two").await;
    scene.settled(2).await;

    for reads in [AdminReads::None, AdminReads::HeldAndFlagged] {
        let receipts = scene.of(reads, id).await;
        assert!(receipts[0].calls[0].content.is_none());
        assert!(receipts[0].not_replayable.unwrap().contains("adminReads"));
        assert!(receipts[0].calls[0].config.is_some());
    }
    assert_eq!(scene.readings().await.len(), 0);

    assert!(content(&scene.of(AdminReads::All, id).await[0]).is_some());
    let [(detail,)] = &scene.readings().await[..] else { panic!("not one reading") };
    // With the earlier message, which it shows.
    assert_eq!(detail["messageIds"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn history_in_a_receipt_is_for_those_who_may_read_all() {
    let history = "
        (call $previous (i32.const 768))
        (i32.store8 (i32.const 4) (i32.const 3))";
    let wat = guests::HISTORY.replace("(call $previous (i32.const 512))", "");
    assert_ne!(wat, guests::HISTORY);
    let holder = guests::component_with(
        "import history;",
        &wat.replace("    i32.const 0))", &format!("{history} i32.const 0))")),
    );
    let scene = Scene::new(&holder, "history").await;
    scene.send("one").await;
    let id = scene.send("two").await;
    scene.settled(2).await;

    // Held, so that its admins may read it, but not what came before.
    let receipts = scene.of(AdminReads::HeldAndFlagged, id).await;

    let call = &receipts[0].calls[0];
    assert_eq!(content(&receipts[0]).as_deref(), Some("two"));
    let shown = &call.content.as_ref().unwrap().host_calls[0].answered;
    assert_eq!(*shown, json!({ "withheld": true }));
    let why = call.record.run.as_ref().unwrap().not_replayable.as_ref().unwrap();
    assert!(why.contains("adminReads"), "{why}");
    let all = scene.of(AdminReads::All, id).await;
    assert_eq!(
        all[0].calls[0].content.as_ref().unwrap().host_calls[0].answered["ok"][0]["content"],
        "one"
    );
}

#[tokio::test]
async fn a_refused_draft_is_readable_like_what_is_held_if_a_plugin_decided() {
    for (asking, decided) in [("(call $reject)", true), ("unreachable", false)] {
        let scene = Scene::new(&guests::asking(&["kv"], &["k"], asking), "kv").await;
        let terms =
            PluginTerms { on_fault: Some(duologue::domain::OnFault::Reject), ..Default::default() };
        let plugins = &scene.services.plugins;
        Box::pin(plugins.activate(&scene.alice, "guest", (None, None), terms)).await.unwrap();
        let id = scene.refused("no good").await;
        scene.settled(1).await;

        for (reads, readable) in [
            (AdminReads::None, false),
            (AdminReads::HeldAndFlagged, decided),
            (AdminReads::All, true),
        ] {
            let admin = scene.admin(reads);
            let receipts = scene.services.review.refusal_receipts(&admin, id).await.unwrap();
            assert_eq!(content(&receipts[0]).is_some(), readable, "{reads:?} {asking}");
        }
        assert_eq!(scene.readings().await.len(), 1 + usize::from(decided));
    }
}

#[tokio::test]
async fn a_refused_edit_is_as_readable_as_its_message() {
    let scene = Scene::new(&guests::asking(&["kv"], &["k"], ""), "kv").await;
    let id = scene.send("one").await;
    scene.settled(1).await;
    let plugins = &scene.services.plugins;
    let refusing = guests::asking(&["kv"], &["k"], "(call $reject)");
    Box::pin(plugins.upload(&scene.alice, "guest", &refusing)).await.unwrap();
    let terms = PluginTerms::default();
    Box::pin(plugins.activate(&scene.alice, "guest", (None, None), terms)).await.unwrap();
    let edit = EditCommand { content: Some("two".to_owned()), ..EditCommand::default() };
    let edited = scene.services.messages.edit(&scene.alice, Via::Rest, id, edit);
    let Err(Error::Rejected(rejection)) = Box::pin(edited).await else { panic!("not refused") };
    scene.settled(2).await;

    for (reads, readable) in [(AdminReads::HeldAndFlagged, false), (AdminReads::All, true)] {
        let admin = scene.admin(reads);
        let review = &scene.services.review;
        let receipts = review.refusal_receipts(&admin, rejection.id).await.unwrap();
        assert_eq!(content(&receipts[0]).is_some(), readable, "{reads:?}");
    }
    // It is one of its message's too, and goes with it.
    assert_eq!(scene.of(AdminReads::All, id).await.len(), 2);
    scene.delete(id).await;
    let review = &scene.services.review;
    let gone = review.refusal_receipts(&scene.admin(AdminReads::All), rejection.id).await.unwrap();
    assert!(content(&gone[0]).is_none());
}

#[tokio::test]
async fn a_draft_that_was_judged_twice_has_both_receipts() {
    let read_and_set = "
        (call $get (i32.const 2048) (i32.const 1) (i32.const 768))
        (call $set (i32.const 2048) (i32.const 1) (i32.const 2049) (i32.const 4)
          (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 768))";
    let scene = Scene::new(&guests::asking(&["kv"], &["kseen"], read_and_set), "kv").await;
    scene.send("one").await;
    scene.settled(1).await;
    let disturb = "
        create function disturb() returns trigger language plpgsql as $$
        begin
            update plugin_kv set revision = revision + 1;
            return new;
        end $$;
        create trigger disturb before update on plugin_kv_usage
            for each row execute function disturb()
        ";
    sqlx::raw_sql(disturb).execute(&scene.database.raw).await.unwrap();

    let id = scene.refused("two").await;
    scene.settled(3).await;

    let admin = scene.admin(AdminReads::All);
    let receipts = scene.services.review.refusal_receipts(&admin, id).await.unwrap();
    let attempts: Vec<_> = receipts.iter().map(|entry| entry.row.attempt).collect();
    assert_eq!(attempts, [2, 1]);
    assert!(receipts.iter().all(|entry| content(entry).as_deref() == Some("two")));
}

#[tokio::test]
async fn another_org_finds_nothing() {
    let scene = Scene::historian().await;
    let id = scene.send("one").await;
    scene.settled(1).await;
    let [stranger] = scene.database.org("other", ["carol"]).await;

    let found = scene.services.review.message_receipts(&stranger, id).await;

    assert!(matches!(found.map(drop), Err(Error::NotFound(_))));
}

#[tokio::test]
async fn an_orgs_receipts_do_not_wait_for_anothers() {
    let wasm = guests::asking(&["kv"], &["k"], "");
    let scene = Scene::new(&wasm, "kv").await;
    scene.send("one").await;
    scene.settled(1).await;
    let thread: Vec<(uuid::Uuid,)> = scene.database.rows("select thread_id from receipts").await;
    let [carol, dave] = scene.database.org("other", ["carol", "dave"]).await;
    install(&scene.services, &carol, &wasm, "kv").await;

    // As somebody who deletes, and takes long over the end of it.
    let mut deleting = scene.database.db.begin(scene.alice.org.id).await.unwrap();
    let thread = thread[0].0.into();
    receipts::blank(&mut deleting.conn(), thread, MessageId::new()).await.unwrap();
    scene.send("two").await;
    let sending = scene.services.sending.send(&carol, Via::Rest, letter(&dave, "hi"));
    Box::pin(sending).await.unwrap();

    scene.settled(2).await;
    let orgs = "select count(distinct org_id) from receipts";
    assert_eq!(scene.database.rows::<(i64,)>(orgs).await, [(2,)]);
    deleting.commit().await.unwrap();
    scene.settled(3).await;
}

#[tokio::test]
async fn receipts_go_when_their_days_are_over() {
    let scene = Scene::historian().await;
    scene.send("one").await;
    scene.settled(1).await;
    let mut handle = scene.database.db.org(scene.alice.org.id).await.unwrap();
    let conn = &mut handle.conn();
    let now = OffsetDateTime::now_utc();

    assert_eq!(receipts::prune(conn, now - Duration::days(7), 10).await.unwrap(), 0);
    assert_eq!(receipts::prune(conn, now + Duration::SECOND, 10).await.unwrap(), 1);
    receipts::prune_configs(conn, now + Duration::SECOND).await.unwrap();

    let left = "select (select count(*) from receipts) + (select count(*) from receipt_configs)";
    assert_eq!(scene.database.rows::<(i64,)>(left).await, [(0,)]);
}
