//! Positions of changes: given out in the order of commits, so that a cursor misses nothing.

use duologue::{
    db::{
        OrgTx,
        changes::{self, NewChange},
    },
    domain::{Caller, ChangeKind, MessageId},
    service::{Services, Sync, Via},
};
use serde_json::json;

use super::support::{TestDatabase, letter};

#[tokio::test]
async fn a_change_that_commits_late_gets_no_position_below_one_handed_out() {
    let scene = Scene::new().await;
    let start = scene.cursor().await;
    let early = scene.tell_of_a_read().await;
    let late = tokio::spawn({
        let tx = scene.begin().await;
        let alice = scene.alice.clone();
        async move { insert_read(tx, &alice).await }
    });
    scene.database.blocked(1).await;

    let (nothing, cursor) = scene.changes_since(&start).await;
    early.commit().await.unwrap();
    let (first, cursor) = scene.changes_since(&cursor).await;
    late.await.unwrap().commit().await.unwrap();
    let (rest, _) = scene.changes_since(&cursor).await;

    assert_eq!(nothing, []);
    assert_eq!(first, [(1, None)]);
    assert_eq!(rest, [(2, None)]);
}

#[tokio::test]
async fn a_message_waits_for_the_position_of_a_change_under_way() {
    let scene = Scene::new().await;
    let start = scene.cursor().await;
    let early = scene.tell_of_a_read().await;
    let message = scene.send_in_the_background();
    scene.database.blocked(1).await;

    early.commit().await.unwrap();
    let message = message.await.unwrap();

    let (changes, _) = scene.changes_since(&start).await;
    assert_eq!(changes, [(1, None), (2, Some(message))]);
}

#[tokio::test]
async fn a_change_that_is_rolled_back_leaves_no_gap() {
    let scene = Scene::new().await;
    let start = scene.cursor().await;
    let early = scene.tell_of_a_read().await;
    let message = scene.send_in_the_background();
    scene.database.blocked(1).await;

    drop(early);
    let message = message.await.unwrap();

    let (changes, _) = scene.changes_since(&start).await;
    assert_eq!(changes, [(1, Some(message))]);
}

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
        Self { services: database.services(), database, alice, bob }
    }

    async fn begin(&self) -> OrgTx {
        self.database.db.begin(self.alice.org.id).await.unwrap()
    }

    /// A change for alice that is not committed.
    async fn tell_of_a_read(&self) -> OrgTx {
        insert_read(self.begin().await, &self.alice).await
    }

    fn send_in_the_background(&self) -> tokio::task::JoinHandle<MessageId> {
        let (sending, alice, bob) =
            (self.services.sending.clone(), self.alice.clone(), self.bob.clone());
        tokio::spawn(async move {
            let sent = sending.send(&bob, Via::Rest, letter(&alice, "hello")).await.unwrap();
            sent.letter.message.id
        })
    }

    /// Where alice's changes have got to.
    async fn cursor(&self) -> String {
        let Sync::Start { cursor } = self.services.sync.sync(&self.alice, None).await.unwrap()
        else {
            panic!("no start");
        };
        cursor
    }

    /// Alice's changes above a cursor, with the message where one came, and the next cursor.
    async fn changes_since(&self, cursor: &str) -> (Vec<(i64, Option<MessageId>)>, String) {
        let answer = self.services.sync.sync(&self.alice, Some(cursor)).await.unwrap();
        let Sync::Page { changes, cursor, .. } = answer else { panic!("no page") };
        let changes = changes.into_iter().map(|change| match change.kind {
            ChangeKind::Message(message) => (change.position.0, Some(message.id)),
            _ => (change.position.0, None),
        });
        (changes.collect(), cursor)
    }
}

async fn insert_read(mut tx: OrgTx, reader: &Caller) -> OrgTx {
    let id = reader.user.id;
    let read = NewChange {
        user_id: id,
        kind: "read",
        message_id: Some(MessageId::new()),
        detail: Some(json!({ "by": id, "peerId": id, "readAt": 0 })),
        unread: 0,
    };
    changes::insert(&mut tx.conn(), &[read]).await.unwrap();
    tx
}
