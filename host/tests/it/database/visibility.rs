//! Who may know of a message: the rule stands twice, in SQL and in Rust.

use std::collections::HashSet;

use duologue::{
    db::messages,
    domain::{MessageId, UserId},
};

use super::support::TestDatabase;

#[tokio::test]
async fn sql_and_rust_agree_on_who_may_see_a_message() {
    let database = TestDatabase::create().await;
    let [sender, recipient, _stranger] = database.org("acme", ["alice", "bob", "carol"]).await;
    store_every_kind(&database).await;

    let answers: Vec<(MessageId, UserId, bool)> = database
        .rows(
            "
            select message.id, reader.id, visible(reader.id, message)
            from messages as message, users as reader
            ",
        )
        .await;

    // Three states, three flags, three readers.
    assert_eq!(answers.len(), 3 * 8 * 3);
    let mut handle = database.db.org(sender.org.id).await.unwrap();
    for (id, reader, in_sql) in &answers {
        let message = messages::load_sent(&mut handle.conn(), sender.user.id, *id).await.unwrap();
        assert_eq!(message.visible_to(*reader), *in_sql, "to {reader}: {message:?}");
    }
    // The rule itself: half of all to the sender, to the recipient a half of what was sent and
    // not shadowed.
    let seen = answers.iter().filter(|(_, _, visible)| *visible);
    let (by_sender, by_others): (Vec<UserId>, Vec<UserId>) =
        seen.map(|(_, reader, _)| *reader).partition(|reader| *reader == sender.user.id);
    assert_eq!((by_sender.len(), by_others.len()), (12, 2));
    assert_eq!(HashSet::from_iter(by_others), HashSet::from([recipient.user.id]));
}

/// A message of alice's to bob for each state and each pair of flags.
async fn store_every_kind(database: &TestDatabase) {
    sqlx::raw_sql(
        "
        insert into messages
            (org_id, id, thread_id, sender_id, recipient_id, request_hash, content, content_type,
             state, hidden_for_sender, hidden_for_recipient, shadowed, created_at)
        select
            alice.org_id, gen_random_uuid(), gen_random_uuid(), alice.id, bob.id, '', 'hello',
            'text', state, for_sender, for_recipient, shadowed, now()
        from users as alice, users as bob,
            unnest(array['sent', 'held', 'refused']) as state,
            unnest(array[false, true]) as for_sender,
            unnest(array[false, true]) as for_recipient,
            unnest(array[false, true]) as shadowed
        where alice.email like 'alice@%' and bob.email like 'bob@%'
        ",
    )
    .execute(&database.raw)
    .await
    .unwrap();
}
