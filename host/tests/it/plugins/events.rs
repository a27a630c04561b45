//! Plugins that are told of what happened, and what they send.

use std::{collections::BTreeMap, time::Duration};

use duologue::{
    Error, Result,
    db::plugin_events::{self, DueEvent},
    domain::{Caller, DeleteScope, Email},
    events::Events,
    service::{
        Anchor, EditCommand, PersonRef, PluginTerms, ReviewCommand, SendCommand, Sent, Services,
        Upkeep, Via,
    },
};
use serde_json::{Value as Json, json};

use super::{platform::refusal, support::host};
use crate::{
    database::support::{TestDatabase, letter},
    guests::{self, Answer},
};

/// The number of a kind in `wit/`.
const EDITED: u8 = 1;

/// An org with plugins, which are told when a test says so.
struct Scene {
    database: TestDatabase,
    services: Services,
    alice: Caller,
    bob: Caller,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
        let services = database.services_on(&host()).0;
        Self { database, services, alice, bob }
    }

    /// With a plugin that says in its log what it hears, and answers as its configuration tells.
    async fn listening(config: &[(&str, &str)]) -> Self {
        let scene = Self::new().await;
        scene.listen("listener", config).await;
        scene
    }

    async fn listen(&self, name: &str, config: &[(&str, &str)]) {
        self.install(name, &guests::built("listener.wasm"), config).await;
    }

    async fn install(&self, name: &str, wasm: &[u8], config: &[(&str, &str)]) {
        install(&self.services, &self.alice, (name, wasm), config).await;
    }

    async fn send(&self, content: &str) -> Result<Sent> {
        Box::pin(self.services.sending.send(&self.alice, Via::Rest, letter(&self.bob, content)))
            .await
    }

    /// Sends and answers the id.
    async fn sent(&self, content: &str) -> String {
        self.send(content).await.unwrap().letter.message.id.to_string()
    }

    async fn tell(&self) {
        Box::pin(self.services.due_events.round()).await.unwrap();
    }

    /// The lines of a plugin's log since it was first asked, without what names the event.
    async fn lines(&self, name: &str) -> Vec<String> {
        let page = self.services.plugins.list_log(&self.alice, name, 0).await.unwrap();
        page.lines.into_iter().map(|line| line.text).collect()
    }

    /// What it heard, without the event's id.
    async fn heard(&self, name: &str) -> Vec<String> {
        let mut heard = self.lines(name).await;
        heard.retain(|line| !line.contains("answered"));
        heard.iter().filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    }

    async fn waiting(&self) -> i64 {
        self.database.rows::<(i64,)>("select count(*) from plugin_events").await[0].0
    }

    /// The bot's messages, each with whom it is for and what it says, in the order of sending.
    async fn bots(&self) -> Vec<(String, String)> {
        self.database
            .rows(
                "
                select recipient.email, content
                from messages
                join users as sender on sender.id = sender_id
                join users as recipient on recipient.id = recipient_id
                where sender.email = 'bot@duologue.invalid'
                order by messages.id
                ",
            )
            .await
    }

    async fn dropped(&self, name: &str) -> Json {
        let entry = self.services.plugins.find(&self.alice, name).await.unwrap();
        let live = entry.live.into_iter().map(|live| serde_json::to_value(live).unwrap());
        let on_event = live.into_iter().find(|live| live["hook"] == "on-event").unwrap();
        on_event["dropped"].clone()
    }

    async fn take_on(&self, lease: Duration) -> Vec<DueEvent> {
        let mut handle = self.database.db.org(self.alice.org.id).await.unwrap();
        plugin_events::claim(&mut handle.conn(), lease, 10).await.unwrap()
    }
}

async fn install(
    services: &Services,
    admin: &Caller,
    (name, wasm): (&str, &[u8]),
    config: &[(&str, &str)],
) {
    let plugins = &services.plugins;
    // Boxed: large as futures.
    Box::pin(plugins.upload(admin, name, wasm)).await.unwrap();
    let grants = [("messages".to_owned(), json!({}))].into();
    plugins.grant(admin, name, grants).await.unwrap();
    let config: BTreeMap<String, String> =
        config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Box::pin(plugins.configure(admin, name, config)).await.unwrap();
    let terms = PluginTerms::default();
    Box::pin(plugins.activate(admin, name, (None, None), terms)).await.unwrap();
}

