//! Deletions that meet.

use duologue::{
    domain::{Caller, DeleteScope, MessageId},
    service::{Services, Via},
};

use super::support::{TestDatabase, letter};

#[tokio::test]
async fn two_deletions_at_once_leave_the_preview_to_the_newest_message_that_is_left() {
    let database = TestDatabase::create().await;
    let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
    let services = database.services();
    let mut ids = Vec::new();
    for content in ["first", "second", "third"] {
        let sent = services.sending.send(&alice, Via::Rest, letter(&bob, content)).await;
        ids.push(sent.unwrap().letter.message.id);
    }

    // Both have changed their message before either gets at the states of the thread.
    let mut lock = database.raw.begin().await.unwrap();
    sqlx::raw_sql("select from thread_states for update").execute(&mut *lock).await.unwrap();
    let third = delete_in_the_background(&services, &alice, ids[2]);
    database.blocked(1).await;
    let second = delete_in_the_background(&services, &alice, ids[1]);
    database.blocked(2).await;
    lock.rollback().await.unwrap();
    third.await.unwrap();
    second.await.unwrap();

    let previews: Vec<(Option<MessageId>,)> =
        database.rows("select last_message_id from thread_states").await;
    assert_eq!(previews, [(Some(ids[0]),), (Some(ids[0]),)]);
}

fn delete_in_the_background(
    services: &Services,
    caller: &Caller,
    id: MessageId,
) -> tokio::task::JoinHandle<()> {
    let (messages, caller) = (services.messages.clone(), caller.clone());
    tokio::spawn(async move {
        messages.delete(&caller, id, Some(DeleteScope::Everyone)).await.unwrap();
    })
}
