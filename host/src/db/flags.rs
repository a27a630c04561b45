//! What plugins noted about messages.

use sqlx::types::Json as Column;

use super::{DbError, OrgConn};
use crate::domain::{Decision, MessageId};

/// The messages below a place that carry a label, newest first.
pub async fn list(
    conn: &mut OrgConn<'_>,
    before: Option<MessageId>,
    limit: i64,
) -> Result<Vec<MessageId>, DbError> {
    sqlx::query_scalar!(
        r#"
        select id as "id: MessageId"
        from messages
        where org_id = $1 and decision -> 'labels' <> '[]'
            and id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        order by id desc
        limit $3
        "#,
        conn.org_id as _,
        before as Option<MessageId>,
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// How plugins decided about those of the messages about which they were asked.
pub async fn list_decisions(
    conn: &mut OrgConn<'_>,
    ids: &[MessageId],
) -> Result<Vec<(MessageId, Decision)>, DbError> {
    let rows = sqlx::query!(
        r#"
        select id as "id: MessageId", decision as "decision!: Column<Decision>"
        from messages
        where org_id = $1 and id = any($2) and decision is not null
        "#,
        conn.org_id as _,
        ids as &[MessageId],
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.decision.0)).collect())
}