fn says(content: &str) -> EditCommand {
    EditCommand { content: Some(content.to_owned()), ..EditCommand::default() }
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    pairs.into_iter().map(|(one, other)| (one.to_owned(), other.to_owned())).collect()
}

#[tokio::test]
async fn each_kind_is_told_with_what_it_is_about() {
    let scene = Scene::listening(&[]).await;
    let Scene { services, alice, bob, .. } = &scene;
    let sent = services.sending.send(alice, Via::Rest, letter(bob, "one")).await.unwrap();
    let id = sent.letter.message.id;
    let alices = PersonRef::Id(alice.user.id);
    scene.tell().await;
    Box::pin(services.messages.edit(alice, Via::Rest, id, says("two"))).await.unwrap();
    scene.tell().await;
    services.reading.mark(bob, &[id]).await.unwrap();
    scene.tell().await;
    let second = scene.sent("three").await;
    services.reading.mark_thread(bob, &alices).await.unwrap();
    services.reading.mark_thread(bob, &alices).await.unwrap();
    scene.tell().await;
    services.messages.delete(bob, id, None).await.unwrap();
    scene.tell().await;
    services.messages.delete(alice, id, Some(DeleteScope::Everyone)).await.unwrap();
    services.messages.delete(alice, id, Some(DeleteScope::Everyone)).await.unwrap();
    scene.tell().await;
    services.presence.tell_online(alice).await;
    while scene.heard("listener").await.len() < 8 {
        scene.tell().await;
    }

    let mut heard = scene.heard("listener").await;
    // These two came together.
    heard[3..5].sort();
    let (a, b) = ("alice@acme.example", "bob@acme.example");
    assert_eq!(
        heard,
        [
            format!("sent {id} {a} {b} 1 [one]"),
            format!("edited {id} {a} {b} 1 [two]"),
            format!("read {b} {a} {id}"),
            format!("read {b} {a} {second}"),
            format!("sent {second} {a} {b} 2 [three]"),
            format!("deleted {id} {b} false"),
            format!("deleted {id} {a} true"),
            format!("user-online {a} Kind::Customer"),
        ]
    );
    assert_eq!(scene.waiting().await, 0);
}

#[tokio::test]
async fn what_is_held_released_or_refused_is_told() {
    let scene = Scene::listening(&[]).await;
    let Scene { services, alice, bob, .. } = &scene;
    let wasm = guests::answering(&Answer::hold("links", None));
    scene.install("guard", &wasm, &[]).await;
    let id = scene.send("one").await.unwrap().letter.message.id;
    scene.tell().await;
    Box::pin(services.messages.edit(alice, Via::Rest, id, says("two"))).await.unwrap();
    scene.tell().await;
    let command = ReviewCommand { revision: 1, note: None, reason: None };
    Box::pin(services.review.release(alice, id, command)).await.unwrap();
    scene.tell().await;
    Box::pin(services.messages.edit(alice, Via::Rest, id, says("three"))).await.unwrap();
    scene.tell().await;
    let command = ReviewCommand { revision: 2, note: None, reason: None };
    Box::pin(services.review.release(alice, id, command)).await.unwrap();
    scene.tell().await;
    scene.install("guard", &guests::answering(&Answer::reject("rude", "", "{}")), &[]).await;
    assert!(matches!(scene.send("four").await, Err(Error::Rejected(_))));
    while scene.heard("listener").await.len() < 6 {
        scene.tell().await;
    }

    let (a, b) = (alice.user.email.as_str(), bob.user.email.as_str());
    assert_eq!(
        scene.heard("listener").await,
        [
            format!("held {id} {a} {b} - [one] 0 guard"),
            format!("held {id} {a} {b} - [two] 1 guard"),
            format!("released {id} {a} {b} 1 [two]"),
            format!("held {id} {a} {b} 1 [two] 2 guard"),
            format!("released {id} {a} {b} 1 [three]"),
            format!("rejected {a} {b} rude"),
        ]
    );
}

