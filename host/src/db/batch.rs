//! The writer's batch: whatever waits, stored in one statement, each row with its own org.

mod news;

use std::collections::HashMap;

use time::OffsetDateTime;

use sqlx::{Connection, PgConnection};

use super::{
    Db, DbError, OrgConn,
    held::{self, NewHold},
    kv::{self, Committed},
};
use crate::domain::{ClientId, Decision, Draft, MessageId, OrgId, StagedWrites, ThreadId, UserId};

pub use news::News;

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

/// One side of a stored draft.
struct SideRow {
    ord: i64,
    /// This is the sender's side.
    wrote: bool,
    seq: Option<i64>,
    /// What this side had been given in the thread before the batch.
    former_given_seq: i64,
    created_at: OffsetDateTime,
}

/// The columns of a batch, one array each: what the statement takes. Outside of here only built
/// to see what that costs (`benches/hot.rs`).
#[derive(Default)]
pub struct Columns<'a> {
    org_ids: Vec<OrgId>,
    ids: Vec<MessageId>,
    thread_ids: Vec<ThreadId>,
    sender_ids: Vec<UserId>,
    recipient_ids: Vec<UserId>,
    client_ids: Vec<Option<&'a str>>,
    request_hashes: Vec<&'a [u8]>,
    contents: Vec<&'a str>,
    content_types: Vec<&'a str>,
    attachments: Vec<String>,
    metadata: Vec<String>,
    reply_tos: Vec<Option<MessageId>>,
    fates: Vec<i16>,
    decisions: Vec<Option<String>>,
    previews: Vec<Option<&'a str>>,
    asks_notify: Vec<bool>,
}

impl<'a> Columns<'a> {
    pub fn of(batch: &'a [NewMessage]) -> Self {
        let mut columns = Self::default();
        for NewMessage { org_id, id, draft, fate, decision, asks_notify, .. } in batch {
            columns.org_ids.push(*org_id);
            columns.ids.push(*id);
            columns.thread_ids.push(draft.thread_id());
            columns.sender_ids.push(draft.sender_id);
            columns.recipient_ids.push(draft.recipient_id);
            columns.client_ids.push(draft.client_id.as_ref().map(ClientId::as_str));
            columns.request_hashes.push(&draft.request_hash);
            columns.contents.push(&draft.body.content);
            columns.content_types.push(draft.body.content_type.as_str());
            columns.attachments.push(json_text(&draft.body.attachments));
            columns.metadata.push(json_text(&draft.body.metadata));
            columns.reply_tos.push(draft.reply_to);
            columns.fates.push(fate.code());
            columns.decisions.push(decision.as_ref().map(json_text));
            columns.previews.push(draft.body.preview.as_deref());
            columns.asks_notify.push(*asks_notify);
        }
        columns
    }
}

fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers have a JSON form")
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
    let mut conn = db.batches.acquire().await?;
    if !batch.iter().any(|row| matches!(row.fate, Fate::Held(_)) || row.news.is_some()) {
        return Ok(place(batch, &insert_messages(&mut conn, batch).await?));
    }
    // Boxed, so that batches which hold nothing do not carry it along.
    Box::pin(insert_with_more(&mut conn, batch)).await
}

async fn insert_with_more(
    conn: &mut PgConnection,
    batch: &[NewMessage],
) -> Result<Vec<Option<Placed>>, DbError> {
    let mut tx = conn.begin().await?;
    let placed = insert_all(&mut tx, batch).await?;
    tx.commit().await?;
    Ok(placed)
}

