use sqlx::types::Json as Column;
use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{
    Attachment, Body, ContentType, Decision, Message, MessageId, MessageState, Metadata, ThreadId,
    UserId,
};

pub(super) struct MessageRow {
    pub(super) id: MessageId,
    pub(super) thread_id: ThreadId,
    pub(super) seq: Option<i64>,
    pub(super) sender_id: UserId,
    pub(super) recipient_id: UserId,
    pub(super) client_id: Option<String>,
    pub(super) content: String,
    pub(super) content_type: String,
    pub(super) preview: Option<String>,
    pub(super) attachments: Column<Vec<Attachment>>,
    pub(super) metadata: Column<Metadata>,
    pub(super) reply_to: Option<MessageId>,
    pub(super) state: String,
    pub(super) shadowed: bool,
    pub(super) refused_reason: Option<String>,
    pub(super) pending_revision: Option<i32>,
    pub(super) hidden_for_sender: bool,
    pub(super) hidden_for_recipient: bool,
    pub(super) created_at: OffsetDateTime,
    pub(super) edited_at: Option<OffsetDateTime>,
    pub(super) deleted_at: Option<OffsetDateTime>,
    pub(super) read_at: Option<OffsetDateTime>,
}

impl From<MessageRow> for Message {
    fn from(row: MessageRow) -> Self {
        Self {
            id: row.id,
            thread_id: row.thread_id,
            sender_id: row.sender_id,
            recipient_id: row.recipient_id,
            client_id: row.client_id.filter(|_| row.deleted_at.is_none()),
            body: Body {
                content: row.content,
                // A type whose plugin is gone stays readable.
                content_type: ContentType::parse(&row.content_type)
                    .unwrap_or(ContentType::Namespaced(row.content_type)),
                attachments: row.attachments.0,
                metadata: row.metadata.0,
                preview: row.preview,
            },
            reply_to: row.reply_to,
            seq: row.seq,
            state: MessageState::stored(&row.state),
            shadowed: row.shadowed,
            refused_reason: row.refused_reason,
            pending_revision: row.pending_revision,
            created_at: row.created_at,
            edited_at: row.edited_at,
            deleted_at: row.deleted_at,
            read_at: row.read_at,
            hidden_for_sender: row.hidden_for_sender,
            hidden_for_recipient: row.hidden_for_recipient,
        }
    }
}

/// Messages as one reader may see them: `$1` is the org, `$2` the reader. A `reply_to`
/// that the reader cannot see is null, and so is another's pending edit.
macro_rules! select_visible {
    ($content:literal, $rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            MessageRow,
            r#"
            select
                id as "id: MessageId", thread_id as "thread_id: ThreadId", seq,
                sender_id as "sender_id: UserId", recipient_id as "recipient_id: UserId",
                client_id, content_type, preview,
                attachments as "attachments: Column<Vec<Attachment>>",
                metadata as "metadata: Column<Metadata>",
                case when reply_to is not null and exists (
                    select from messages as reply
                    where reply.org_id = $1 and reply.id = message.reply_to and visible($2, reply)
                ) then reply_to end as "reply_to: MessageId",
                state, shadowed, refused_reason,
                case when sender_id = $2 then pending_revision end as "pending_revision?",
                hidden_for_sender, hidden_for_recipient,
                created_at, edited_at, deleted_at, read_at,
            "# + $content + r#" as "content!"
            from messages as message
            where org_id = $1 and visible($2, message)
            "# + $rest,
            $($argument),+
        )
    };
}

pub(super) use select_visible;

/// Messages whatever anybody may see of them: `$1` is the org.
macro_rules! select_any {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            MessageRow,
            r#"
            select
                id as "id: MessageId", thread_id as "thread_id: ThreadId", seq,
                sender_id as "sender_id: UserId", recipient_id as "recipient_id: UserId",
                client_id, content, content_type, preview,
                attachments as "attachments: Column<Vec<Attachment>>",
                metadata as "metadata: Column<Metadata>",
                reply_to as "reply_to: MessageId",
                state, shadowed, refused_reason, pending_revision,
                hidden_for_sender, hidden_for_recipient,
                created_at, edited_at, deleted_at, read_at
            from messages
            where org_id = $1
            "# + $rest,
            $($argument),+
        )
    };
}

pub async fn find(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    id: MessageId,
) -> Result<Option<Message>, DbError> {
    let row = select_visible!("content", "and id = $3", conn.org_id as _, reader as _, id as _,)
        .fetch_optional(&mut *conn.conn)
        .await?;
    Ok(row.map(Message::from))
}

/// The same, locked for a change.
pub async fn lock(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    id: MessageId,
) -> Result<Option<Message>, DbError> {
    let row = select_visible!(
        "content",
        "and id = $3 for update",
        conn.org_id as _,
        reader as _,
        id as _,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(Message::from))
}