#[tokio::test]
async fn messages_are_shown_as_they_are_when_it_is_told() {
    let scene = Scene::listening(&[]).await;
    let id = scene.send("one").await.unwrap().letter.message.id;
    Box::pin(scene.services.messages.edit(&scene.alice, Via::Rest, id, says("two"))).await.unwrap();
    let scope = Some(DeleteScope::Everyone);
    let gone = scene.send("three").await.unwrap().letter.message.id;
    scene.services.messages.delete(&scene.alice, gone, scope).await.unwrap();

    scene.tell().await;

    let heard = scene.heard("listener").await;
    let shown = |kind: &str, id: String| {
        let wanted = format!("{kind} {id} ");
        heard.iter().find(|line| line.starts_with(&wanted)).unwrap().clone()
    };
    assert!(shown("sent", id.to_string()).ends_with("1 [two]"));
    assert!(shown("sent", gone.to_string()).ends_with("2 []"));
}

#[tokio::test]
async fn a_shadowed_message_is_nobodys_event() {
    let scene = Scene::listening(&[]).await;
    scene.install("guard", &guests::answering(&Answer::shadow()), &[]).await;
    let id = scene.send("one").await.unwrap().letter.message.id;
    Box::pin(scene.services.messages.edit(&scene.alice, Via::Rest, id, says("two"))).await.unwrap();
    scene.services.messages.delete(&scene.alice, id, None).await.unwrap();

    assert_eq!(scene.waiting().await, 0);
}

#[tokio::test]
async fn only_what_an_active_plugin_listens_to_is_put_down() {
    let scene = Scene::new().await;
    let id = scene.send("to nobody").await.unwrap().letter.message.id;
    assert_eq!(scene.waiting().await, 0);

    scene.install("editor", &guests::hearing(&[EDITED], ""), &[]).await;
    let entry = scene.services.plugins.find(&scene.alice, "editor").await.unwrap();
    assert_eq!(entry.versions[0].report["events"], json!(["edited"]));
    scene.send("not listened to").await.unwrap();
    assert_eq!(scene.waiting().await, 0);
    Box::pin(scene.services.messages.edit(&scene.alice, Via::Rest, id, says("new"))).await.unwrap();
    assert_eq!(scene.waiting().await, 1);

    scene.services.plugins.disable(&scene.alice, "editor").await.unwrap();
    assert_eq!(scene.waiting().await, 0);
}

