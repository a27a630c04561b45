//! Content types from upload to list: what a version declares, whose a type is, and what people
//! see of its messages.

use duologue::{
    Error, Result,
    domain::{Body, Caller, ContentType, MessageState, OnFault},
    service::{EditCommand, PluginEntry, PluginTerms, SendCommand, Services, Via},
};
use serde_json::json;

use super::{
    platform::{Org, refusal},
    support::{host, text},
};
use crate::{
    database::support::{TestDatabase, letter},
    guests::{self, Answer, content::Judging},
};

const SCHEMA: &str = r#"{"type": "string", "pattern": "^[a-z!?]*$"}"#;
/// Names, each with its schema.
type Types = &'static [(&'static str, Option<&'static str>)];

const POLL: Types = &[("acme.poll", Some(SCHEMA))];
const TEXT: Types = &[("text", None)];

fn poll(content: &str) -> Body {
    let content_type = ContentType::Namespaced("acme.poll".to_owned());
    Body { content_type, ..text(content) }
}

fn polls() -> Judging<'static> {
    Judging { types: POLL, ..Judging::default() }
}

impl<const N: usize> Org<N> {
    async fn put(&self, name: &str, wasm: &[u8]) -> Result<PluginEntry> {
        Box::pin(self.plugins.upload(self.admin(), name, wasm)).await.map(|(plugin, _)| plugin)
    }

    async fn start(&self, name: &str) -> Result<PluginEntry> {
        let terms = PluginTerms::default();
        Box::pin(self.plugins.activate(self.admin(), name, (None, None), terms)).await
    }
}

#[tokio::test]
async fn an_upload_says_once_which_types_it_judges() {
    let org = Org::new(["alice"]).await;
    let both = [("acme.poll", Some(SCHEMA)), ("text", None)];
    let guest = Judging { types: &both, ..Judging::default() };

    let owner = org.put("polls", &polls().component()).await.unwrap();
    let tightens = org.put("both", &guest.component()).await.unwrap();
    let neither = org.put("pass", &guests::pass()).await.unwrap();

    let declared = json!([{ "name": "acme.poll", "schema": SCHEMA }, { "name": "text" }]);
    let (owner, tightens) = (&owner.versions[0].report, &tightens.versions[0].report);
    assert_eq!(owner["contentTypes"], json!([declared[0]]));
    assert_eq!(tightens["contentTypes"], declared);
    assert_eq!(neither.versions[0].report.get("contentTypes"), None);
    // What is right for a type of its own, the server does not know.
    assert_eq!(owner["dryRun"], json!([]));
    let tried = &tightens["dryRun"][0];
    assert_eq!((&tried["hook"], &tried["verdict"]), (&json!("validate-content"), &json!("valid")));
}

