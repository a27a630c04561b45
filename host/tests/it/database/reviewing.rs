//! Holds and how they end: released, refused, edited, withdrawn.

use std::sync::Arc;

use duologue::{
    Error,
    db::batch::Fate,
    domain::{
        AdminReads, Caller, Decision, HoldState, Label, MessageId, MessageState, Org, Outcome,
        Severity,
    },
    events::Event,
};

use super::scene::{Scene, held, hold, looked_at};

#[tokio::test]
async fn a_released_message_takes_the_next_place_on_both_sides() {
    let mut scene = Scene::new().await;
    let ids: Vec<MessageId> = scene
        .store(&[Fate::Sent, held(hold()), Fate::Sent])
        .await
        .into_iter()
        .map(|(id, _)| id)
        .collect();

    let released = scene.release(ids[1], 0).await.unwrap();

    assert_eq!((released.state, released.seq), (MessageState::Sent, Some(3)));
    assert_eq!(scene.told().await, "released");
    for reader in [&scene.alice, &scene.bob] {
        assert_eq!(scene.history(reader).await, [ids[0], ids[2], ids[1]]);
    }
    assert_eq!(scene.unread().await, 3);
    let next = scene.store(&[Fate::Sent]).await[0].1;
    assert_eq!((next.seq, next.sender_prev_seq, next.recipient_prev_seq), (Some(4), 3, 3));
    let kinds: Vec<(String,)> = scene
        .database
        .rows(
            "
            select kind from changes, messages
            where messages.id = changes.message_id and messages.seq = 3
            order by kind
            ",
        )
        .await;
    // Held and released for its sender, new for its recipient.
    assert_eq!(kinds, ["message", "message", "updated"].map(|kind| (kind.to_owned(),)));
    let notified: Vec<(i64,)> = scene.database.rows("select count(*) from notifications").await;
    assert_eq!(notified, [(4,)]);
}

#[tokio::test]
async fn a_released_message_follows_on_what_its_recipient_was_given() {
    let mut scene = Scene::new().await;
    let id = scene.store(&[Fate::Sent, Fate::Shadowed, held(hold())]).await[2].0;

    scene.release(id, 0).await.unwrap();

    let event = scene.events.recv().await.unwrap();
    let Event::MessageReleased { exchange, recipient_prev_seq, .. } = event else {
        panic!("{event:?}");
    };
    assert_eq!((exchange.message.seq, recipient_prev_seq), (Some(3), 1));
}

#[tokio::test]
async fn a_release_opens_the_thread_for_a_recipient_who_had_none() {
    let scene = Scene::new().await;
    let id = scene.store_one(held(hold())).await;

    scene.release(id, 0).await.unwrap();

    let threads = scene.services.history.threads(&scene.bob, None, 10).await.unwrap().items;
    assert_eq!(threads[0].last.as_ref().unwrap().message.id, id);
    assert_eq!((threads[0].unread_count, threads[0].last_seq), (1, 1));
}

#[tokio::test]
async fn a_shadow_stands_when_its_message_is_released() {
    let scene = Scene::new().await;
    let id = scene.store_one(held(duologue::domain::Hold { shadow: true, ..hold() })).await;

    let released = scene.release(id, 0).await.unwrap();

    assert_eq!((released.state, released.seq), (MessageState::Sent, Some(1)));
    assert!(scene.sees(&scene.alice, id).await);
    assert!(!scene.sees(&scene.bob, id).await);
    assert_eq!(scene.unread().await, 0);
}

#[tokio::test]
async fn a_refused_message_stays_with_its_sender_with_the_reason() {
    let mut scene = Scene::new().await;
    let id = scene.store_one(held(hold())).await;

    scene.refuse(id, 0).await.unwrap();

    let message = scene.services.messages.find(&scene.alice, id).await.unwrap().message;
    assert_eq!(message.state, MessageState::Refused);
    assert_eq!(message.refused_reason.as_deref(), Some("review_refused"));
    assert_eq!(scene.told().await, "sender told");
    assert!(!scene.sees(&scene.bob, id).await);
    let again = scene.release(id, 0).await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
}

#[tokio::test]
async fn an_edit_of_a_held_message_is_a_new_revision_which_a_release_must_name() {
    let scene = Scene::new().await;
    let id = scene.store_one(held(hold())).await;
    // Plugins let it pass; what was to be reviewed is still to be.
    let edited = scene.edit(id, "hello again", Outcome::Send).await;

    let stale = scene.release(id, 0).await;
    let released = scene.release(id, 1).await.unwrap();

    assert_eq!((edited.state, edited.pending_revision), (MessageState::Held, None));
    assert!(matches!(stale, Err(Error::Conflict(_))), "{stale:?}");
    assert_eq!(released.body.content, "hello again");
    let seen = scene.services.messages.find(&scene.bob, id).await.unwrap();
    assert_eq!(seen.message.body.content, "hello again");
}

