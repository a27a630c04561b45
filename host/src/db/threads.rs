use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{MessageId, ThreadId, UserId};

/// A thread as one person's list shows it.
pub struct ThreadState {
    pub thread_id: ThreadId,
    pub peer_id: UserId,
    pub given_seq: i64,
    pub unread_count: i64,
    pub last_message_id: Option<MessageId>,
    /// Where the list goes on below this thread.
    pub active_id: MessageId,
}

/// A person's threads, the last active first; `before` is the `active_id` of the last one seen.
pub async fn list(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    before: Option<MessageId>,
    limit: i64,
) -> Result<Vec<ThreadState>, DbError> {
    sqlx::query_as!(
        ThreadState,
        r#"
        select
            thread_id as "thread_id: ThreadId", peer_id as "peer_id: UserId",
            given_seq, unread_count,
            last_message_id as "last_message_id: MessageId",
            active_id as "active_id: MessageId"
        from (
            -- The index knows the second alone, from which the id makes the order complete.
            select *
            from thread_states
            where org_id = $1 and user_id = $2
                and active_second <= coalesce($5::bigint, 9223372036854775807)
                and active_id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            order by active_second desc
            fetch first ($4) rows with ties
        ) as newest
        order by active_id desc
        limit $4
        "#,
        conn.org_id as _,
        reader as _,
        before as Option<MessageId>,
        limit,
        before.map(MessageId::second),
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// Whether this person has the thread, which is whether anybody wrote in it.
pub async fn exists(
    conn: &mut OrgConn<'_>,
    user: UserId,
    thread_id: ThreadId,
) -> Result<bool, DbError> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from thread_states
            where org_id = $1 and user_id = $2 and thread_id = $3
        ) as "exists!"
        "#,
        conn.org_id as _,
        user as _,
        thread_id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

/// When this person wrote first to somebody new, since a time; newest first.
pub async fn list_opened_since(
    conn: &mut OrgConn<'_>,
    user: UserId,
    since: OffsetDateTime,
    limit: i64,
) -> Result<Vec<OffsetDateTime>, DbError> {
    sqlx::query_scalar!(
        r#"
        select created_at
        from thread_states
        where org_id = $1 and user_id = $2 and opened and created_at > $3
        order by created_at desc
        limit $4
        "#,
        conn.org_id as _,
        user as _,
        since,
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// Everyone who has this person in their list: not who was only written to unseen.
pub async fn list_knowing(conn: &mut OrgConn<'_>, user: UserId) -> Result<Vec<UserId>, DbError> {
    sqlx::query_scalar!(
        r#"
        select own.peer_id as "peer_id: UserId"
        from thread_states as own
        join thread_states as theirs
            on theirs.org_id = own.org_id
            and theirs.user_id = own.peer_id
            and theirs.thread_id = own.thread_id
        where own.org_id = $1 and own.user_id = $2
        "#,
        conn.org_id as _,
        user as _,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// Everyone with whom this person has a thread.
pub async fn list_peers(conn: &mut OrgConn<'_>, user: UserId) -> Result<Vec<UserId>, DbError> {
    sqlx::query_scalar!(
        r#"
        select peer_id as "peer_id: UserId"
        from thread_states
        where org_id = $1 and user_id = $2
        "#,
        conn.org_id as _,
        user as _,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// The badge: visible, unread and not deleted, over all threads.
pub async fn count_unread(conn: &mut OrgConn<'_>, user: UserId) -> Result<i64, DbError> {
    let count = sqlx::query_scalar!(
        r#"
        select unread_count
        from user_states
        where org_id = $1 and user_id = $2
        "#,
        conn.org_id as _,
        user as _,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(count.unwrap_or(0))
}

/// Takes a message out of one person's thread state: off the badge if it was unread there,
/// and out of the preview if it was shown there. The message row has been changed before.
pub async fn forget_message(
    conn: &mut OrgConn<'_>,
    user: UserId,
    thread_id: ThreadId,
    message_id: MessageId,
    was_unread: bool,
) -> Result<(), DbError> {
    // Locked by a statement of its own: the next one then sees what others have committed.
    sqlx::query!(
        r#"
        select active_id
        from thread_states
        where org_id = $1 and user_id = $2 and thread_id = $3
        for update
        "#,
        conn.org_id as _,
        user as _,
        thread_id as _,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    sqlx::query!(
        r#"
        update thread_states
        set
            unread_count = greatest(0, unread_count - $5),
            last_message_id = case when last_message_id = $4 then coalesce(
                (
                    select message.id
                    from messages as message
                    where message.org_id = $1 and message.thread_id = $3
                        and message.seq is null
                        and visible($2, message)
                        and message.deleted_at is null
                        -- What was refused is no news any more.
                        and message.state <> 'refused'
                    order by message.id desc
                    limit 1
                ),
                (
                    select message.id
                    from messages as message
                    where message.org_id = $1 and message.thread_id = $3
                        and message.seq is not null
                        and visible($2, message)
                        and message.deleted_at is null
                    order by message.seq desc
                    limit 1
                )
            ) else last_message_id end
        where org_id = $1 and user_id = $2 and thread_id = $3
        "#,
        conn.org_id as _,
        user as _,
        thread_id as _,
        message_id as _,
        i64::from(was_unread),
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}
