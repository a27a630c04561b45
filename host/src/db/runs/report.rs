//! What is read of a run.

use sqlx::types::Json as Column;
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{DbError, OrgConn};
use crate::domain::{EntryId, Label};

/// How often an import was answered in one way.
pub struct ImportRow {
    pub import: String,
    pub answered: String,
    pub count: u64,
}

/// How often a candidate said one thing and the active version another.
pub struct VerdictRow {
    pub active: Option<String>,
    pub verdict: String,
    pub fault: Option<String>,
    pub agrees: bool,
    pub count: u64,
}

/// On how many messages a candidate put a label.
pub struct LabelRow {
    pub name: String,
    pub count: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct CostRow {
    pub p50_micros: u64,
    pub p99_micros: u64,
    pub most_micros: u64,
    pub most_memory_bytes: u64,
}

/// One message and what the candidate made of it.
pub struct ResultRow {
    pub id: EntryId,
    pub subject: String,
    pub subject_id: Uuid,
    pub verdict: String,
    pub fault: Option<String>,
    pub active_verdict: Option<String>,
    pub agrees: bool,
    pub labels: Vec<Label>,
    pub changed: Vec<String>,
    pub micros: u64,
    pub created_at: OffsetDateTime,
}

/// What the candidate and the active version said, and how often.
pub async fn count_verdicts(
    conn: &mut OrgConn<'_>,
    id: EntryId,
) -> Result<Vec<VerdictRow>, DbError> {
    let rows = sqlx::query!(
        r#"
        select active_verdict, verdict, fault, agrees, count(*) as "count!"
        from plugin_run_results
        where org_id = $1 and run_id = $2
        group by active_verdict, verdict, fault, agrees
        order by active_verdict, verdict, fault, agrees
        "#,
        conn.org_id as _,
        id as _,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let rows = rows.into_iter().map(|row| VerdictRow {
        active: row.active_verdict,
        verdict: row.verdict,
        fault: row.fault,
        agrees: row.agrees,
        count: row.count.unsigned_abs(),
    });
    Ok(rows.collect())
}

pub async fn count_labels(conn: &mut OrgConn<'_>, id: EntryId) -> Result<Vec<LabelRow>, DbError> {
    let rows = sqlx::query!(
        r#"
        select label ->> 'name' as "name!", count(distinct result.id) as "count!"
        from plugin_run_results as result
        cross join jsonb_array_elements(result.labels) as label
        where result.org_id = $1 and result.run_id = $2
        group by label ->> 'name'
        order by label ->> 'name'
        "#,
        conn.org_id as _,
        id as _,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let rows =
        rows.into_iter().map(|row| LabelRow { name: row.name, count: row.count.unsigned_abs() });
    Ok(rows.collect())
}

pub async fn load_costs(conn: &mut OrgConn<'_>, id: EntryId) -> Result<CostRow, DbError> {
    let row = sqlx::query!(
        r#"
        select
            coalesce(percentile_disc(0.5) within group (order by micros), 0) as "p50!",
            coalesce(percentile_disc(0.99) within group (order by micros), 0) as "p99!",
            coalesce(max(micros), 0) as "most!", coalesce(max(memory_bytes), 0) as "memory!"
        from plugin_run_results
        where org_id = $1 and run_id = $2
        "#,
        conn.org_id as _,
        id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await?;
    Ok(CostRow {
        p50_micros: row.p50.unsigned_abs(),
        p99_micros: row.p99.unsigned_abs(),
        most_micros: row.most.unsigned_abs(),
        most_memory_bytes: row.memory.unsigned_abs(),
    })
}

pub async fn list_imports(conn: &mut OrgConn<'_>, id: EntryId) -> Result<Vec<ImportRow>, DbError> {
    let rows = sqlx::query!(
        r#"
        select import, answered, count
        from plugin_run_imports
        where org_id = $1 and run_id = $2
        order by import, answered
        "#,
        conn.org_id as _,
        id as _,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let rows = rows.into_iter().map(|row| ImportRow {
        import: row.import,
        answered: row.answered,
        count: row.count.unsigned_abs(),
    });
    Ok(rows.collect())
}

/// The messages behind a place, in the order in which they were recorded: those on which the
/// two differ, or `all`.
pub async fn list_results(
    conn: &mut OrgConn<'_>,
    id: EntryId,
    all: bool,
    (after, limit): (Option<EntryId>, i64),
) -> Result<Vec<ResultRow>, DbError> {
    let rows = sqlx::query!(
        r#"
        select
            id as "id: EntryId", subject, subject_id, verdict, fault, active_verdict, agrees,
            labels as "labels: Column<Vec<Label>>", changed as "changed: Column<Vec<String>>",
            micros, created_at
        from plugin_run_results
        where org_id = $1 and run_id = $2 and ($3 or not agrees)
            and id > coalesce($4::uuid, '00000000-0000-0000-0000-000000000000')
        order by id
        limit $5
        "#,
        conn.org_id as _,
        id as _,
        all,
        after as _,
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let rows = rows.into_iter().map(|row| ResultRow {
        id: row.id,
        subject: row.subject,
        subject_id: row.subject_id,
        verdict: row.verdict,
        fault: row.fault,
        active_verdict: row.active_verdict,
        agrees: row.agrees,
        labels: row.labels.0,
        changed: row.changed.0,
        micros: row.micros.unsigned_abs(),
        created_at: row.created_at,
    });
    Ok(rows.collect())
}