#[tokio::test]
async fn a_held_edit_leaves_what_stands_until_it_is_released() {
    let mut scene = Scene::new().await;
    let id = scene.store_one(Fate::Sent).await;

    let edited = scene.edit(id, "better", Outcome::Hold(hold())).await;
    assert_eq!(scene.told().await, "sender told");
    let seen = scene.services.messages.find(&scene.bob, id).await.unwrap().message;
    assert_eq!((edited.body.content.as_str(), edited.pending_revision), ("hello", Some(1)));
    assert_eq!((seen.body.content.as_str(), seen.pending_revision), ("hello", None));
    assert_eq!(scene.unread().await, 1);
    let released = scene.release(id, 1).await.unwrap();

    assert_eq!(scene.told().await, "updated");
    assert_eq!((released.seq, released.pending_revision), (Some(1), None));
    let seen = scene.services.messages.find(&scene.bob, id).await.unwrap().message;
    assert_eq!(seen.body.content, "better");
    assert_eq!(scene.unread().await, 1);
}

#[tokio::test]
async fn a_refused_edit_is_dropped_and_its_sender_alone_told() {
    let mut scene = Scene::new().await;
    let id = scene.store_one(Fate::Sent).await;
    // A sent message cannot be shadowed any more.
    scene.edit(id, "worse", Outcome::Shadow).await;
    scene.told().await;

    let message = scene.refuse(id, 1).await.unwrap();

    assert_eq!((message.state, message.pending_revision), (MessageState::Sent, None));
    assert_eq!(message.body.content, "hello");
    assert_eq!(scene.told().await, "sender told");
    let kept: Vec<(i64,)> =
        scene.database.rows("select count(*) from held_messages where body is not null").await;
    assert_eq!(kept, [(0,)]);
}

#[tokio::test]
async fn an_edit_that_passes_takes_the_place_of_one_that_waits() {
    let scene = Scene::new().await;
    let id = scene.store_one(Fate::Sent).await;
    scene.edit(id, "doubtful", Outcome::Hold(hold())).await;
    scene.edit(id, "more doubtful", Outcome::Hold(hold())).await;

    let edited = scene.edit(id, "fine", Outcome::Send).await;

    assert_eq!((edited.body.content.as_str(), edited.pending_revision), ("fine", None));
    let late = scene.release(id, 2).await;
    assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
    let states: Vec<(i32, String)> =
        scene.database.rows("select revision, state from held_messages order by revision").await;
    assert_eq!(states, [(1, "superseded".to_owned()), (2, "superseded".to_owned())]);
}

#[tokio::test]
async fn a_shadowed_message_stays_shadowed_when_it_is_edited() {
    for outcome in [Outcome::Send, Outcome::Shadow] {
        let scene = Scene::new().await;
        let id = scene.store_one(Fate::Shadowed).await;

        let edited = scene.edit(id, "again", outcome).await;

        assert_eq!((edited.body.content.as_str(), edited.pending_revision), ("again", None));
        assert!(edited.edited_at.is_some());
        assert!(!scene.sees(&scene.bob, id).await);
        let told: Vec<(i64,)> =
            scene.database.rows("select count(distinct user_id) from changes").await;
        assert_eq!(told, [(1,)]);
    }
}

