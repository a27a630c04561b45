//! Connections that are used again as they were given back.

use futures_util::future::poll_immediate;
use time::OffsetDateTime;

use super::support::TestDatabase;
use duologue::db::users;

#[tokio::test]
async fn who_gives_up_while_a_transaction_begins_leaves_none_open_to_the_next() {
    let database = TestDatabase::create().await;
    let [alice] = database.org("acme", ["alice"]).await;
    let (org_id, id) = (alice.org.id, alice.user.id);

    for polls in 0..40_i64 {
        let mut begin = Box::pin(database.db.begin(org_id));
        for _ in 0..polls % 10 {
            if poll_immediate(&mut begin).await.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(begin);
        // Once what was left behind may be used again.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let seen_at = OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(polls);
        let mut handle = database.db.org(org_id).await.unwrap();
        users::update_last_seen(&mut handle.conn(), id, seen_at).await.unwrap();
        handle.done();

        // Somebody else sees it: it is committed.
        let seen = "select extract(epoch from last_seen_at)::bigint from users";
        assert_eq!(database.rows::<(i64,)>(seen).await, [(polls,)]);
    }
}
