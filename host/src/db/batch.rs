//! The writer's batch: whatever waits, stored in one statement, each row with its own org.

mod news;
mod repeats;
mod tables;

use std::collections::HashMap;

use time::OffsetDateTime;

use sqlx::PgConnection;

use self::repeats::{insert_unrepeated, is_repeated};
use super::{
    Db, DbError, OrgConn,
    connections::Taken,
    held::{self, NewHold},
    kv::{self, Committed},
};
use crate::domain::{Decision, Draft, MessageId, OrgId, StagedWrites, ThreadId, UserId};

pub use news::News;
pub use tables::Tables;

/// A draft on its way into the database, under the id that it will have.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub org_id: OrgId,
    pub id: MessageId,
    pub draft: Draft,
    pub fate: Fate,
    /// How plugins decided; `None` where none was asked.
    pub decision: Option<Decision>,
    /// `None`: no plugin sends it, and none is to be told of it.
    pub news: Option<Box<News>>,
    /// Plugins decide how its recipient is told.
    pub asks_notify: bool,
}

/// What becomes of a message as it is stored.
#[derive(Clone, Debug)]
pub enum Fate {
    Sent,
    /// It takes its place in the thread for its sender's eyes alone.
    Shadowed,
    /// It has no place yet, and only its sender knows of it.
    Held(Box<NewHold>),
}

impl Fate {
    /// As the statement below reads it.
    fn code(&self) -> i16 {
        match self {
            Self::Sent => 0,
            Self::Shadowed => 1,
            Self::Held(_) => 2,
        }
    }
}

/// Where a draft came to stand.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// `None` while it is held.
    pub seq: Option<i64>,
    pub created_at: OffsetDateTime,
    /// The highest seq that each side had been given in the thread before.
    pub sender_prev_seq: i64,
    pub recipient_prev_seq: i64,
    /// So many events of the org wait that plugins are not told of it.
    pub untold: bool,
}

/// Stores a batch, in its order: each message with its place in the thread, both sides'
/// thread state, their changes, and the recipient's notification.
///
/// One row's answer is `None` where its sender had already stored that client id. All
/// rows commit together or none does. The rows of one thread, person or state are taken
/// in one order (threads, then states, then positions), which keeps batches and the
/// transactions of `reading` and `messages` from locking each other out.
///
/// At most one row of a batch may carry a given (org, sender, client id).
pub async fn insert(db: &Db, batch: &[NewMessage]) -> Result<Vec<Option<Placed>>, DbError> {
    let mut conn = db.batches.take().await?;
    let placed = match insert_fresh(&mut conn, batch).await {
        Err(error) if is_repeated(&error) => {
            // Boxed: rare. Nothing of the batch is stored.
            Box::pin(insert_unrepeated(&mut conn, batch, error)).await?
        }
        placed => placed?.into_iter().map(Some).collect(),
    };
    conn.done();
    Ok(placed)
}

/// Stores a batch of which no client id is stored yet.
async fn insert_fresh(conn: &mut Taken, batch: &[NewMessage]) -> Result<Vec<Placed>, DbError> {
    if !batch.iter().any(|row| matches!(row.fate, Fate::Held(_)) || row.news.is_some()) {
        return insert_messages(conn, batch).await;
    }
    // Boxed, so that batches which hold nothing do not carry it along.
    Box::pin(insert_with_more(conn, batch)).await
}

async fn insert_with_more(conn: &mut Taken, batch: &[NewMessage]) -> Result<Vec<Placed>, DbError> {
    let mut tx = conn.begin().await?;
    let placed = insert_all(&mut tx, batch).await?;
    tx.commit().await?;
    Ok(placed)
}

async fn insert_all(tx: &mut PgConnection, batch: &[NewMessage]) -> Result<Vec<Placed>, DbError> {
    let mut placed = insert_messages(tx, batch).await?;
    if batch.iter().any(|row| matches!(row.fate, Fate::Held(_))) {
        held::insert_batch(tx, batch).await?;
    }
    let crowded = news::insert(tx, batch).await?;
    for (row, placed) in batch.iter().zip(&mut placed) {
        placed.untold = row.news.is_some() && crowded.contains(&row.org_id);
    }
    Ok(placed)
}

/// What became of a message that was to be stored with writes of plugins.
#[derive(Clone, Copy, Debug)]
pub enum Together {
    Stored(Placed),
    /// Its sender had already stored that client id: neither is stored.
    Duplicate,
    /// What a plugin had built on has changed: neither is stored.
    Conflict,
}