#[tokio::test]
async fn deleting_a_held_message_withdraws_it() {
    let scene = Scene::new().await;
    let first = scene.store_one(Fate::Sent).await;
    let id = scene.store_one(held(hold())).await;

    for _ in 0..2 {
        scene.services.messages.delete(&scene.alice, id, None).await.unwrap();
    }

    let late = scene.release(id, 0).await;
    assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
    assert_eq!(scene.history(&scene.alice).await, [first]);
    let threads = scene.services.history.threads(&scene.alice, None, 10).await.unwrap().items;
    assert_eq!(threads[0].last.as_ref().unwrap().message.id, first);
    let stored: Vec<(String, String)> =
        scene.database.rows("select content, held.state from messages join held_messages as held on message_id = messages.id").await;
    assert_eq!(stored, [(String::new(), "withdrawn".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_all_who_decide_at_once_one_does() {
    let scene = Arc::new(Scene::new().await);
    for _ in 0..8 {
        let id = scene.store_one(held(hold())).await;
        let mut deciding = tokio::task::JoinSet::new();
        for turn in 0..4 {
            let scene = scene.clone();
            deciding.spawn(async move {
                match turn {
                    0 | 1 => scene.release(id, 0).await.map(drop),
                    2 => scene.refuse(id, 0).await.map(drop),
                    _ => scene.services.messages.delete(&scene.alice, id, None).await,
                }
            });
        }
        let answers = deciding.join_all().await;
        let states: Vec<(String,)> =
            scene.database.rows("select state from held_messages order by id desc limit 1").await;

        let decided = answers.iter().filter(|answer| answer.is_ok()).count();
        let refused =
            answers.iter().filter(|answer| matches!(answer, Err(Error::Conflict(_)))).count();
        // A deletion never fails: it withdraws, or deletes what was decided before.
        assert!(decided <= 2 && decided + refused == 4, "{answers:?}");
        assert_ne!(states[0].0, "pending");
    }
    let audited: Vec<(i64, i64)> = scene
        .database
        .rows(
            "
            select
                (select count(*) from audit_log where action like 'held.%'),
                (select count(*) from held_messages where state in ('released', 'refused'))
            ",
        )
        .await;
    assert_eq!(audited[0].0, audited[0].1);
    let gaps: Vec<(bool,)> = scene
        .database
        .rows(
            "
            select array(select seq from messages where seq is not null order by seq)
                = array(select generate_series(1, last_seq)) from threads
            ",
        )
        .await;
    assert_eq!(gaps, [(true,)]);
}

#[tokio::test]
async fn the_queue_shows_what_waits_oldest_first() {
    let scene = Scene::new().await;
    let first = scene.store_one(held(hold())).await;
    let sent = scene.store_one(Fate::Sent).await;
    scene.edit(sent, "better", Outcome::Hold(hold())).await;
    let last = scene.store_one(held(hold())).await;
    scene.refuse(last, 0).await.unwrap();

    let page = scene.services.review.held(&scene.admin, HoldState::Pending, None, 1).await.unwrap();
    let rest =
        scene.services.review.held(&scene.admin, HoldState::Pending, page.next, 9).await.unwrap();
    let refused =
        scene.services.review.held(&scene.admin, HoldState::Refused, None, 9).await.unwrap();

    let told = |entry: &duologue::service::HeldEntry| {
        (entry.held.message_id, entry.held.revision, entry.held.is_edit)
    };
    assert_eq!(page.items.iter().map(told).collect::<Vec<_>>(), [(first, 0, false)]);
    assert_eq!(rest.items.iter().map(told).collect::<Vec<_>>(), [(sent, 1, true)]);
    assert_eq!(rest.items[0].held.body.as_ref().unwrap().content, "better");
    assert_eq!(refused.items[0].decided_by.as_ref().unwrap().id, scene.admin.user.id);
}

fn reading(admin: &Caller, admin_reads: AdminReads) -> Caller {
    let mut org = Org::clone(&admin.org);
    org.settings.admin_reads = admin_reads;
    Caller { org: Arc::new(org), ..admin.clone() }
}

#[tokio::test]
async fn what_an_admin_may_read_is_the_orgs_choice_and_each_reading_is_noted() {
    let scene = Scene::new().await;
    let label = Label {
        plugin: "guard".to_owned(),
        name: "rude".to_owned(),
        score: Some(0.5),
        severity: Severity::Low,
    };
    let mut flagged = scene.row(Fate::Sent);
    flagged.decision = Some(Decision { labels: vec![label], steps: Vec::new() });
    let flagged_id = flagged.id;
    duologue::db::batch::insert(&scene.database.db, &[flagged]).await.unwrap();
    let waiting = scene.store_one(held(hold())).await;
    let plain = scene.store_one(Fate::Sent).await;

    for (choice, readable) in [
        (AdminReads::None, [false, false, false]),
        (AdminReads::HeldAndFlagged, [true, true, false]),
        (AdminReads::All, [true, true, true]),
    ] {
        let admin = reading(&scene.admin, choice);
        let noted = count_readings(&scene).await;
        let mut may_read = Vec::new();
        for id in [flagged_id, waiting, plain] {
            may_read.push(scene.services.review.decision(&admin, id).await.unwrap().readable);
        }
        assert_eq!(may_read, readable, "{choice:?}");
        let read = readable.iter().filter(|readable| **readable).count();
        assert_eq!(count_readings(&scene).await - noted, i64::try_from(read).unwrap());
    }
    let flags = scene.services.review.flagged(&scene.admin, None, 9).await.unwrap().items;
    assert_eq!(flags.len(), 1);
    assert_eq!(flags[0].decision.as_ref().unwrap().labels[0].name, "rude");
    let audit = scene.services.review.audit(&scene.admin, None, 1).await.unwrap().items;
    assert_eq!((audit[0].action.as_str(), audit[0].subject.as_str()), ("content.read", "flagged"));
    assert_eq!(audit[0].actor, scene.admin.user.id.to_string());
}

async fn count_readings(scene: &Scene) -> i64 {
    let rows: Vec<(i64,)> =
        scene.database.rows("select count(*) from audit_log where action = 'content.read'").await;
    rows[0].0
}

#[tokio::test]
async fn a_decision_without_a_fitting_word_is_refused() {
    let scene = Scene::new().await;
    let id = scene.store_one(held(hold())).await;
    let with = |reason: &str| duologue::service::ReviewCommand {
        reason: Some(reason.to_owned()),
        ..looked_at(0)
    };

    let spaced = scene.services.review.refuse(&scene.admin, id, with("a b")).await;
    let released = scene.services.review.release(&scene.admin, id, with("fine")).await;
    let refused = scene.services.review.refuse(&scene.admin, id, with("spam.links")).await;

    assert!(matches!(spaced, Err(Error::Invalid(_))));
    assert!(matches!(released, Err(Error::Invalid(_))));
    assert_eq!(refused.unwrap().message.refused_reason.as_deref(), Some("spam.links"));
}