/// Those of the named messages that the reader may see, in no order; their content is cut
/// to so many characters.
pub async fn list_by_id(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    ids: &[MessageId],
    content_chars: i32,
) -> Result<Vec<Message>, DbError> {
    let rows = select_visible!(
        "left(content, $4)",
        "and id = any($3)",
        conn.org_id as _,
        reader as _,
        ids as &[MessageId],
        content_chars,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// A message of the sender's, seen by them or not, locked for a change.
pub async fn lock_sent(
    conn: &mut OrgConn<'_>,
    sender: UserId,
    id: MessageId,
) -> Result<Option<Message>, DbError> {
    let row = select_any!(
        "and sender_id = $2 and id = $3 for update",
        conn.org_id as _,
        sender as _,
        id as _,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(Message::from))
}

/// Any message of the org, locked for a change.
pub async fn lock_any(conn: &mut OrgConn<'_>, id: MessageId) -> Result<Option<Message>, DbError> {
    let row = select_any!("and id = $2 for update", conn.org_id as _, id as _)
        .fetch_optional(&mut *conn.conn)
        .await?;
    Ok(row.map(Message::from))
}

/// Any messages of the org, in no order, for those who review.
pub async fn list_any(conn: &mut OrgConn<'_>, ids: &[MessageId]) -> Result<Vec<Message>, DbError> {
    let rows = select_any!("and id = any($2)", conn.org_id as _, ids as &[MessageId])
        .fetch_all(&mut *conn.conn)
        .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// Messages of the org that are not deleted, newest first, below a place, for a candidate that is
/// tried on them.
pub async fn list_past(
    conn: &mut OrgConn<'_>,
    below: Option<MessageId>,
    limit: i64,
) -> Result<Vec<Message>, DbError> {
    let rows = select_any!(
        "and deleted_at is null and id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by id desc limit $3",
        conn.org_id as _,
        below as _,
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    Ok(rows.into_iter().map(Message::from).collect())
}

/// What a sender already stored under a client id, and the hash of that request.
pub async fn find_by_client_id(
    conn: &mut OrgConn<'_>,
    sender: UserId,
    client_id: &str,
) -> Result<Option<(MessageId, Vec<u8>)>, DbError> {
    let row = sqlx::query!(
        r#"
        select id as "id: MessageId", request_hash
        from messages
        where org_id = $1 and sender_id = $2 and client_id = $3
        "#,
        conn.org_id as _,
        sender as _,
        client_id,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(|row| (row.id, row.request_hash)))
}

/// A message of a thread whatever anybody may see of it, for a retry's first answer.
pub async fn load_sent(
    conn: &mut OrgConn<'_>,
    sender: UserId,
    id: MessageId,
) -> Result<Message, DbError> {
    let row =
        select_any!("and sender_id = $2 and id = $3", conn.org_id as _, sender as _, id as _,)
            .fetch_one(&mut *conn.conn)
            .await?;
    Ok(row.into())
}

/// Replaces what an edit may change, and what plugins noted about it; an edit that waited is
/// over with that.
pub async fn update_body(
    conn: &mut OrgConn<'_>,
    id: MessageId,
    body: &Body,
    decision: Option<&Decision>,
) -> Result<OffsetDateTime, DbError> {
    sqlx::query_scalar!(
        r#"
        update messages
        set
            content = $3, attachments = $4, metadata = $5,
            decision = $6, preview = $7, pending_revision = null,
            edited_at = date_trunc('milliseconds', clock_timestamp())
        where org_id = $1 and id = $2
        returning edited_at as "edited_at!"
        "#,
        conn.org_id as _,
        id as _,
        body.content,
        Column(&body.attachments) as _,
        Column(&body.metadata) as _,
        decision.map(Column) as Option<Column<&Decision>>,
        body.preview,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

/// Leaves a tombstone. The client id stays, unseen, so that a late retry sends nothing twice.
pub async fn update_deleted(
    conn: &mut OrgConn<'_>,
    id: MessageId,
) -> Result<OffsetDateTime, DbError> {
    sqlx::query_scalar!(
        r#"
        update messages
        set
            content = '', attachments = '[]', metadata = '{}', preview = null,
            pending_revision = null,
            deleted_at = date_trunc('milliseconds', clock_timestamp())
        where org_id = $1 and id = $2
        returning deleted_at as "deleted_at!"
        "#,
        conn.org_id as _,
        id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

/// Takes a message out of one person's sight.
pub async fn update_hidden(
    conn: &mut OrgConn<'_>,
    id: MessageId,
    reader: UserId,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update messages
        set
            hidden_for_sender = hidden_for_sender or sender_id = $3,
            hidden_for_recipient = hidden_for_recipient or recipient_id = $3
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        reader as _,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Whether the person sent or received the message, seen or not.
pub async fn is_party(
    conn: &mut OrgConn<'_>,
    user: UserId,
    id: MessageId,
) -> Result<bool, DbError> {
    sqlx::query_scalar!(
        r#"
        select exists (
            select from messages as message
            where org_id = $1 and id = $3
                and (sender_id = $2 or (recipient_id = $2 and state = 'sent' and not shadowed))
        ) as "exists!"
        "#,
        conn.org_id as _,
        user as _,
        id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
}
