use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::UserId;

/// How many of a person's messages since then are among the newest 200 of each of their newest
/// 100 threads. That bounds the look, whatever they have written.
pub async fn count_recent(
    conn: &mut OrgConn<'_>,
    sender: UserId,
    since: OffsetDateTime,
) -> Result<i64, DbError> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from (
            select thread_id
            from thread_states
            where org_id = $1 and user_id = $2
            order by active_second desc
            limit 100
        ) newest
        cross join lateral (
            select sender_id, created_at
            from messages
            where org_id = $1 and thread_id = newest.thread_id and seq is not null
            order by seq desc
            limit 200
        ) recent
        where sender_id = $2 and created_at > $3
        "#,
        conn.org_id as _,
        sender as _,
        since,
    )
    .fetch_one(&mut *conn.conn)
    .await
}
