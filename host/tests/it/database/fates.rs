//! What becomes of a message as it is stored: sent, shadowed or held.

use std::time::Duration;

use duologue::{
    db::batch::{self, Fate, NewMessage},
    domain::{ClientId, MessageId, MessageState},
    events::Events,
    service::{Anchor, Job, NextPart, Notify, PersonRef, Sync, Writer, WriterLimits},
};

use super::scene::{Scene, held, hold};

/// Five messages of alice's to bob in one batch: the second is held, the fourth shadowed.
async fn mixed() -> (Scene, Vec<MessageId>) {
    let scene = Scene::new().await;
    let stored = scene.store(&fates()).await;
    (scene, stored.into_iter().map(|(id, _)| id).collect())
}

fn fates() -> [Fate; 5] {
    [Fate::Sent, held(hold()), Fate::Sent, Fate::Shadowed, Fate::Sent]
}

#[tokio::test]
async fn a_held_message_takes_no_place_and_a_shadowed_one_takes_its_own() {
    let scene = Scene::new().await;

    let placed = scene.store(&fates()).await;

    let seqs: Vec<Option<i64>> = placed.iter().map(|(_, placed)| placed.seq).collect();
    let sender: Vec<i64> = placed.iter().map(|(_, placed)| placed.sender_prev_seq).collect();
    let recipient = [0, 2, 4].map(|row: usize| placed[row].1.recipient_prev_seq);
    assert_eq!(seqs, [Some(1), None, Some(2), Some(3), Some(4)]);
    assert_eq!(sender, [0, 1, 1, 2, 3]);
    assert_eq!(recipient, [0, 1, 2]);
    let next = scene.store(&[Fate::Sent]).await;
    let next = (next[0].1.seq, next[0].1.sender_prev_seq, next[0].1.recipient_prev_seq);
    assert_eq!(next, (Some(5), 4, 4));
}

#[tokio::test]
async fn a_thread_that_begins_shadowed_or_held_is_in_its_senders_list_alone() {
    for fate in [Fate::Shadowed, held(hold())] {
        let scene = Scene::new().await;
        let id = scene.store_one(fate).await;

        let hers = scene.services.history.threads(&scene.alice, None, 10).await.unwrap().items;
        let his = scene.services.history.threads(&scene.bob, None, 10).await.unwrap().items;

        assert_eq!(hers[0].last.as_ref().unwrap().message.id, id);
        assert!(his.is_empty());
        assert_eq!(scene.unread().await, 0);
        let next = scene.store(&[Fate::Sent]).await[0].1;
        assert_eq!(next.recipient_prev_seq, 0);
    }
}

#[tokio::test]
async fn only_its_sender_finds_a_message_that_is_held_or_shadowed() {
    let (scene, ids) = mixed().await;
    let visible = [ids[0], ids[2], ids[4]];

    assert_eq!(scene.history(&scene.alice).await, [ids[0], ids[2], ids[3], ids[4], ids[1]]);
    assert_eq!(scene.history(&scene.bob).await, visible);
    assert_eq!(scene.unread().await, 3);
    for id in &ids {
        assert!(scene.sees(&scene.alice, *id).await);
        assert_eq!(scene.sees(&scene.bob, *id).await, visible.contains(id));
    }
    let notified: Vec<(MessageId,)> =
        scene.database.rows("select id from notifications order by id").await;
    assert_eq!(notified, visible.map(|id| (id,)));
    assert_eq!(changes(&scene, true).await, ids);
    assert_eq!(changes(&scene, false).await, visible);
}

/// The messages of all changes, of alice's or of bob's.
async fn changes(scene: &Scene, of_alice: bool) -> Vec<MessageId> {
    let rows: Vec<(MessageId, duologue::domain::UserId)> = scene
        .database
        .rows("select message_id, user_id from changes order by user_id, position")
        .await;
    let of = |user: &duologue::domain::UserId| (*user == scene.alice.user.id) == of_alice;
    rows.into_iter().filter(|(_, user)| of(user)).map(|(id, _)| id).collect()
}

#[tokio::test]
async fn a_sync_gives_held_and_shadowed_messages_to_their_sender_alone() {
    let scene = Scene::new().await;
    let mut cursors = Vec::new();
    for reader in [&scene.alice, &scene.bob] {
        let start = scene.services.sync.sync(reader, None).await.unwrap();
        let Sync::Start { cursor } = start else { panic!("no start") };
        cursors.push(cursor);
    }
    scene.store(&fates()).await;

    for (reader, (cursor, count)) in
        [&scene.alice, &scene.bob].iter().zip(cursors.iter().zip([5, 3]))
    {
        let answer = scene.services.sync.sync(reader, Some(cursor)).await.unwrap();
        let Sync::Page { changes, .. } = answer else { panic!("no page") };
        assert_eq!(changes.len(), count);
    }
}

