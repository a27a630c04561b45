//! Read marks: on single messages, and on a whole thread at once.

use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{MessageId, ThreadId, UserId};

/// A message that has just been read.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub id: MessageId,
    pub thread_id: ThreadId,
    pub sender_id: UserId,
    pub hidden_for_sender: bool,
    pub read_at: OffsetDateTime,
}

/// Marks those of the named messages that the reader received, may see and had not read.
pub async fn mark(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    ids: &[MessageId],
) -> Result<Vec<Read>, DbError> {
    sqlx::query_as!(
        Read,
        r#"
        with unread as materialized (
            select id
            from messages as message
            where org_id = $1 and id = any($3) and recipient_id = $2
                and read_at is null and deleted_at is null and visible($2, message)
            order by id
            for update
        )
        update messages
        set read_at = date_trunc('milliseconds', now())
        from unread
        where messages.org_id = $1 and messages.id = unread.id
        returning
            messages.id as "id: MessageId", thread_id as "thread_id: ThreadId",
            sender_id as "sender_id: UserId", hidden_for_sender, read_at as "read_at!"
        "#,
        conn.org_id as _,
        reader as _,
        ids as &[MessageId],
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// What marking a whole thread did.
pub struct ThreadRead {
    pub count: i64,
    /// All that was received at or below this is read now.
    pub read_seq: i64,
    /// The highest of those that were marked; `None` where none was.
    pub up_to_seq: Option<i64>,
    pub read_at: OffsetDateTime,
    /// The newest of them, oldest first, and whether each is hidden for its sender.
    pub newest: Vec<MessageId>,
    pub newest_hidden: Vec<bool>,
}

/// Marks all that the reader has received in a thread; `None` where they have no such thread.
/// Names at most `named` of them.
pub async fn mark_thread(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    thread_id: ThreadId,
    named: i32,
) -> Result<Option<ThreadRead>, DbError> {
    sqlx::query_as!(
        ThreadRead,
        r#"
        with state as materialized (
            select read_seq, given_seq
            from thread_states
            where org_id = $1 and user_id = $2 and thread_id = $3
        ),
        unread as materialized (
            select message.id
            from messages as message, state
            where message.org_id = $1 and message.thread_id = $3
                and message.seq > state.read_seq and message.seq <= state.given_seq
                and message.recipient_id = $2 and message.read_at is null
                and message.deleted_at is null and visible($2, message)
            order by message.id
            for update of message
        ),
        marked as (
            update messages
            set read_at = date_trunc('milliseconds', now())
            from unread
            where messages.org_id = $1 and messages.id = unread.id
            returning messages.id, messages.seq, messages.hidden_for_sender
        ),
        newest as (
            select id, seq, hidden_for_sender
            from marked
            order by seq desc
            limit $4
        )
        select
            (select count(*) from marked) as "count!",
            state.given_seq as "read_seq!",
            (select max(seq) from marked) as "up_to_seq?",
            date_trunc('milliseconds', now()) as "read_at!",
            array(select id from newest order by seq) as "newest!: Vec<MessageId>",
            array(select hidden_for_sender from newest order by seq) as "newest_hidden!"
        from state
        "#,
        conn.org_id as _,
        reader as _,
        thread_id as _,
        i64::from(named),
    )
    .fetch_optional(&mut *conn.conn)
    .await
}

/// Takes read messages off their threads' counts; the rows are locked in one order.
pub async fn subtract_unread(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    counts: &[(ThreadId, i64)],
) -> Result<(), DbError> {
    let (thread_ids, counts): (Vec<ThreadId>, Vec<i64>) = counts.iter().copied().unzip();
    sqlx::query!(
        r#"
        with read as materialized (
            select state.thread_id, amount.count
            from thread_states as state
            join unnest($3::uuid[], $4::bigint[]) as amount (thread_id, count)
                on amount.thread_id = state.thread_id
            where state.org_id = $1 and state.user_id = $2
            order by state.thread_id
            for update of state
        )
        update thread_states
        set unread_count = greatest(0, unread_count - read.count)
        from read
        where thread_states.org_id = $1
            and thread_states.user_id = $2
            and thread_states.thread_id = read.thread_id
        "#,
        conn.org_id as _,
        reader as _,
        &thread_ids as &[ThreadId],
        &counts,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Remembers that all up to a place is read, so that the next mark looks only above it.
pub async fn update_read_seq(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    thread_id: ThreadId,
    up_to_seq: i64,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update thread_states
        set read_seq = greatest(read_seq, $4)
        where org_id = $1 and user_id = $2 and thread_id = $3
        "#,
        conn.org_id as _,
        reader as _,
        thread_id as _,
        up_to_seq,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}
