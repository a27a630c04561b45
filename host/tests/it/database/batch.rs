//! What one statement of the writer leaves behind.

use duologue::{
    db::{
        batch::{self, Fate, NewMessage, Placed},
        threads,
    },
    domain::{ClientId, Draft, MessageId, OrgId, ThreadId, UserId},
};

use super::support::{TestDatabase, text};

/// Two orgs in which the same three ids are people, and a batch for both of them.
struct Mixed {
    database: TestDatabase,
    acme: OrgId,
    globex: OrgId,
    alice: UserId,
    bob: UserId,
    carol: UserId,
    /// Stored before: alice's first message to bob at acme.
    earlier: MessageId,
    batch: Vec<NewMessage>,
    placed: Vec<Option<Placed>>,
}

impl Mixed {
    async fn store() -> Self {
        let database = TestDatabase::create().await;
        let [acme, globex] = [(); 2].map(|()| OrgId::new());
        let [alice, bob, carol] = [(); 3].map(|()| UserId::new());
        let earlier = row(acme, (alice, bob), "k0");
        assert!(
            batch::insert(&database.db, std::slice::from_ref(&earlier)).await.unwrap()[0].is_some()
        );
        let batch = vec![
            row(acme, (alice, bob), "k1"),
            // A client id counts for one sender of one org.
            row(globex, (alice, bob), "k1"),
            row(acme, (bob, alice), "k1"),
            row(acme, (alice, carol), "k2"),
            row(globex, (bob, alice), "k2"),
            row(acme, (alice, bob), "k3"),
        ];
        let placed = batch::insert(&database.db, &batch).await.unwrap();
        let earlier = earlier.id;
        Self { database, acme, globex, alice, bob, carol, earlier, batch, placed }
    }

    fn id(&self, row: usize) -> MessageId {
        self.batch[row].id
    }
}

fn row(org_id: OrgId, (sender_id, recipient_id): (UserId, UserId), client_id: &str) -> NewMessage {
    let id = MessageId::new();
    let draft = Draft {
        sender_id,
        recipient_id,
        body: text(&format!("content of {id}")),
        reply_to: None,
        client_id: Some(ClientId::parse(client_id.to_owned()).unwrap()),
        request_hash: [7; 32],
    };
    NewMessage {
        org_id,
        id,
        draft,
        fate: Fate::Sent,
        decision: None,
        news: None,
        asks_notify: false,
    }
}

#[tokio::test]
async fn each_row_of_a_mixed_batch_is_answered_with_its_place_in_its_thread() {
    let mixed = Mixed::store().await;

    let places: Vec<(i64, i64, i64)> = mixed
        .placed
        .iter()
        .map(|placed| placed.unwrap())
        .map(|placed| (placed.seq.unwrap(), placed.sender_prev_seq, placed.recipient_prev_seq))
        .collect();

    // The order of the batch counts, whichever side of a thread wrote.
    assert_eq!(places, [(2, 1, 1), (1, 0, 0), (3, 2, 2), (1, 0, 0), (2, 1, 1), (4, 3, 3)]);
}

#[tokio::test]
async fn each_row_of_a_mixed_batch_is_stored_in_its_own_org() {
    let mixed = Mixed::store().await;

    let stored: Vec<(MessageId, OrgId, ThreadId, i64, String)> = mixed
        .database
        .rows("select id, org_id, thread_id, seq, content from messages order by id offset 1")
        .await;

    let sent: Vec<(MessageId, OrgId, ThreadId, i64, String)> = mixed
        .batch
        .iter()
        .zip(&mixed.placed)
        .map(|(row, placed)| {
            let content = row.draft.body.content.clone();
            (row.id, row.org_id, row.draft.thread_id(), placed.unwrap().seq.unwrap(), content)
        })
        .collect();
    assert_eq!(stored, sent);
    let mut threads: Vec<(OrgId, ThreadId, i64)> =
        mixed.database.rows("select org_id, id, last_seq from threads").await;
    threads.sort();
    let Mixed { acme, globex, alice, bob, carol, .. } = mixed;
    let mut expected = [
        (acme, ThreadId::of(alice, bob), 4),
        (acme, ThreadId::of(alice, carol), 1),
        (globex, ThreadId::of(alice, bob), 2),
    ];
    expected.sort();
    assert_eq!(threads, expected);
}

/// Org, person and peer; the seq given, the one before and the unread count; the previewed
/// message and the last one; whether the person wrote first.
type State = (OrgId, UserId, UserId, i64, i64, i64, MessageId, MessageId, bool);

#[tokio::test]
async fn a_mixed_batch_moves_both_sides_of_each_thread_on() {
    let mixed = Mixed::store().await;

    let mut states: Vec<State> = mixed
        .database
        .rows(
            "
            select org_id, user_id, peer_id, given_seq, former_given_seq, unread_count,
                last_message_id, active_id, opened
            from thread_states
            ",
        )
        .await;

    let &Mixed { acme, globex, alice, bob, carol, .. } = &mixed;
    let [last, last_at_globex, to_carol] = [mixed.id(5), mixed.id(4), mixed.id(3)];
    let mut expected = [
        (acme, alice, bob, 4, 1, 1, last, last, true),
        (acme, bob, alice, 4, 1, 3, last, last, false),
        (acme, alice, carol, 1, 0, 0, to_carol, to_carol, true),
        (acme, carol, alice, 1, 0, 1, to_carol, to_carol, false),
        (globex, alice, bob, 2, 0, 1, last_at_globex, last_at_globex, true),
        (globex, bob, alice, 2, 0, 1, last_at_globex, last_at_globex, false),
    ];
    states.sort();
    expected.sort();
    assert_eq!(states, expected);
}

