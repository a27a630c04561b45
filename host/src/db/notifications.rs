use serde_json::Value as Json;
use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{MessageId, UserId};

/// A notification as stored; what it is about is its message.
pub struct NotificationRow {
    pub id: MessageId,
    pub title: Option<String>,
    pub body: Option<String>,
    pub data: Option<Json>,
    pub priority: Option<String>,
    pub suppressed_reason: Option<String>,
    pub created_at: OffsetDateTime,
    /// When it, or its message, was read.
    pub read_at: Option<OffsetDateTime>,
}

macro_rules! select_told {
    ($where:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            NotificationRow,
            r#"
            select
                notification.id as "id: MessageId", notification.title, notification.body,
                notification.data, notification.priority, notification.suppressed_reason,
                notification.created_at, coalesce(notification.read_at, message.read_at) as "read_at?"
            from notifications as notification
            join messages as message
                on message.org_id = notification.org_id and message.id = notification.id
            where notification.org_id = $1 and notification.user_id = $2
                and notification.due_at is null and visible($2, message)
            "# + $where,
            $($argument),*
        )
    };
}

/// A person's notifications, newest first, below a place: those that have gone out to the list,
/// and only of messages they may see.
pub async fn list(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    before: Option<MessageId>,
    limit: i64,
) -> Result<Vec<NotificationRow>, DbError> {
    select_told!(
        "and (notification.channels is null or 'list' = any(notification.channels))
        and notification.id < coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by notification.id desc
        limit $4",
        conn.org_id as _,
        reader as _,
        before as Option<MessageId>,
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// One that has gone out, whichever way.
pub async fn find(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    id: MessageId,
) -> Result<Option<NotificationRow>, DbError> {
    select_told!("and notification.id = $3", conn.org_id as _, reader as _, id as _)
        .fetch_optional(&mut *conn.conn)
        .await
}

macro_rules! mark_read {
    ($which:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query!(
            r#"
            with unread as materialized (
                select id
                from notifications
                where org_id = $1 and user_id = $2 and read_at is null
                    and due_at is null and (channels is null or 'list' = any(channels))
            "# + $which + r#"
                order by id
                for update
            )
            update notifications
            set read_at = date_trunc('milliseconds', now())
            from unread
            where notifications.org_id = $1
                and notifications.user_id = $2
                and notifications.id = unread.id
            "#,
            $($argument),+
        )
    };
}

/// Marks those of the named notifications, or all, that are in the list and were unread; how many.
pub async fn mark_read(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    ids: Option<&[MessageId]>,
) -> Result<u64, DbError> {
    let done = match ids {
        Some(ids) => {
            mark_read!("and id = any($3)", conn.org_id as _, reader as _, ids as &[MessageId])
                .execute(&mut *conn.conn)
                .await?
        }
        None => mark_read!("", conn.org_id as _, reader as _).execute(&mut *conn.conn).await?,
    };
    Ok(done.rows_affected())
}

/// Removes the notification of a message that is gone.
pub async fn delete(
    conn: &mut OrgConn<'_>,
    recipient: UserId,
    id: MessageId,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        delete from notifications
        where org_id = $1 and user_id = $2 and id = $3
        "#,
        conn.org_id as _,
        recipient as _,
        id as _,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}
