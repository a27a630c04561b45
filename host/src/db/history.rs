//! Parts of a thread, as one of its two people may see them.

use std::cmp::Reverse;

use sqlx::types::Json as Column;
use uuid::Uuid;

use super::{
    DbError, OrgConn,
    messages::{MessageRow, select_visible},
};
use crate::domain::{Attachment, Message, MessageId, Metadata, ThreadId, UserId};

/// A place in one reader's view of a thread: what has no `seq` comes last.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Seq(i64),
    /// Behind all that have a `seq`, in the order of ids.
    Unplaced(MessageId),
}

/// Which part of a thread's history is wanted.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    /// The newest, the reader's held ones last.
    Newest,
    /// Those just below a place.
    Before(Place),
    /// Those just above a place.
    After(Place),
}

/// One query of [`list_thread`]: `$3` is the thread, `$4` the limit.
macro_rules! thread_part {
    ($rest:literal, $conn:ident, $reader:ident, $thread:ident, $limit:expr $(, $place:expr)?) => {
        select_visible!(
            "content",
            $rest,
            $conn.org_id as _,
            $reader as _,
            $thread as _,
            $limit,
            $($place,)?
        )
        .fetch_all(&mut *$conn.conn)
        .await?
    };
}

/// Part of a thread, oldest first, at most `limit`.
pub async fn list_thread(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    thread: ThreadId,
    part: Part,
    limit: i64,
) -> Result<Vec<Message>, DbError> {
    let rows = match part {
        Part::Newest => list_newest(conn, reader, thread, limit).await?,
        Part::Before(Place::Seq(seq)) => list_placed(conn, reader, thread, seq, limit).await?,
        Part::Before(Place::Unplaced(id)) => list_unplaced(conn, reader, thread, id, limit).await?,
        Part::After(Place::Seq(seq)) => thread_part!(
            "and thread_id = $3 and seq > $5 order by seq limit $4",
            conn,
            reader,
            thread,
            limit,
            seq
        ),
        Part::After(Place::Unplaced(id)) => thread_part!(
            "and thread_id = $3 and seq is null and id > $5 order by id limit $4",
            conn,
            reader,
            thread,
            limit,
            id as _
        ),
    };
    let mut messages: Vec<Message> = rows.into_iter().map(Message::from).collect();
    if !matches!(part, Part::After(_)) {
        messages.reverse();
    }
    Ok(messages)
}

/// In the very order of the index on `seq`, from its end, where those without one are. Were their
/// ids asked for as a second key, Postgres might sort the whole thread.
async fn list_newest(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    thread: ThreadId,
    limit: i64,
) -> Result<Vec<MessageRow>, DbError> {
    let mut rows = thread_part!(
        "and thread_id = $3 order by seq desc nulls first limit $4",
        conn,
        reader,
        thread,
        limit
    );
    let unplaced = rows.partition_point(|row| row.seq.is_none());
    if i64::try_from(unplaced).is_ok_and(|unplaced| unplaced == limit) {
        // There may be newer ones of these.
        return list_unplaced(conn, reader, thread, Uuid::max().into(), limit).await;
    }
    rows[..unplaced].sort_unstable_by_key(|row| Reverse(row.id));
    Ok(rows)
}

/// Those without a `seq` below an id, and if they are too few, the last ones with one.
async fn list_unplaced(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    thread: ThreadId,
    below: MessageId,
    limit: i64,
) -> Result<Vec<MessageRow>, DbError> {
    let mut rows = thread_part!(
        "and thread_id = $3 and seq is null and id < $5 order by id desc limit $4",
        conn,
        reader,
        thread,
        limit,
        below as _
    );
    let left = limit - i64::try_from(rows.len()).unwrap_or(limit);
    if left > 0 {
        rows.extend(list_placed(conn, reader, thread, i64::MAX, left).await?);
    }
    Ok(rows)
}

async fn list_placed(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    thread: ThreadId,
    below: i64,
    limit: i64,
) -> Result<Vec<MessageRow>, DbError> {
    Ok(thread_part!(
        "and thread_id = $3 and seq < $5 order by seq desc limit $4",
        conn,
        reader,
        thread,
        limit,
        below
    ))
}

/// The place of a message in a thread of the reader's, hidden or not.
pub async fn find_place(
    conn: &mut OrgConn<'_>,
    reader: UserId,
    thread_id: ThreadId,
    id: MessageId,
) -> Result<Option<Place>, DbError> {
    let seq = sqlx::query_scalar!(
        r#"
        select seq
        from messages
        where org_id = $1 and id = $4 and thread_id = $3
            and (sender_id = $2 or (recipient_id = $2 and state = 'sent' and not shadowed))
        "#,
        conn.org_id as _,
        reader as _,
        thread_id as _,
        id as _,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(seq.map(|seq| seq.map_or(Place::Unplaced(id), Place::Seq)))
}
