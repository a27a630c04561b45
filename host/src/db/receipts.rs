mod packed;

use std::sync::Arc;

use serde_json::Value as Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{DbError, OrgConn};
use crate::domain::{CallRecord, ConfigRecord, EntryId, MessageId, OrgId, ThreadId};

pub use packed::Packed;

/// A receipt about to be stored.
pub struct NewReceipt {
    pub id: EntryId,
    pub thread_id: ThreadId,
    pub message_id: Option<MessageId>,
    pub request_id: Option<EntryId>,
    pub is_edit: bool,
    pub attempt: i32,
    pub calls: Packed,
    pub content: Packed,
    pub shown: Vec<MessageId>,
    pub created_at: OffsetDateTime,
}

/// A stored one.
pub struct ReceiptRow {
    pub id: EntryId,
    pub message_id: Option<MessageId>,
    pub request_id: Option<EntryId>,
    pub is_edit: bool,
    pub attempt: i32,
    pub calls: Vec<CallRecord>,
    /// The JSON text of one [`crate::domain::RunContent`] for each call; `None`: a message that it
    /// shows was deleted.
    pub content: Option<Vec<u8>>,
    pub shown: Vec<MessageId>,
    pub created_at: OffsetDateTime,
}

/// Whose receipts.
#[derive(Clone, Copy)]
pub enum Subject {
    Message(MessageId),
    /// A refused draft, by the `requestId` of its error.
    Request(EntryId),
}