async fn insert_all(
    tx: &mut PgConnection,
    batch: &[NewMessage],
) -> Result<Vec<Option<Placed>>, DbError> {
    let mut placed = place(batch, &insert_messages(tx, batch).await?);
    let stored: Vec<&NewMessage> = batch
        .iter()
        .zip(&placed)
        .filter(|(_, placed)| placed.is_some())
        .map(|(row, _)| row)
        .collect();
    if stored.iter().any(|row| matches!(row.fate, Fate::Held(_))) {
        held::insert_batch(tx, stored.iter().copied()).await?;
    }
    let crowded = news::insert(tx, &stored).await?;
    for (row, placed) in batch.iter().zip(&mut placed) {
        if let Some(placed) = placed {
            placed.untold = row.news.is_some() && crowded.contains(&row.org_id);
        }
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
    let mut conn = db.batches.acquire().await?;
    let mut tx = conn.begin().await?;
    let mut org = OrgConn { org_id: row.org_id, conn: &mut tx };
    if kv::commit_all(&mut org, staged).await? == Committed::Conflict {
        return Ok(Together::Conflict);
    }
    let placed = insert_all(&mut tx, std::slice::from_ref(row)).await?;
    let Some(Some(placed)) = placed.first().copied() else { return Ok(Together::Duplicate) };
    tx.commit().await?;
    Ok(Together::Stored(placed))
}

/// Of each thread only what is not held moves its `seq` on; what is shadowed or held has no
/// side but its sender's.
#[expect(clippy::too_many_lines, reason = "one statement, read in one go")]
async fn insert_messages(
    conn: &mut PgConnection,
    batch: &[NewMessage],
) -> Result<Vec<SideRow>, DbError> {
    let columns = Columns::of(batch);
    sqlx::query_as!(
        SideRow,
        r#"
        with fresh as materialized (
            select *
            from unnest(
                $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
                $7::bytea[], $8::text[], $9::text[], $10::text[], $11::text[], $12::uuid[],
                $13::smallint[], $14::text[], $15::text[], $16::boolean[]
            ) with ordinality as draft (
                org_id, id, thread_id, sender_id, recipient_id, client_id,
                request_hash, content, content_type, attachments, metadata, reply_to,
                fate, decision, preview, asks_notify, ord
            )
            where client_id is null or not exists (
                select
                from messages as sent
                where sent.org_id = draft.org_id
                    and sent.sender_id = draft.sender_id
                    and sent.client_id = draft.client_id
            )
        ),
        thread as (
            insert into threads (org_id, id, last_seq)
            select org_id, thread_id, count(*) filter (where fate <> 2)
            from fresh
            group by org_id, thread_id
            order by org_id, thread_id
            on conflict (org_id, id) do update
                set last_seq = threads.last_seq + excluded.last_seq
            returning org_id, id, last_seq
        ),
        placed as materialized (
            select
                fresh.*,
                case when fate <> 2 then
                    thread.last_seq + 1 - count(*) filter (where fate <> 2) over (
                        partition by fresh.org_id, fresh.thread_id order by fresh.ord desc
                    )
                end as seq
            from fresh
            join thread on thread.org_id = fresh.org_id and thread.id = fresh.thread_id
        ),
        side as materialized (
            select org_id, thread_id, ord, id, seq, sender_id as user_id, recipient_id as peer_id,
                0 as unread, true as wrote
            from placed
            union all
            select org_id, thread_id, ord, id, seq, recipient_id, sender_id, 1, false
            from placed
            where fate = 0
        ),
        thread_state as (
            insert into thread_states
                (org_id, user_id, thread_id, peer_id, given_seq, unread_count,
                 last_message_id, active_id, opened)
            select
                org_id, user_id, thread_id, peer_id, coalesce(max(seq), 0), sum(unread),
                (array_agg(id order by ord desc))[1],
                (array_agg(id order by ord desc))[1],
                (array_agg(wrote order by ord desc))[count(*)]
            from side
            group by org_id, user_id, thread_id, peer_id
            order by org_id, user_id, thread_id
            on conflict (org_id, user_id, thread_id) do update set
                former_given_seq = thread_states.given_seq,
                given_seq = greatest(thread_states.given_seq, excluded.given_seq),
                unread_count = thread_states.unread_count + excluded.unread_count,
                last_message_id = excluded.last_message_id,
                active_id = excluded.active_id
            returning org_id, user_id, thread_id, former_given_seq
        ),
        user_state as (
            insert into user_states (org_id, user_id, position, unread_count)
            select org_id, user_id, count(*), sum(unread)
            from side
            -- Not before every thread state is taken.
            where (select count(*) from thread_state) > 0
            group by org_id, user_id
            order by org_id, user_id
            on conflict (org_id, user_id) do update set
                position = user_states.position + excluded.position,
                unread_count = user_states.unread_count + excluded.unread_count
            returning org_id, user_id, position
        ),
        change as (
            insert into changes (org_id, user_id, position, kind, message_id)
            select
                side.org_id,
                side.user_id,
                user_state.position + 1 - row_number() over (
                    partition by side.org_id, side.user_id order by side.ord desc
                ),
                'message',
                side.id
            from side
            join user_state using (org_id, user_id)
        ),
        notification as (
            insert into notifications (org_id, user_id, id, undecided, due_at)
            select org_id, recipient_id, id, asks_notify, case when asks_notify then now() end
            from placed
            where fate = 0
        ),
        stored as (
            insert into messages
                (org_id, id, thread_id, seq, sender_id, recipient_id, client_id, request_hash,
                 content, content_type, attachments, metadata, reply_to, created_at,
                 state, shadowed, decision, preview)
            select
                org_id, id, thread_id, seq, sender_id, recipient_id, client_id, request_hash,
                content, content_type, attachments::jsonb, metadata::jsonb, reply_to,
                date_trunc('milliseconds', now()),
                case when fate = 2 then 'held' else 'sent' end, fate = 1, decision::jsonb,
                preview
            from placed
        )
        select
            side.ord as "ord!",
            side.wrote as "wrote!",
            side.seq,
            thread_state.former_given_seq,
            date_trunc('milliseconds', now()) as "created_at!"
        from side
        join thread_state using (org_id, user_id, thread_id)
        order by side.ord
        "#,
        &columns.org_ids as &[OrgId],
        &columns.ids as &[MessageId],
        &columns.thread_ids as &[ThreadId],
        &columns.sender_ids as &[UserId],
        &columns.recipient_ids as &[UserId],
        &columns.client_ids as &[Option<&str>],
        &columns.request_hashes as &[&[u8]],
        &columns.contents as &[&str],
        &columns.content_types as &[&str],
        &columns.attachments,
        &columns.metadata,
        &columns.reply_tos as &[Option<MessageId>],
        &columns.fates,
        &columns.decisions as &[Option<String>],
        &columns.previews as &[Option<&str>],
        &columns.asks_notify,
    )
    .fetch_all(conn)
    .await
}

/// Puts the two sides of each stored draft together; `rows` come in the batch's order.
fn place(batch: &[NewMessage], rows: &[SideRow]) -> Vec<Option<Placed>> {
    let mut placed: Vec<Option<Placed>> = vec![None; batch.len()];
    // What each side of a thread holds, as the batch goes on.
    let mut given: HashMap<_, i64> = HashMap::new();
    for row in rows {
        let index = usize::try_from(row.ord - 1).expect("ordinality counts from one");
        let NewMessage { org_id, draft, .. } = &batch[index];
        let user = if row.wrote { draft.sender_id } else { draft.recipient_id };
        let given = given.entry((*org_id, draft.thread_id(), user)).or_insert(row.former_given_seq);
        let prev_seq = std::mem::replace(given, row.seq.unwrap_or(*given));
        let place = placed[index].get_or_insert(Placed {
            seq: row.seq,
            created_at: row.created_at,
            sender_prev_seq: 0,
            recipient_prev_seq: 0,
            untold: false,
        });
        if row.wrote {
            place.sender_prev_seq = prev_seq;
        } else {
            place.recipient_prev_seq = prev_seq;
        }
    }
    placed
}
