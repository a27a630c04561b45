//! What turns a held message into a sent or a refused one. The message's row is locked by
//! whoever calls these; then they follow the order of the writer's batch.

use sqlx::types::Json as Column;

use super::{DbError, OrgConn};
use crate::domain::{Body, Decision, Message, MessageId, ThreadId, UserId};

/// How a held message is sent.
pub struct Release<'a> {
    pub seq: i64,
    pub shadow: bool,
    pub body: &'a Body,
    pub decision: Option<&'a Decision>,
}

/// The next place of a thread; its row stays locked until the commit.
pub async fn take_seq(conn: &mut OrgConn<'_>, thread_id: ThreadId) -> Result<i64, DbError> {
    sqlx::query_scalar!(
        r#"
        update threads
        set last_seq = last_seq + 1
        where org_id = $1 and id = $2
        returning last_seq
        "#,
        conn.org_id as _,
        thread_id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

pub async fn update_sent(
    conn: &mut OrgConn<'_>,
    id: MessageId,
    release: &Release<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update messages
        set
            state = 'sent', seq = $3, shadowed = $4,
            content = $5, attachments = $6, metadata = $7, decision = coalesce($8, decision),
            preview = $9
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        release.seq,
        release.shadow,
        release.body.content,
        Column(&release.body.attachments) as _,
        Column(&release.body.metadata) as _,
        release.decision.map(Column) as Option<Column<&Decision>>,
        release.body.preview,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Replaces what a held message would say once it is sent: a plugin changed it, not its sender.
pub async fn update_held(
    conn: &mut OrgConn<'_>,
    id: MessageId,
    body: &Body,
    decision: Option<&Decision>,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update messages
        set content = $3, attachments = $4, metadata = $5, decision = $6, preview = $7
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        body.content,
        Column(&body.attachments) as _,
        Column(&body.metadata) as _,
        decision.map(Column) as Option<Column<&Decision>>,
        body.preview,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

pub async fn update_refused(
    conn: &mut OrgConn<'_>,
    id: MessageId,
    reason: &str,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update messages
        set state = 'refused', refused_reason = $3
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        reason,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Notes which edit of a message waits for a review; `None`: none does.
pub async fn update_pending(
    conn: &mut OrgConn<'_>,
    id: MessageId,
    revision: Option<i32>,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update messages
        set pending_revision = $3
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        revision,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Moves one side of a thread on to a released message; what they had been given before.
pub async fn give(
    conn: &mut OrgConn<'_>,
    user: UserId,
    message: &Message,
    seq: i64,
) -> Result<i64, DbError> {
    let received = user == message.recipient_id;
    // The message is as old as it is; what is new is that it was given.
    let active_id = MessageId::new();
    sqlx::query_scalar!(
        r#"
        insert into thread_states
            (org_id, user_id, thread_id, peer_id, given_seq, unread_count, last_message_id,
             active_id, active_second, opened)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, false)
        on conflict (org_id, user_id, thread_id) do update set
            former_given_seq = thread_states.given_seq,
            given_seq = excluded.given_seq,
            unread_count = thread_states.unread_count + excluded.unread_count,
            last_message_id = excluded.last_message_id,
            active_id = excluded.active_id,
            active_second = excluded.active_second
        returning former_given_seq
        "#,
        conn.org_id as _,
        user as _,
        message.thread_id as _,
        message.peer_of(user) as _,
        seq,
        i64::from(received),
        message.id as _,
        active_id as _,
        active_id.second(),
    )
    .fetch_one(&mut *conn.conn)
    .await
}

/// The notification of a message that its recipient is only given now. `asks_notify`: plugins
/// decide how they are told.
pub async fn insert_notification(
    conn: &mut OrgConn<'_>,
    recipient: UserId,
    id: MessageId,
    asks_notify: bool,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        insert into notifications (org_id, user_id, id, undecided, due_at)
        values ($1, $2, $3, $4, case when $4 then now() end)
        "#,
        conn.org_id as _,
        recipient as _,
        id as _,
        asks_notify,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}
