use serde_json::Value as Json;
use sqlx::types::Json as Column;
use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{Decision, EntryId, MessageId, UserId};

/// A draft or an edit that plugins refused; never what it said.
pub struct RefusalRow {
    pub id: EntryId,
    pub sender_id: UserId,
    pub recipient_id: UserId,
    /// The message that an edit was to change.
    pub message_id: Option<MessageId>,
    pub reason: String,
    pub decision: Decision,
    pub created_at: OffsetDateTime,
}

/// Stores refusals of one org.
pub async fn insert_all(conn: &mut OrgConn<'_>, refusals: &[RefusalRow]) -> Result<(), DbError> {
    let ids: Vec<EntryId> = refusals.iter().map(|row| row.id).collect();
    let senders: Vec<UserId> = refusals.iter().map(|row| row.sender_id).collect();
    let recipients: Vec<UserId> = refusals.iter().map(|row| row.recipient_id).collect();
    let messages: Vec<Option<MessageId>> = refusals.iter().map(|row| row.message_id).collect();
    let reasons: Vec<&str> = refusals.iter().map(|row| row.reason.as_str()).collect();
    let decisions: Vec<Json> = refusals
        .iter()
        .map(|row| serde_json::to_value(&row.decision).expect("words and numbers have a JSON form"))
        .collect();
    let times: Vec<OffsetDateTime> = refusals.iter().map(|row| row.created_at).collect();
    sqlx::query!(
        r#"
        insert into refusals
            (org_id, id, sender_id, recipient_id, message_id, reason, decision, created_at)
        select $1, *
        from unnest(
            $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::jsonb[],
            $8::timestamptz[]
        )
        "#,
        conn.org_id as _,
        &ids as &[EntryId],
        &senders as &[UserId],
        &recipients as &[UserId],
        &messages as &[Option<MessageId>],
        &reasons as &[&str],
        &decisions,
        &times,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// The refusals below a place, newest first; or the one of that id.
pub async fn list(
    conn: &mut OrgConn<'_>,
    before: Option<EntryId>,
    only: Option<EntryId>,
    limit: i64,
) -> Result<Vec<RefusalRow>, DbError> {
    let rows = sqlx::query!(
        r#"
        select
            id as "id: EntryId", sender_id as "sender_id: UserId",
            recipient_id as "recipient_id: UserId", message_id as "message_id: MessageId",
            reason, decision as "decision: Column<Decision>", created_at
        from refusals
        where org_id = $1 and id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            and id >= coalesce($3::uuid, '00000000-0000-0000-0000-000000000000')
            and id <= coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by id desc
        limit $4
        "#,
        conn.org_id as _,
        before as Option<EntryId>,
        only as Option<EntryId>,
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let refusals = rows.into_iter().map(|row| RefusalRow {
        id: row.id,
        sender_id: row.sender_id,
        recipient_id: row.recipient_id,
        message_id: row.message_id,
        reason: row.reason,
        decision: row.decision.0,
        created_at: row.created_at,
    });
    Ok(refusals.collect())
}

/// Removes the oldest refusals from before a time, at most `limit`; how many.
pub async fn prune(
    conn: &mut OrgConn<'_>,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, DbError> {
    let done = sqlx::query!(
        r#"
        delete from refusals
        using (
            select id
            from refusals
            where org_id = $1
            order by id
            limit $3
        ) as oldest
        where refusals.org_id = $1 and refusals.id = oldest.id and refusals.created_at < $2
        "#,
        conn.org_id as _,
        before,
        limit,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected())
}
