//! The writer's batch: whatever waits, stored in one statement, each row with its own org.

use std::collections::HashSet;

use time::OffsetDateTime;

use super::{Db, DbError};
use crate::domain::{ClientId, Draft, MessageId, OrgId, ThreadId, UserId};

/// A draft on its way into the database, under the id that it will have.
#[derive(Clone, Debug)]
pub struct NewMessage {
    pub org_id: OrgId,
    pub id: MessageId,
    pub draft: Draft,
}

/// Where a draft came to stand.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    pub seq: i64,
    pub created_at: OffsetDateTime,
    /// The highest seq that each side had been given in the thread before.
    pub sender_prev_seq: i64,
    pub recipient_prev_seq: i64,
}

/// One side of a stored draft.
struct SideRow {
    ord: i64,
    /// This is the sender's side.
    wrote: bool,
    seq: i64,
    /// What this side had been given in the thread before the batch.
    former_given_seq: i64,
    created_at: OffsetDateTime,
}

/// The columns of a batch, one array each.
#[derive(Default)]
struct Columns<'a> {
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
}

impl<'a> Columns<'a> {
    fn of(batch: &'a [NewMessage]) -> Self {
        let mut columns = Self::default();
        for NewMessage { org_id, id, draft } in batch {
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
#[expect(clippy::too_many_lines, reason = "one statement, read in one go")]
pub async fn insert(db: &Db, batch: &[NewMessage]) -> Result<Vec<Option<Placed>>, DbError> {
    let columns = Columns::of(batch);
    let rows = sqlx::query_as!(
        SideRow,
        r#"
        with fresh as materialized (
            select *
            from unnest(
                $1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[],
                $7::bytea[], $8::text[], $9::text[], $10::text[], $11::text[], $12::uuid[]
            ) with ordinality as draft (
                org_id, id, thread_id, sender_id, recipient_id, client_id,
                request_hash, content, content_type, attachments, metadata, reply_to, ord
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
            select org_id, thread_id, count(*)
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
                thread.last_seq + 1 - row_number() over (
                    partition by fresh.org_id, fresh.thread_id order by fresh.ord desc
                ) as seq
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
        ),
        thread_state as (
            insert into thread_states
                (org_id, user_id, thread_id, peer_id, given_seq, unread_count,
                 last_message_id, active_id, opened)
            select
                org_id, user_id, thread_id, peer_id, max(seq), sum(unread),
                (array_agg(id order by ord desc))[1],
                (array_agg(id order by ord desc))[1],
                (array_agg(wrote order by ord desc))[count(*)]
            from side
            group by org_id, user_id, thread_id, peer_id
            order by org_id, user_id, thread_id
            on conflict (org_id, user_id, thread_id) do update set
                former_given_seq = thread_states.given_seq,
                given_seq = excluded.given_seq,
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
            insert into notifications (org_id, user_id, id)
            select org_id, recipient_id, id
            from placed
        ),
        stored as (
            insert into messages
                (org_id, id, thread_id, seq, sender_id, recipient_id, client_id, request_hash,
                 content, content_type, attachments, metadata, reply_to, created_at)
            select
                org_id, id, thread_id, seq, sender_id, recipient_id, client_id, request_hash,
                content, content_type, attachments::jsonb, metadata::jsonb, reply_to,
                date_trunc('milliseconds', now())
            from placed
        )
        select
            side.ord as "ord!",
            side.wrote as "wrote!",
            side.seq as "seq!",
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
    )
    .fetch_all(&db.batches)
    .await?;

    Ok(place(batch, &rows))
}

/// Puts the two sides of each stored draft together; `rows` come in the batch's order.
fn place(batch: &[NewMessage], rows: &[SideRow]) -> Vec<Option<Placed>> {
    let mut placed: Vec<Option<Placed>> = vec![None; batch.len()];
    // In a batch each message but a thread's first follows on the one before it.
    let mut led = HashSet::new();
    for row in rows {
        let index = usize::try_from(row.ord - 1).expect("ordinality counts from one");
        let NewMessage { org_id, draft, .. } = &batch[index];
        let leads = led.insert((*org_id, draft.thread_id(), row.wrote));
        let prev_seq = if leads { row.former_given_seq } else { row.seq - 1 };
        let place = placed[index].get_or_insert(Placed {
            seq: row.seq,
            created_at: row.created_at,
            sender_prev_seq: 0,
            recipient_prev_seq: 0,
        });
        if row.wrote {
            place.sender_prev_seq = prev_seq;
        } else {
            place.recipient_prev_seq = prev_seq;
        }
    }
    placed
}