#[tokio::test]
async fn a_mixed_batch_gives_everybody_their_changes_without_a_gap_and_their_badge() {
    let mixed = Mixed::store().await;

    let changes: Vec<(OrgId, UserId, i64, MessageId)> = mixed
        .database
        .rows(
            "
            select org_id, user_id, position, message_id
            from changes
            where kind = 'message'
            order by org_id, user_id, position
            ",
        )
        .await;
    let states: Vec<(OrgId, UserId, i64, i64)> = mixed
        .database
        .rows(
            "
            select org_id, user_id, position, unread_count
            from user_states
            order by org_id, user_id
            ",
        )
        .await;

    let &Mixed { acme, globex, alice, bob, carol, earlier, .. } = &mixed;
    let lists = [
        (acme, alice, vec![earlier, mixed.id(0), mixed.id(2), mixed.id(3), mixed.id(5)], 1),
        (acme, bob, vec![earlier, mixed.id(0), mixed.id(2), mixed.id(5)], 3),
        (acme, carol, vec![mixed.id(3)], 1),
        (globex, alice, vec![mixed.id(1), mixed.id(4)], 1),
        (globex, bob, vec![mixed.id(1), mixed.id(4)], 1),
    ];
    let expected: Vec<_> = lists
        .iter()
        .flat_map(|(org, user, ids, _)| {
            (1..).zip(ids).map(|(position, id)| (*org, *user, position, *id))
        })
        .collect();
    assert_eq!(changes, expected);
    let expected: Vec<_> = lists
        .iter()
        .map(|(org, user, ids, unread)| (*org, *user, i64::try_from(ids.len()).unwrap(), *unread))
        .collect();
    assert_eq!(states, expected);
}

#[tokio::test]
async fn each_recipient_of_a_mixed_batch_is_notified_in_their_org() {
    let mixed = Mixed::store().await;

    let notified: Vec<(MessageId, OrgId, UserId)> = mixed
        .database
        .rows("select id, org_id, user_id from notifications order by id offset 1")
        .await;

    let recipients: Vec<_> =
        mixed.batch.iter().map(|row| (row.id, row.org_id, row.draft.recipient_id)).collect();
    assert_eq!(notified, recipients);
}

#[tokio::test]
async fn a_repeated_batch_stores_nothing() {
    let mixed = Mixed::store().await;
    let before = mixed.database.contents().await;
    // Under ids of their own, as a server that never answered would send them again.
    let repeat: Vec<NewMessage> =
        mixed.batch.iter().map(|row| NewMessage { id: MessageId::new(), ..row.clone() }).collect();

    let placed = batch::insert(&mixed.database.db, &repeat).await.unwrap();

    assert!(placed.iter().all(Option::is_none), "{placed:?}");
    assert_eq!(mixed.database.contents().await, before);
}

#[tokio::test]
async fn repeats_among_new_rows_leave_no_gap() {
    let mixed = Mixed::store().await;
    let Mixed { acme, alice, bob, .. } = mixed;
    let again = |row: usize| NewMessage { id: MessageId::new(), ..mixed.batch[row].clone() };
    let batch = [row(acme, (bob, alice), "n1"), again(0), row(acme, (alice, bob), "n2"), again(3)];

    let placed = batch::insert(&mixed.database.db, &batch).await.unwrap();

    let seqs: Vec<Option<i64>> = placed.iter().map(|placed| placed.and_then(|it| it.seq)).collect();
    assert_eq!(seqs, [Some(5), None, Some(6), None]);
    let positions: Vec<(i64, i64)> = mixed
        .database
        .rows(
            "
            select max(state.position), count(*)
            from changes
            join user_states as state using (org_id, user_id)
            group by org_id, user_id
            ",
        )
        .await;
    assert!(positions.iter().all(|(position, count)| position == count), "{positions:?}");
}

/// An id that is made so many milliseconds after the beginning of 1970.
fn id_at(millis: u64) -> MessageId {
    let nanos = u32::try_from(millis % 1000).unwrap() * 1_000_000;
    let time = uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, nanos);
    uuid::Uuid::new_v7(time).into()
}

#[tokio::test]
async fn threads_are_listed_by_their_last_message_within_a_second_and_across() {
    let database = TestDatabase::create().await;
    let (org, me) = (OrgId::new(), UserId::new());
    let peers = [(); 4].map(|()| UserId::new());
    // Two within one second, in the other order; one before, one long after.
    for (millis, peer) in [1999, 1001, 999, 7_200_000].into_iter().zip(peers) {
        let message = NewMessage { id: id_at(millis), ..row(org, (me, peer), &millis.to_string()) };
        batch::insert(&database.db, &[message]).await.unwrap();
    }

    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let mut handle = database.db.org(org).await.unwrap();
        let page = threads::list(&mut handle.conn(), me, before, 1).await.unwrap();
        let Some(state) = page.into_iter().next() else { break };
        listed.push(state.peer_id);
        before = Some(state.active_id);
    }

    let [late, early, earliest, newest] = peers;
    assert_eq!(listed, [newest, late, early, earliest]);
}