#[tokio::test]
async fn a_shadowed_message_looks_sent_to_its_sender_and_is_never_read() {
    let (scene, ids) = mixed().await;
    let peer = PersonRef::Id(scene.alice.user.id);

    let marked = scene.services.reading.mark(&scene.bob, &[ids[3], ids[1]]).await.unwrap();
    let all = scene.services.reading.mark_thread(&scene.bob, &peer).await.unwrap();

    let message = scene.services.messages.find(&scene.alice, ids[3]).await.unwrap().message;
    assert_eq!((marked.updated, all.updated), (0, 3));
    assert_eq!((message.state, message.seq), (MessageState::Sent, Some(3)));
    assert_eq!(message.read_at, None);
}

#[tokio::test]
async fn the_pages_of_a_thread_hold_everything_once_the_held_ones_last() {
    let (scene, _) = mixed().await;
    scene.store(&[held(hold())]).await;
    let expected = scene.history(&scene.alice).await;
    let peer = PersonRef::Id(scene.bob.user.id);

    let mut back = Vec::new();
    let mut anchor = Anchor::Newest;
    loop {
        let page = scene.services.history.thread(&scene.alice, &peer, anchor, 1).await.unwrap();
        back.extend(page.items.iter().map(|letter| letter.message.id));
        let Some(NextPart::Before(id)) = page.next else { break };
        anchor = Anchor::Before(id);
    }
    let mut forth = vec![expected[0]];
    while let Some(NextPart::After(id) | NextPart::Before(id)) = {
        let anchor = Anchor::After(*forth.last().unwrap());
        let page = scene.services.history.thread(&scene.alice, &peer, anchor, 1).await.unwrap();
        forth.extend(page.items.iter().map(|letter| letter.message.id));
        page.next
    } {
        assert_eq!(forth.last(), Some(&id));
    }

    back.reverse();
    assert_eq!(back, expected);
    assert_eq!(forth, expected);
}

#[tokio::test]
async fn a_repeated_client_id_stores_nothing_whatever_its_fate() {
    let scene = Scene::new().await;
    for (key, fate) in
        ["k1", "k2", "k3"].into_iter().zip([Fate::Sent, Fate::Shadowed, held(hold())])
    {
        let mut row = scene.row(fate);
        row.draft.client_id = Some(ClientId::parse(key.to_owned()).unwrap());
        let repeat = NewMessage { id: MessageId::new(), ..row.clone() };

        let first = batch::insert(&scene.database.db, &[row]).await.unwrap();
        let before = scene.database.contents().await;
        let second = batch::insert(&scene.database.db, &[repeat]).await.unwrap();

        assert!(first[0].is_some() && second[0].is_none());
        assert_eq!(scene.database.contents().await, before);
    }
    let waiting: Vec<(i64,)> = scene.database.rows("select count(*) from held_messages").await;
    assert_eq!(waiting, [(1,)]);
}

#[tokio::test]
async fn what_waits_is_bounded_however_many_come_at_once() {
    let scene = Scene::new().await;
    let (events, _told) = Events::channel();
    let limits = WriterLimits { queue: 64, batch: 64, patience: Duration::from_mins(1) };
    let (writer, _) = Writer::start(scene.database.db.clone(), events, limits);
    let enqueue = |fate: Fate| {
        let row = scene.row(fate);
        let job = Job {
            org_id: row.org_id,
            draft: row.draft,
            fate: row.fate,
            decision: None,
            receipts: None,
            staged: Vec::new(),
            sender: scene.alice.user.clone(),
            recipient: scene.bob.user.clone(),
            recipient_reply_to: None,
            origin: None,
            notify: Notify::Quiet,
            claim: None,
            news: None,
        };
        writer.enqueue(job).unwrap()
    };

    let mut pending: Vec<_> = (0..5).map(|_| enqueue(held(hold()))).collect();
    pending.push(enqueue(Fate::Sent));
    let mut answers = Vec::new();
    for mut one in pending {
        answers.push(match one.stored().await {
            Ok(_) => "stored".to_owned(),
            Err(duologue::Error::Rejected(rejection)) => rejection.reason,
            Err(error) => error.code().to_owned(),
        });
    }

    let full = "review_full";
    assert_eq!(answers, ["stored", "stored", "stored", full, full, "stored"]);
}