/// Stores receipts of one org, in a transaction. What shows a message that was deleted meanwhile
/// is stored without its content.
pub async fn insert_all(conn: &mut OrgConn<'_>, rows: &[NewReceipt]) -> Result<(), DbError> {
    let threads: Vec<ThreadId> = rows.iter().map(|row| row.thread_id).collect();
    lock_shared(conn, &threads).await?;
    let ids: Vec<EntryId> = rows.iter().map(|row| row.id).collect();
    let messages: Vec<Option<MessageId>> = rows.iter().map(|row| row.message_id).collect();
    let requests: Vec<Option<EntryId>> = rows.iter().map(|row| row.request_id).collect();
    let edits: Vec<bool> = rows.iter().map(|row| row.is_edit).collect();
    let attempts: Vec<i32> = rows.iter().map(|row| row.attempt).collect();
    let calls: Vec<&[u8]> = rows.iter().map(|row| row.calls.as_bytes()).collect();
    let contents: Vec<&[u8]> = rows.iter().map(|row| row.content.as_bytes()).collect();
    // Postgres takes no list of lists of different lengths.
    let shown: Vec<String> = rows.iter().map(|row| array_text(&row.shown)).collect();
    let times: Vec<OffsetDateTime> = rows.iter().map(|row| row.created_at).collect();
    let named = rows.iter().flat_map(|row| row.message_id.iter().chain(&row.shown).copied());
    let named: Vec<MessageId> = named.collect();
    sqlx::query!(
        r#"
        with gone as materialized (
            select messages.id
            from messages
            where messages.org_id = $1 and messages.id = any($12) and messages.deleted_at is not null
        )
        insert into receipts
            (org_id, id, thread_id, message_id, request_id, is_edit, attempt, calls, content, shown,
            created_at)
        select
            $1, given.id, given.thread_id, given.message_id, given.request_id, given.is_edit,
            given.attempt, given.calls,
            case when not exists (
                select
                from gone
                where gone.id = given.message_id or gone.id = any(given.shown::uuid[])
            ) then given.content end,
            given.shown::uuid[], given.created_at
        from (
            select
                unnest($2::uuid[]) as id, unnest($3::uuid[]) as thread_id,
                unnest($4::uuid[]) as message_id, unnest($5::uuid[]) as request_id,
                unnest($6::boolean[]) as is_edit, unnest($7::integer[]) as attempt,
                unnest($8::bytea[]) as calls, unnest($9::bytea[]) as content,
                unnest($10::text[]) as shown, unnest($11::timestamptz[]) as created_at
        ) as given
        "#,
        conn.org_id as _,
        &ids as &[EntryId],
        &threads as &[ThreadId],
        &messages as &[Option<MessageId>],
        &requests as &[Option<EntryId>],
        &edits,
        &attempts,
        &calls as &[&[u8]],
        &contents as &[&[u8]],
        &shown,
        &times,
        &named as &[MessageId],
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Keeps the newest receipts of each of these messages; in the transaction that adds one.
pub async fn trim(
    conn: &mut OrgConn<'_>,
    messages: &[MessageId],
    most: i64,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        delete from receipts
        using (
            select
                coalesce(message_id, request_id) as subject, id,
                row_number() over (partition by message_id order by id desc) as place
            from receipts
            where org_id = $1 and coalesce(message_id, request_id) = any($2)
        ) as ranked
        where receipts.org_id = $1 and ranked.place > $3
            and coalesce(receipts.message_id, receipts.request_id) = ranked.subject
            and receipts.id = ranked.id
        "#,
        conn.org_id as _,
        messages as &[MessageId],
        most,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Takes away all that receipts show of a message, last in the transaction that deletes it: who
/// stores receipts of the thread waits for its end.
pub async fn blank(
    conn: &mut OrgConn<'_>,
    thread_id: ThreadId,
    message_id: MessageId,
) -> Result<(), DbError> {
    // Behind whoever is about to store what it does not see deleted yet.
    sqlx::query!("select pg_advisory_xact_lock($1)", lock_of(conn.org_id, thread_id))
        .execute(&mut *conn.conn)
        .await?;
    sqlx::query!(
        r#"
        update receipts
        set content = null
        where org_id = $1 and content is not null
            and (
                coalesce(message_id, request_id) = $3
                or thread_id = $2 and shown <> '{}' and shown @> array[$3::uuid]
            )
        "#,
        conn.org_id as _,
        thread_id as _,
        message_id as _,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// In the order of their keys, so that two who want several do not wait for each other.
async fn lock_shared(conn: &mut OrgConn<'_>, threads: &[ThreadId]) -> Result<(), DbError> {
    let mut locks: Vec<i64> = threads.iter().map(|thread| lock_of(conn.org_id, *thread)).collect();
    locks.sort_unstable();
    locks.dedup();
    sqlx::query!(
        "select pg_advisory_xact_lock_shared(key) from unnest($1::bigint[]) as key",
        &locks
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// The key of the advisory lock of a thread. Where two have the same, one may wait for the other.
fn lock_of(org_id: OrgId, thread_id: ThreadId) -> i64 {
    // Both are random, or as good as, in their low halves.
    let key = org_id.as_uuid().as_u128() ^ thread_id.as_uuid().as_u128();
    #[expect(clippy::cast_possible_truncation, reason = "the low half")]
    (key as u64).cast_signed()
}

/// The receipts of a message or of a refused draft, newest first.
pub async fn list(
    conn: &mut OrgConn<'_>,
    subject: Subject,
    limit: i64,
) -> Result<Vec<ReceiptRow>, DbError> {
    let (subject, is_request) = match subject {
        Subject::Message(id) => (id.as_uuid(), false),
        Subject::Request(id) => (id.as_uuid(), true),
    };
    let rows = sqlx::query!(
        r#"
        select
            id as "id: EntryId", message_id as "message_id: MessageId",
            request_id as "request_id: EntryId", is_edit, attempt, calls, content,
            shown as "shown: Vec<MessageId>", created_at
        from receipts
        where org_id = $1 and (
            coalesce(message_id, request_id) = $2 and (message_id is null) = $3
            or $3 and request_id = $2 and message_id is not null
        )
        order by id desc
        limit $4
        "#,
        conn.org_id as _,
        subject,
        is_request,
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let receipts = rows.into_iter().map(|row| {
        let calls = serde_json::from_slice(&Packed::unpack(row.calls)?);
        Ok(ReceiptRow {
            id: row.id,
            message_id: row.message_id,
            request_id: row.request_id,
            is_edit: row.is_edit,
            attempt: row.attempt,
            calls: calls.map_err(|error| DbError::Decode(error.into()))?,
            content: row.content.map(Packed::unpack).transpose()?,
            shown: row.shown,
            created_at: row.created_at,
        })
    });
    receipts.collect()
}

/// Keeps configurations that receipts name, each once; one that is there is marked as used today.
pub async fn insert_configs(
    conn: &mut OrgConn<'_>,
    configs: &[Arc<ConfigRecord>],
) -> Result<(), DbError> {
    let hashes: Vec<&str> = configs.iter().map(|config| config.sha256.as_str()).collect();
    let texts: Vec<Json> = configs.iter().map(|config| config.config.clone()).collect();
    sqlx::query!(
        r#"
        insert into receipt_configs (org_id, sha256, config)
        select $1::uuid, given.sha256, given.config
        from unnest($2::text[], $3::jsonb[]) as given (sha256, config)
        order by given.sha256
        on conflict (org_id, sha256) do update
        set used_at = now()
        where receipt_configs.used_at < now() - interval '1 day'
        "#,
        conn.org_id as _,
        &hashes as &[&str],
        &texts,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

pub async fn list_configs(
    conn: &mut OrgConn<'_>,
    hashes: &[String],
) -> Result<Vec<(String, Json)>, DbError> {
    let rows = sqlx::query!(
        "select sha256, config from receipt_configs where org_id = $1 and sha256 = any($2)",
        conn.org_id as _,
        hashes,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.sha256, row.config)).collect())
}

/// Removes the oldest receipts from before a time, at most `limit`; how many.
pub async fn prune(
    conn: &mut OrgConn<'_>,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, DbError> {
    let done = sqlx::query!(
        r#"
        delete from receipts
        using (
            select coalesce(message_id, request_id) as subject, id
            from receipts
            -- Nothing is much older than what it is about; the next round finds the rest.
            where org_id = $1 and coalesce(message_id, request_id) < $4 and created_at < $2
            order by coalesce(message_id, request_id), id
            limit $3
            -- A deletion may be taking content away; the next round finds what is left.
            for update skip locked
        ) as oldest
        where receipts.org_id = $1
            and coalesce(receipts.message_id, receipts.request_id) = oldest.subject
            and receipts.id = oldest.id
        "#,
        conn.org_id as _,
        before,
        limit,
        first_id_of(before),
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected())
}

/// Removes the configurations that nothing has named since a time.
pub async fn prune_configs(conn: &mut OrgConn<'_>, before: OffsetDateTime) -> Result<(), DbError> {
    sqlx::query!(
        "delete from receipt_configs where org_id = $1 and used_at < $2",
        conn.org_id as _,
        before,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// No `UUIDv7` of that time or later is below it.
fn first_id_of(time: OffsetDateTime) -> Uuid {
    let ms = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    Uuid::from_u128(u128::from(ms) << 80)
}

fn array_text(ids: &[MessageId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    format!("{{{}}}", ids.join(","))
}