#[tokio::test]
async fn a_bad_answer_about_its_types_is_refused_in_words() {
    let org = Org::new(["alice"]).await;
    let cases: [(Types, &str); 5] = [
        (&[], "1 to 16"),
        (&[("text", None), ("text", None)], "twice"),
        (&[("Poll", None)], "no content type"),
        (&[("text", Some("{}"))], "every server's"),
        (&[("acme.poll", Some(r#"{"$ref": "https://a.example"}"#))], "$ref"),
    ];
    for (types, word) in cases {
        let guest = Judging { types, ..Judging::default() };

        let refused = refusal(org.put("guest", &guest.component()).await);

        assert!(refused.contains(word), "{refused}");
    }
    let trapping = refusal(org.put("guest", &polls().speechless()).await);
    assert!(trapping.contains("there was no answer (it trapped"), "{trapping}");
    assert!(org.plugins.list(org.admin()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_type_has_one_active_owner_and_any_number_who_tighten() {
    let org = Org::new(["alice"]).await;
    let other = Judging { preview: Some("another"), ..polls() };
    org.put("first", &polls().component()).await.unwrap();
    org.put("second", &other.component()).await.unwrap();
    org.start("first").await.unwrap();

    let refused = refusal(org.start("second").await);
    assert!(refused.contains("plugin first owns the content type acme.poll"), "{refused}");
    // Itself it is not in the way of.
    org.start("first").await.unwrap();
    org.plugins.disable(org.admin(), "first").await.unwrap();
    org.start("second").await.unwrap();

    for name in ["third", "fourth"] {
        let guest = Judging { types: TEXT, preview: None, ..Judging::default() };
        org.put(name, &guest.component()).await.unwrap();
        org.start(name).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_rolls_back_into_a_type_that_is_anothers_by_now() {
    let org = Org::new(["alice"]).await;
    org.put("first", &polls().component()).await.unwrap();
    org.start("first").await.unwrap();
    org.put("first", &guests::pass()).await.unwrap();
    org.start("first").await.unwrap();
    org.put("second", &polls().component()).await.unwrap();
    org.start("second").await.unwrap();

    let refused = refusal(org.plugins.roll_back(org.admin(), "first").await);

    assert!(refused.contains("plugin second owns"), "{refused}");
}

#[tokio::test]
async fn a_failing_plugin_is_not_rolled_back_into_a_type_that_is_anothers() {
    let org = Org::new(["a", "b", "c", "d", "e", "f"]).await;
    org.put("first", &polls().component()).await.unwrap();
    org.start("first").await.unwrap();
    org.put("first", &guests::component(guests::TRAP)).await.unwrap();
    let terms = PluginTerms { auto_rollback: Some(true), ..PluginTerms::default() };
    let failing = org.plugins.activate(org.admin(), "first", (None, None), terms).await.unwrap();
    org.put("second", &polls().component()).await.unwrap();
    org.start("second").await.unwrap();
    // And one that may be rolled back, to wait for.
    org.put("third", &guests::pass()).await.unwrap();
    let good = org.start("third").await.unwrap().active_version;
    org.put("third", &guests::component(guests::TRAP)).await.unwrap();
    org.plugins.activate(org.admin(), "third", (None, None), terms).await.unwrap();

    for from in &org.people[..5] {
        org.judge(from, &org.people[5]).await.unwrap();
    }
    let find = async |name| org.plugins.find(org.admin(), name).await.unwrap().active_version;
    while find("third").await != good {
        tokio::task::yield_now().await;
    }

    assert_eq!(find("first").await, failing.active_version);
}

#[tokio::test]
async fn of_two_owners_that_are_activated_at_once_one_wins() {
    let org = Org::new(["alice"]).await;
    for name in ["first", "second", "third", "fourth"] {
        org.put(name, &polls().component()).await.unwrap();
    }

    for _ in 0..5 {
        let started = futures_util::future::join_all(
            ["first", "second", "third", "fourth"].map(|name| org.start(name)),
        );
        let won: Vec<_> = started.await.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1);
        org.plugins.disable(org.admin(), &won[0].name).await.unwrap();
    }
}

/// An org with one plugin, and people who write.
struct Scene {
    database: TestDatabase,
    services: Services,
    alice: Caller,
    bob: Caller,
}

impl Scene {
    async fn new(guest: &Judging<'_>, terms: PluginTerms) -> Self {
        let database = TestDatabase::create().await;
        let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
        let services = database.services_on(&host()).0;
        let scene = Self { database, services, alice, bob };
        scene.install(&guest.component(), terms).await;
        scene
    }

    async fn install(&self, wasm: &[u8], terms: PluginTerms) {
        let plugins = &self.services.plugins;
        Box::pin(plugins.upload(&self.alice, "polls", wasm)).await.unwrap();
        Box::pin(plugins.activate(&self.alice, "polls", (None, None), terms)).await.unwrap();
    }

    async fn send(&self, content: &str) -> Result<duologue::domain::Message> {
        let command = SendCommand { body: poll(content), ..letter(&self.bob, "") };
        let sent = Box::pin(self.services.sending.send(&self.alice, Via::Rest, command)).await?;
        Ok((*sent.letter.message).clone())
    }

    async fn edit(&self, id: duologue::domain::MessageId, content: &str) -> Result<()> {
        let edit = EditCommand { content: Some(content.to_owned()), ..EditCommand::default() };
        let edited = self.services.messages.edit(&self.alice, Via::Rest, id, edit);
        Box::pin(edited).await.map(drop)
    }

    /// Those who gave no answer are due to be asked again.
    async fn ask_now(&self) {
        let sql = "update held_messages set ask_at = now() where ask_at is not null";
        sqlx::raw_sql(sql).execute(&self.database.raw).await.unwrap();
    }

    /// What the database has of each message: its content and its preview.
    async fn stored(&self) -> Vec<(String, Option<String>)> {
        self.database.rows("select content, preview from messages order by id").await
    }
}

fn row(content: &str, preview: Option<&str>) -> (String, Option<String>) {
    (content.to_owned(), preview.map(str::to_owned))
}

#[tokio::test]
async fn a_preview_is_stored_replaced_and_blanked_with_its_message() {
    let guest = Judging { preview: Some("a poll"), ..polls() };
    let scene = Scene::new(&guest, PluginTerms::default()).await;
    let sent = scene.send(r#""when""#).await.unwrap();
    assert_eq!(scene.stored().await, [row(r#""when""#, Some("a poll"))]);

    let other = Judging { preview: Some("another"), ..polls() };
    scene.install(&other.component(), PluginTerms::default()).await;
    scene.edit(sent.id, r#""then""#).await.unwrap();
    assert_eq!(scene.stored().await, [row(r#""then""#, Some("another"))]);

    scene.services.messages.delete(&scene.alice, sent.id, None).await.unwrap();
    assert_eq!(scene.stored().await, [row("", None)]);
}

#[tokio::test]
async fn without_an_active_owner_nothing_is_sent_or_edited_and_what_is_old_is_readable() {
    let scene = Scene::new(&polls(), PluginTerms::default()).await;
    let sent = scene.send(r#""when""#).await.unwrap();
    scene.services.plugins.disable(&scene.alice, "polls").await.unwrap();

    for refused in [scene.send(r#""when""#).await.map(drop), scene.edit(sent.id, r#""x""#).await] {
        let Err(Error::Invalid(fields)) = refused else { panic!("{refused:?}") };
        assert_eq!(fields[0].field, "contentType");
        assert!(fields[0].message.contains("owned by no active plugin"), "{fields:?}");
    }
    let read = scene.services.messages.find(&scene.bob, sent.id).await.unwrap();
    assert_eq!(read.message.body, poll(r#""when""#));
}

#[tokio::test]
async fn a_message_that_could_not_be_validated_waits_until_it_can() {
    let terms = PluginTerms { on_content_fault: Some(OnFault::Hold), ..PluginTerms::default() };
    let scene = Scene::new(&polls(), terms).await;
    let held = scene.send(r#""!""#).await.unwrap();
    assert_eq!(held.state, MessageState::Held);
    let state = async || {
        let found = scene.services.messages.find(&scene.alice, held.id).await.unwrap();
        (found.message.state, found.message.body.preview.clone())
    };

    scene.services.due_holds.round().await.unwrap();
    assert_eq!(state().await, (MessageState::Held, None));
    // Asked by nobody: it goes on waiting.
    scene.services.plugins.disable(&scene.alice, "polls").await.unwrap();
    scene.ask_now().await;
    scene.services.due_holds.round().await.unwrap();
    assert_eq!(state().await, (MessageState::Held, None));

    let mended = Judging { types: &[("acme.poll", None)], ..polls() };
    let wasm = Judging { preview: Some("mended"), ..mended }.lenient();
    scene.install(&wasm, terms).await;
    scene.ask_now().await;
    scene.services.due_holds.round().await.unwrap();

    assert_eq!(state().await, (MessageState::Sent, Some("mended".to_owned())));
}

#[tokio::test]
async fn a_message_that_turns_out_invalid_is_refused() {
    let terms = PluginTerms { on_content_fault: Some(OnFault::Hold), ..PluginTerms::default() };
    let scene = Scene::new(&polls(), terms).await;
    let held = scene.send(r#""!""#).await.unwrap();
    let strict = Judging { types: &[("acme.poll", Some(r#"{"type": "object"}"#))], ..polls() };

    scene.install(&strict.component(), terms).await;
    scene.ask_now().await;
    scene.services.due_holds.round().await.unwrap();

    let found = scene.services.messages.find(&scene.alice, held.id).await.unwrap().message;
    assert_eq!(found.state, MessageState::Refused);
    assert_eq!(found.refused_reason.as_deref(), Some("invalid_content"));
}

#[tokio::test]
async fn an_edit_that_is_held_carries_its_preview() {
    let guest = Judging { preview: Some("a poll"), ..polls() };
    let scene = Scene::new(&guest, PluginTerms::default()).await;
    let sent = scene.send(r#""when""#).await.unwrap();
    let other = Judging { preview: Some("another"), ..polls() };
    scene.install(&other.component(), PluginTerms::default()).await;
    let hold = guests::answering(&Answer::hold("look", None));
    Box::pin(scene.services.plugins.upload(&scene.alice, "hold", &hold)).await.unwrap();
    let terms = PluginTerms::default();
    Box::pin(scene.services.plugins.activate(&scene.alice, "hold", (None, None), terms))
        .await
        .unwrap();

    scene.edit(sent.id, r#""then""#).await.unwrap();
    assert_eq!(scene.stored().await, [row(r#""when""#, Some("a poll"))]);
    let mut admin = scene.alice.clone();
    admin.admin = true;
    let look = duologue::service::ReviewCommand { revision: 1, note: None, reason: None };
    scene.services.review.release(&admin, sent.id, look).await.unwrap();

    assert_eq!(scene.stored().await, [row(r#""then""#, Some("another"))]);
}

#[tokio::test]
async fn a_validator_looks_and_keeps_nothing() {
    let org = Org::new(["alice", "bob"]).await;
    // Goes on only where the store answers with an error.
    let asking = "
        (call $get (i32.const 8192) (i32.const 1) (i32.const 768))
        (if (i32.eqz (i32.load8_u (i32.const 768))) (then unreachable))
        (call $increment
          (i32.const 8192) (i32.const 1) (i64.const 1) (i32.const 0) (i32.const 0) (i32.const 768))
        (if (i32.eqz (i32.load8_u (i32.const 768))) (then unreachable))";
    let guest = Judging { types: TEXT, ..Judging::default() }.asking(&["kv"], asking);
    org.add("looks", &guest, json!({ "kv": {} })).await;

    let judgement = org.judge(&org.people[0], &org.people[1]).await.unwrap();

    assert_eq!(judgement.steps[0].verdict, "valid", "{:?}", judgement.steps);
    let kept: Vec<(i64,)> = org.database.rows("select count(*) from plugin_kv").await;
    assert_eq!(kept, [(0,)]);
}
