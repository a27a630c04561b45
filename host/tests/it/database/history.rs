//! How much is read for a page.

use std::time::Duration;

use duologue::{
    db::{
        history::{Part, list_thread},
        messages,
    },
    domain::{MessageId, ThreadId},
};

use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::support::TestDatabase;

const PAGES: i64 = 10;

/// Postgres thinks of threads as short where most are, from the sixth time on, when it plans for any
/// thread.
#[tokio::test]
async fn a_page_of_a_long_thread_reads_no_more_than_itself() {
    let database = TestDatabase::create().await;
    let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
    let thread = ThreadId::of(alice.user.id, bob.user.id);
    store_one_long_thread(&database, thread).await;
    let mut handle = database.db.org(alice.org.id).await.unwrap();
    let before = read(&database).await;

    for _ in 0..PAGES {
        let page = list_thread(&mut handle.conn(), alice.user.id, thread, Part::Newest, 50).await;
        let seqs: Vec<_> = page.unwrap().iter().map(|message| message.seq).collect();
        assert_eq!(seqs, (2951..=3000).map(Some).collect::<Vec<_>>());
    }

    handle.done();
    assert_little_was_read(&database, before).await;
}

/// Planned for an org of which its statistics know nothing yet, Postgres takes it to be empty, and
/// goes through all its messages instead of looking each up.
#[tokio::test]
async fn a_new_org_beside_a_large_one_is_read_no_more_than_it_has_to() {
    let database = TestDatabase::create().await;
    let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
    store_one_long_thread(&database, ThreadId::of(alice.user.id, bob.user.id)).await;
    let [carol, dave] = database.org("globex", ["carol", "dave"]).await;
    let thread = ThreadId::of(carol.user.id, dave.user.id);
    store(&database, ["carol", "dave"], &format!("array['{thread}'::uuid]")).await;
    let sql = "select id from messages where sender_id = (select id from users where email like 'carol@%')
        limit 50";
    let ids: Vec<_> =
        database.rows::<(Uuid,)>(sql).await.into_iter().map(|(id,)| MessageId::from(id)).collect();
    let mut handle = database.db.org(carol.org.id).await.unwrap();
    let before = read(&database).await;

    for _ in 0..PAGES {
        let found = messages::list_by_id(&mut handle.conn(), carol.user.id, &ids, 200).await;
        assert_eq!(found.unwrap().len(), 50);
    }

    handle.done();
    assert_little_was_read(&database, before).await;
}

/// Once the product's connections have ended: they tell what they have read when they have had
/// nothing to do for a while, or end.
async fn assert_little_was_read(database: &TestDatabase, before: i64) {
    database.db.close().await;
    let mut found = 0;
    for _ in 0..100 {
        found = read(database).await - before;
        if found >= PAGES * 50 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((PAGES * 50..PAGES * 60).contains(&found), "{found} messages were read");
}

/// How many messages statements have found by an index.
async fn read(database: &TestDatabase) -> i64 {
    let sql = "select idx_tup_fetch from pg_stat_user_tables where relname = 'messages'";
    database.rows::<(i64,)>(sql).await[0].0
}

/// 3000 messages of alice's to bob in one thread, and 27 000 in a thread of its own each.
async fn store_one_long_thread(database: &TestDatabase, thread: ThreadId) {
    let threads = format!("array_fill(null::uuid, array[9]) || '{thread}'::uuid");
    store(database, ["alice", "bob"], &threads).await;
    sqlx::raw_sql("analyze messages").execute(&database.raw).await.unwrap();
}

/// 3000 messages for each of the threads, in one of its own each for null.
async fn store(database: &TestDatabase, [sender, recipient]: [&str; 2], threads: &str) {
    let sql = format!(
        "
        insert into messages
            (org_id, id, thread_id, seq, sender_id, recipient_id, request_hash, content,
             content_type, created_at)
        select
            sender.org_id, gen_random_uuid(), coalesce(thread_id, gen_random_uuid()), number,
            sender.id, recipient.id, '', 'hello', 'text', now()
        from users as sender, users as recipient, generate_series(1, 3000) as number,
            unnest({threads}) as thread_id
        where sender.email like '{sender}@%' and recipient.email like '{recipient}@%'
        "
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&database.raw).await.unwrap();
}
