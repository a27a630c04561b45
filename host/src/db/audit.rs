//! Who did what, for an org's admins to read later.

use serde_json::Value as Json;
use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{Actor, EntryId};

/// An entry of the audit log.
pub struct AuditRow {
    pub id: EntryId,
    /// A user's id, `operator` or `system`.
    pub actor: String,
    pub action: String,
    pub subject: String,
    pub detail: Json,
    pub created_at: OffsetDateTime,
}

/// Notes that somebody did something, in the transaction that does it.
///
/// `action` is a word such as
/// `held.release`, `subject` the id or name of what it was done to. `detail` is an object;
/// it never holds content, tokens or secrets.
pub async fn insert(
    conn: &mut OrgConn<'_>,
    actor: Actor,
    action: &str,
    subject: &str,
    detail: &Json,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        insert into audit_log (org_id, id, actor, action, subject, detail)
        values ($1, $2, $3, $4, $5, $6)
        "#,
        conn.org_id as _,
        EntryId::new() as _,
        actor.to_string(),
        action,
        subject,
        detail,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Whether the newest entry about a subject with that action says the same.
pub async fn is_noted(
    conn: &mut OrgConn<'_>,
    action: &str,
    subject: &str,
    detail: &Json,
) -> Result<bool, DbError> {
    let newest = sqlx::query_scalar!(
        r#"
        select detail
        from audit_log
        where org_id = $1 and action = $2 and subject = $3
        order by id desc
        limit 1
        "#,
        conn.org_id as _,
        action,
        subject,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(newest.is_some_and(|newest| newest == *detail))
}

/// The entries below a place, newest first.
pub async fn list(
    conn: &mut OrgConn<'_>,
    before: Option<EntryId>,
    limit: i64,
) -> Result<Vec<AuditRow>, DbError> {
    sqlx::query_as!(
        AuditRow,
        r#"
        select id as "id: EntryId", actor, action, subject, detail, created_at
        from audit_log
        where org_id = $1 and id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by id desc
        limit $3
        "#,
        conn.org_id as _,
        before as Option<EntryId>,
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// Removes the oldest entries from before a time, at most `limit`; how many.
pub async fn prune(
    conn: &mut OrgConn<'_>,
    before: OffsetDateTime,
    limit: i64,
) -> Result<u64, DbError> {
    let done = sqlx::query!(
        r#"
        delete from audit_log
        using (
            select id
            from audit_log
            where org_id = $1
            order by id
            limit $3
        ) as oldest
        where audit_log.org_id = $1 and audit_log.id = oldest.id and audit_log.created_at < $2
        "#,
        conn.org_id as _,
        before,
        limit,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected())
}