/// Stores one message, and what plugins staged for it: both or neither. The writes come first,
/// so that all who write to a plugin's store take their locks in one order.
pub async fn insert_together(
    db: &Db,
    row: &NewMessage,
    staged: &[StagedWrites],
) -> Result<Together, DbError> {
    let mut conn = db.batches.take().await?;
    let mut tx = conn.begin().await?;
    let mut org = OrgConn { org_id: row.org_id, conn: &mut tx };
    if kv::commit_all(&mut org, staged).await? == Committed::Conflict {
        return Ok(Together::Conflict);
    }
    match insert_all(&mut tx, std::slice::from_ref(row)).await {
        Err(error) if is_repeated(&error) => Ok(Together::Duplicate),
        placed => {
            let placed = placed?[0];
            tx.commit().await?;
            conn.done();
            Ok(Together::Stored(placed))
        }
    }
}

/// Of each thread only what is not held moves its `seq` on; what is shadowed or held has no
/// side but its sender's.
///
/// Arrays are spread where columns are selected, not as tables: Postgres would first put each
/// of those aside as a whole.
#[expect(clippy::too_many_lines, reason = "one statement, read in one go")]
async fn insert_messages(
    conn: &mut PgConnection,
    batch: &[NewMessage],
) -> Result<Vec<Placed>, DbError> {
    let Tables { threads, states, users, changes, messages } = Tables::of(batch);
    let rows = sqlx::query_as!(
        Row,
        r#"
        with thread as (
            insert into threads (org_id, id, last_seq)
            select unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::bigint[])
            on conflict (org_id, id) do update
                set last_seq = threads.last_seq + excluded.last_seq
            returning org_id, id, last_seq
        ),
        thread_state as (
            insert into thread_states
                (org_id, user_id, thread_id, peer_id, given_seq, unread_count,
                 last_message_id, active_id, active_second, opened)
            select
                state.org_id, user_id, thread_id, peer_id,
                coalesce(thread.last_seq - below, 0), unread,
                last_id, last_id, active_second, opened
            from (
                select
                    unnest($4::uuid[]) as org_id, unnest($5::uuid[]) as user_id,
                    unnest($6::uuid[]) as thread_id, unnest($7::uuid[]) as peer_id,
                    unnest($8::bigint[]) as below, unnest($9::bigint[]) as unread,
                    unnest($10::uuid[]) as last_id, unnest($11::bigint[]) as active_second,
                    unnest($12::boolean[]) as opened
            ) as state
            join thread on thread.org_id = state.org_id and thread.id = state.thread_id
            order by state.org_id, user_id, thread_id
            on conflict (org_id, user_id, thread_id) do update set
                former_given_seq = thread_states.given_seq,
                given_seq = greatest(thread_states.given_seq, excluded.given_seq),
                unread_count = thread_states.unread_count + excluded.unread_count,
                last_message_id = excluded.last_message_id,
                active_id = excluded.active_id,
                active_second = excluded.active_second
            returning org_id, user_id, thread_id, former_given_seq
        ),
        user_state as (
            insert into user_states (org_id, user_id, position, unread_count)
            select *
            from (
                select
                    unnest($13::uuid[]), unnest($14::uuid[]), unnest($15::bigint[]),
                    unnest($16::bigint[])
            ) as person
            -- Not before every thread state is taken.
            where (select count(*) from thread_state) > 0
            on conflict (org_id, user_id) do update set
                position = user_states.position + excluded.position,
                unread_count = user_states.unread_count + excluded.unread_count
            returning org_id, user_id, position
        ),
        change as (
            insert into changes (org_id, user_id, position, kind, message_id)
            select side.org_id, side.user_id, user_state.position - side.below, 'message', side.id
            from (
                select
                    unnest($17::uuid[]) as org_id, unnest($18::uuid[]) as user_id,
                    unnest($19::bigint[]) as below, unnest($20::uuid[]) as id
            ) as side
            join user_state
                on user_state.org_id = side.org_id and user_state.user_id = side.user_id
        ),
        notification as (
            insert into notifications (org_id, user_id, id, undecided, due_at)
            select org_id, recipient_id, id, asks_notify, case when asks_notify then now() end
            from (
                select
                    unnest($21::uuid[]) as org_id, unnest($26::uuid[]) as recipient_id,
                    unnest($22::uuid[]) as id, unnest($34::smallint[]) as fate,
                    unnest($37::boolean[]) as asks_notify
            ) as draft
            where fate = 0
        ),
        stored as (
            insert into messages
                (org_id, id, thread_id, seq, sender_id, recipient_id, client_id, request_hash,
                 content, content_type, attachments, metadata, reply_to, created_at,
                 state, shadowed, decision, preview)
            select
                draft.org_id, draft.id, thread_id, thread.last_seq - below, sender_id,
                recipient_id, client_id, request_hash, content, content_type,
                coalesce(attachments::jsonb, '[]'), coalesce(metadata::jsonb, '{}'), reply_to,
                (select date_trunc('milliseconds', now())),
                case when fate = 2 then 'held' else 'sent' end, fate = 1, decision::jsonb,
                preview
            from (
                select
                    unnest($21::uuid[]) as org_id, unnest($22::uuid[]) as id,
                    unnest($23::uuid[]) as thread_id, unnest($24::bigint[]) as below,
                    unnest($25::uuid[]) as sender_id, unnest($26::uuid[]) as recipient_id,
                    unnest($27::text[]) as client_id, unnest($28::bytea[]) as request_hash,
                    unnest($29::text[]) as content, unnest($30::text[]) as content_type,
                    unnest($31::text[]) as attachments, unnest($32::text[]) as metadata,
                    unnest($33::uuid[]) as reply_to, unnest($34::smallint[]) as fate,
                    unnest($35::text[]) as decision, unnest($36::text[]) as preview
            ) as draft
            join thread on thread.org_id = draft.org_id and thread.id = draft.thread_id
        )
        select
            org_id as "org_id!: OrgId", null::uuid as "user_id: UserId",
            id as "thread_id!: ThreadId", last_seq as "number!",
            (select date_trunc('milliseconds', now())) as "created_at!"
        from thread
        union all
        select
            org_id, user_id, thread_id, former_given_seq,
            (select date_trunc('milliseconds', now()))
        from thread_state
        "#,
        &threads.org_ids as &[OrgId],
        &threads.ids as &[ThreadId],
        &threads.counts,
        &states.org_ids as &[OrgId],
        &states.user_ids as &[UserId],
        &states.thread_ids as &[ThreadId],
        &states.peer_ids as &[UserId],
        &states.below as &[Option<i64>],
        &states.unread,
        &states.last_ids as &[MessageId],
        &states.active_seconds,
        &states.opened,
        &users.org_ids as &[OrgId],
        &users.ids as &[UserId],
        &users.changes,
        &users.unread,
        &changes.org_ids as &[OrgId],
        &changes.user_ids as &[UserId],
        &changes.below,
        &changes.message_ids as &[MessageId],
        &messages.org_ids as &[OrgId],
        &messages.ids as &[MessageId],
        &messages.thread_ids as &[ThreadId],
        &messages.below as &[Option<i64>],
        &messages.sender_ids as &[UserId],
        &messages.recipient_ids as &[UserId],
        &messages.client_ids as &[Option<&str>],
        &messages.request_hashes as &[&[u8]],
        &messages.contents as &[&str],
        &messages.content_types as &[&str],
        &messages.attachments as &[Option<String>],
        &messages.metadata as &[Option<String>],
        &messages.reply_tos as &[Option<MessageId>],
        &messages.fates,
        &messages.decisions as &[Option<String>],
        &messages.previews as &[Option<&str>],
        &messages.asks_notify,
    )
    .fetch_all(conn)
    .await?;
    Ok(place(batch, &messages.below, rows))
}

