//! Pages of a thread.

use std::time::Duration;

use duologue::{
    db::history::{Part, list_thread},
    domain::ThreadId,
};

use sqlx::AssertSqlSafe;

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

    // Its connection reports what it has read when it has had nothing to do for a while, or ends.
    handle.done();
    database.db.close().await;
    let mut found = 0;
    for _ in 0..100 {
        found = read(&database).await - before;
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
    let sql = format!(
        "
        insert into messages
            (org_id, id, thread_id, seq, sender_id, recipient_id, request_hash, content,
             content_type, created_at)
        select
            alice.org_id, gen_random_uuid(), coalesce(thread_id, gen_random_uuid()), number,
            alice.id, bob.id, '', 'hello', 'text', now()
        from users as alice, users as bob, generate_series(1, 3000) as number,
            unnest(array_fill(null::uuid, array[9]) || '{thread}'::uuid) as thread_id
        where alice.email like 'alice@%' and bob.email like 'bob@%';
        analyze messages;
        "
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&database.raw).await.unwrap();
}