#[tokio::test]
async fn an_upload_that_cannot_say_what_it_hears_is_refused() {
    let scene = Scene::new().await;
    for (wasm, why) in [
        (guests::hearing(&[], ""), "names no kind of event"),
        (guests::hearing(&[EDITED, 0, EDITED], ""), "names edited twice"),
        (guests::hearing(&[EDITED], "unreachable"), "it trapped"),
        (guests::hearing(&[EDITED], "(loop (br 0))"), "it took too long"),
        (guests::hearing(&[99], ""), "its answer is invalid"),
    ] {
        let uploaded = Box::pin(scene.services.plugins.upload(&scene.alice, "guest", &wasm)).await;
        let refused = refusal(uploaded);

        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn what_it_wanted_to_hear_goes_with_the_version_that_decides() {
    let scene = Scene::listening(&[]).await;
    scene.send("one").await.unwrap();
    assert_eq!(scene.waiting().await, 1);

    scene.install("listener", &guests::hearing(&[EDITED], ""), &[]).await;

    assert_eq!(scene.waiting().await, 0);
    scene.listen("listener", &[]).await;
    scene.send("two").await.unwrap();
    scene.services.plugins.remove(&scene.alice, "listener").await.unwrap();
    assert_eq!(scene.waiting().await, 0);
}

#[tokio::test]
async fn a_server_that_knows_of_no_listener_yet_leaves_the_event_to_be_told() {
    let scene = Scene::new().await;
    let other = scene.database.services_on(&host()).0;
    // In place there, without the plugin.
    other.sending.send(&scene.alice, Via::Rest, letter(&scene.bob, "before")).await.unwrap();
    scene.listen("listener", &[]).await;
    scene.send("one").await.unwrap();
    assert_eq!(scene.waiting().await, 1);

    // It puts the event off by a second and learns of the plugin; on a busy machine, in one round.
    while scene.waiting().await > 0 {
        Box::pin(other.due_events.round()).await.unwrap();
    }

    // Nobody else tells here, so what was dropped would not be in the log.
    let page = other.plugins.list_log(&scene.alice, "listener", 0).await.unwrap();
    assert!(page.lines[0].text.ends_with("/1"), "{}", page.lines[0].text);
}

#[tokio::test]
async fn a_plugin_that_traps_is_told_again_and_sends_nothing_twice() {
    let scene = Scene::listening(&[("reply", "thanks"), ("times", "2"), ("fail-until", "3")]).await;
    scene.send("hello").await.unwrap();

    scene.tell().await;

    let lines = scene.lines("listener").await;
    let told: Vec<&str> =
        lines.iter().filter_map(|line| Some(line.split_once("hello] ")?.1)).collect();
    let (event, _) = told[0].split_once('/').unwrap();
    assert_eq!(told, [1, 2, 3].map(|attempt| format!("{event}/{attempt}")));
    let answered: Vec<&String> = lines.iter().filter(|line| line.starts_with("answered")).collect();
    assert_eq!(answered.len(), 6);
    assert_eq!(answered[0..2], answered[4..6]);
    let to = "alice@acme.example";
    assert_eq!(scene.bots().await, pairs([(to, "thanks"), (to, "thanks")]));
    assert_eq!(scene.waiting().await, 0);
}

#[tokio::test]
async fn an_event_is_given_up_after_so_many_failures_and_that_is_counted() {
    let scene = Scene::listening(&[("fail-until", "9")]).await;
    let id = scene.sent("hello").await;

    scene.tell().await;

    assert_eq!(scene.waiting().await, 0);
    assert_eq!(scene.dropped("listener").await, json!({ "given_up": 1 }));
    let lines = scene.lines("listener").await;
    let is_fault =
        |line: &&String| line.starts_with("no answer: trapped at on-event") && line.ends_with(&id);
    assert_eq!(lines.iter().filter(is_fault).count(), 3, "{lines:?}");
    assert_eq!(lines.len(), 7, "what it heard, and what the server says of that, each 3 times");
    assert!(lines[6].contains("given up"), "{lines:?}");
}

#[tokio::test]
async fn what_a_server_took_on_and_did_not_tell_is_told_by_another() {
    let scene = Scene::listening(&[]).await;
    scene.send("hello").await.unwrap();
    assert_eq!(scene.take_on(Duration::from_mins(1)).await.len(), 1);

    scene.tell().await;
    assert_eq!(scene.lines("listener").await, [""; 0]);

    scene.database.rows::<(i32,)>("update plugin_events set due_at = now() returning 1").await;
    scene.tell().await;
    let lines = scene.lines("listener").await;
    assert!(lines[0].ends_with("/2"), "{lines:?}");
    assert_eq!(scene.waiting().await, 0);
}

#[tokio::test]
async fn an_answer_comes_from_the_orgs_bot_and_can_be_answered() {
    let scene = Scene::listening(&[("reply", "thanks")]).await;
    let Scene { services, alice, .. } = &scene;
    scene.send("hello").await.unwrap();
    scene.tell().await;

    let bot = PersonRef::Email(Email::parse("bot@duologue.invalid").unwrap());
    let page = services.history.thread(alice, &bot, Anchor::Newest, 10).await.unwrap();
    let thanks = &page.items[0];
    assert_eq!((page.items.len(), thanks.message.body.content.as_str()), (1, "thanks"));
    assert_eq!(thanks.sender.name.as_deref(), Some("Bot"));
    let answer = Box::pin(services.sending.send(
        alice,
        Via::Rest,
        SendCommand { to: thanks.sender.email.clone(), ..letter(alice, "and thank you") },
    ));
    let answer = answer.await.unwrap();
    assert_eq!(answer.letter.recipient.id, thanks.sender.id);
    scene.tell().await;

    // The plugin heard the answer, and answered that.
    assert_eq!(scene.bots().await.len(), 2);
    assert_eq!(services.presence.list(alice, None).await.unwrap().len(), 0);
    let kinds: Vec<(String,)> =
        scene.database.rows("select kind from users where name = 'Bot'").await;
    assert_eq!(kinds, [("staff".to_owned(),)]);
}

#[tokio::test]
async fn somebody_may_have_written_to_the_bot_before_there_was_one() {
    let scene = Scene::listening(&[("reply", "thanks")]).await;
    let to_bot = SendCommand { to: Email::bot(), ..letter(&scene.bob, "anybody there?") };
    let sent = scene.services.sending.send(&scene.alice, Via::Rest, to_bot).await.unwrap();

    scene.tell().await;

    let bots: Vec<(String, String)> = scene
        .database
        .rows("select id::text, name from users where email = 'bot@duologue.invalid'")
        .await;
    assert_eq!(bots, [(sent.letter.recipient.id.to_string(), "Bot".to_owned())]);
    assert_eq!(scene.bots().await, pairs([("alice@acme.example", "thanks")]));
}

#[tokio::test]
async fn a_plugin_never_hears_of_what_it_sent_itself() {
    let scene = Scene::listening(&[("reply", "me again"), ("to", "bob@acme.example")]).await;
    let Scene { services, bob, .. } = &scene;
    scene.send("hello").await.unwrap();
    scene.tell().await;
    let bot = PersonRef::Email(Email::parse("bot@duologue.invalid").unwrap());
    let page = services.history.thread(bob, &bot, Anchor::Newest, 10).await.unwrap();
    let own = page.items[0].message.id;

    services.reading.mark(bob, &[own]).await.unwrap();
    services.messages.delete(bob, own, None).await.unwrap();
    scene.tell().await;

    assert_eq!(scene.bots().await, pairs([("bob@acme.example", "me again")]));
    assert_eq!(scene.heard("listener").await.len(), 1);
}

#[tokio::test]
async fn answers_to_answers_of_plugins_end() {
    let scene = Scene::new().await;
    for name in ["ping", "pong"] {
        scene.listen(name, &[("reply", name), ("to", "bob@acme.example")]).await;
    }
    scene.send("hello").await.unwrap();

    scene.tell().await;

    // Each answers the person, then twice the other.
    let bots = scene.bots().await;
    let of = |name: &str| bots.iter().filter(|(_, content)| content == name).count();
    assert_eq!((of("ping"), of("pong")), (3, 3));
    for name in ["ping", "pong"] {
        let lines = scene.lines(name).await;
        let denied = lines.iter().filter(|line| line.contains("Error::Denied")).count();
        assert_eq!(denied, 1, "{lines:?}");
    }
}

#[tokio::test]
async fn a_call_and_an_org_send_only_so_many() {
    let scene = Scene::listening(&[("reply", "more"), ("times", "7")]).await;
    let settings = "
        update orgs set settings = '{ \"limits\": { \"botPerMinute\": 6 } }' returning 1
        ";
    scene.database.rows::<(i32,)>(settings).await;
    scene.services.registry.forget_all();
    scene.send("one").await.unwrap();
    scene.tell().await;
    assert_eq!(scene.bots().await.len(), 5);

    scene.send("two").await.unwrap();
    scene.tell().await;

    assert_eq!(scene.bots().await.len(), 6);
    let lines = scene.lines("listener").await;
    let refused = lines.iter().filter(|line| line.contains("Error::QuotaExceeded")).count();
    assert_eq!(refused, 8, "{lines:?}");
}

#[tokio::test]
async fn a_plugin_sends_to_people_of_its_own_org_alone() {
    let scene = Scene::new().await;
    scene.database.org("other", ["carol"]).await;
    for (name, to) in [
        ("abroad", "carol@other.example"),
        ("itself", "bot@duologue.invalid"),
        ("nowhere", "not an address"),
    ] {
        scene.listen(name, &[("reply", "hello"), ("to", to)]).await;
    }

    scene.send("hello").await.unwrap();
    scene.tell().await;

    for name in ["abroad", "itself", "nowhere"] {
        let lines = scene.lines(name).await;
        assert!(lines[1].contains("Error::Invalid"), "{lines:?}");
    }
    assert_eq!(scene.bots().await, []);
    let people: Vec<(String,)> =
        scene.database.rows("select email from users where email like 'carol%'").await;
    assert_eq!(people.len(), 1);
}

#[tokio::test]
async fn an_answer_passes_the_orgs_plugins_like_any_other_message() {
    for (answer, wanted) in [
        (Answer::reject("rude", "", "{}"), "Error::Refused(\"rude\")"),
        (Answer::hold("links", None), "Error::Refused(\"held\")"),
    ] {
        let scene = Scene::listening(&[("reply", "thanks")]).await;
        scene.send("hello").await.unwrap();
        scene.install("guard", &guests::answering(&answer), &[]).await;

        scene.tell().await;

        let lines = scene.lines("listener").await;
        assert!(lines[1].contains(wanted), "{lines:?}");
        // Neither of its refusal nor of its hold is it told.
        assert_eq!(scene.waiting().await, 0);
        assert_eq!(scene.heard("listener").await.len(), 1);
    }
}

#[tokio::test]
async fn only_so_many_events_of_an_org_wait_and_the_rest_is_counted() {
    let scene = Scene::listening(&[]).await;

    let mut ids = Vec::new();
    for _ in 0..25 {
        ids.push(scene.sent("hello").await);
    }

    assert_eq!((scene.waiting().await, ids.len()), (20, 25));
    assert_eq!(scene.dropped("listener").await, json!({ "crowded": 5 }));
    let id = ids[0].parse().unwrap();
    Box::pin(scene.services.messages.edit(&scene.alice, Via::Rest, id, says("new"))).await.unwrap();
    assert_eq!(scene.dropped("listener").await, json!({ "crowded": 6 }));
    scene.tell().await;
    assert_eq!((scene.waiting().await, scene.heard("listener").await.len()), (0, 20));
}

#[tokio::test]
async fn of_what_is_told_as_well_as_can_be_only_so_much_is_told() {
    let scene = Scene::listening(&[]).await;
    let wasm = guests::answering(&Answer::reject("rude", "", "{}"));
    scene.install("guard", &wasm, &[]).await;
    for _ in 0..8 {
        assert!(scene.send("hello").await.is_err());
    }
    while scene.heard("listener").await.len() < 5 {
        scene.tell().await;
    }

    assert_eq!(scene.dropped("listener").await, json!({ "sampled": 3 }));
}

#[tokio::test]
async fn an_org_whose_plugin_is_slow_holds_up_no_other() {
    let scene = Scene::listening(&[("reply", "thanks")]).await;
    let Scene { database, services, alice, .. } = &scene;
    let [carol, dave] = database.org("other", ["carol", "dave"]).await;
    install(services, &carol, ("listener", &guests::built("listener.wasm")), &[]).await;
    // Each of its calls waits until there is a bot, and nobody may make it one.
    let to_bot = SendCommand { to: Email::bot(), ..letter(&scene.bob, "anybody there?") };
    services.sending.send(alice, Via::Rest, to_bot).await.unwrap();
    for _ in 0..6 {
        scene.send("hello").await.unwrap();
    }
    let mut lock = database.raw.begin().await.unwrap();
    let bot = "select from users where email = 'bot@duologue.invalid' for update";
    sqlx::raw_sql(bot).execute(&mut *lock).await.unwrap();
    let (events, _told) = Events::channel();
    let upkeep = tokio::spawn(Upkeep::new(services.clone(), events).run());
    database.blocked(1).await;

    services.sending.send(&carol, Via::Rest, letter(&dave, "hello")).await.unwrap();

    let heard = async |of: &Caller| {
        let page = services.plugins.list_log(of, "listener", 0).await.unwrap();
        page.lines.len()
    };
    while heard(&carol).await == 0 || scene.waiting().await > 7 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.bots().await.len(), 0);
    lock.rollback().await.unwrap();
    while scene.waiting().await > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.bots().await.len(), 7);
    upkeep.abort();
}

#[tokio::test]
async fn nobody_is_given_the_bots_address() {
    let scene = Scene::listening(&[("reply", "thanks")]).await;
    scene.send("hello").await.unwrap();
    scene.tell().await;
    let bot = Email::parse("BOT@duologue.invalid").unwrap();

    let given = scene.services.operator.rebind("acme", &bot, "", "mallory").await;

    assert!(refusal(given).contains("must not be the bot's"));
}