/// What the statement answers: a thread's last `seq`, or what a side of it had been given before.
struct Row {
    org_id: OrgId,
    /// `None`: it is the thread's.
    user_id: Option<UserId>,
    thread_id: ThreadId,
    number: i64,
    created_at: OffsetDateTime,
}

fn place(batch: &[NewMessage], below: &[Option<i64>], rows: Vec<Row>) -> Vec<Placed> {
    let created_at = rows[0].created_at;
    // What each thread has given out, and what each side of it holds as the batch goes on.
    let mut given: HashMap<_, i64> = HashMap::with_capacity(rows.len());
    for Row { org_id, user_id, thread_id, number, .. } in rows {
        given.insert((org_id, thread_id, user_id), number);
    }
    let mut placed = Vec::with_capacity(batch.len());
    for (NewMessage { org_id, draft, fate, .. }, below) in batch.iter().zip(below) {
        let thread_id = draft.thread_id();
        let seq = below.map(|below| given[&(*org_id, thread_id, None)] - below);
        let mut former = |user| {
            let given = given.get_mut(&(*org_id, thread_id, Some(user)))?;
            Some(std::mem::replace(given, seq.unwrap_or(*given)))
        };
        let is_given = matches!(fate, Fate::Sent);
        placed.push(Placed {
            seq,
            created_at,
            sender_prev_seq: former(draft.sender_id).unwrap_or_default(),
            recipient_prev_seq: is_given
                .then(|| former(draft.recipient_id))
                .flatten()
                .unwrap_or_default(),
            untold: false,
        });
    }
    placed
}
