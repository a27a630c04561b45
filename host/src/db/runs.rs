//! Trials and backtests, and what candidates made of each message.

mod report;

use serde_json::{Value as Json, json};
use sqlx::types::Json as Column;
use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{EntryId, Finding, PluginId, RunStage, RunState, UserId};

pub use report::{
    CostRow, ImportRow, LabelRow, ResultRow, VerdictRow, count_labels, count_verdicts,
    list_imports, list_results, load_costs,
};

/// A trial or a backtest.
#[derive(Clone, Debug)]
pub struct RunRow {
    pub id: EntryId,
    pub plugin_id: PluginId,
    pub sha256: Vec<u8>,
    pub state: RunState,
    pub wanted: u64,
    pub asked: u64,
    pub dropped: u64,
    pub own_config: bool,
    pub started_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
}

/// What is to be run.
pub struct NewRun<'a> {
    pub plugin_id: PluginId,
    pub sha256: &'a [u8],
    pub stage: RunStage,
    pub wanted: u64,
    pub own_config: bool,
    pub started_by: UserId,
}

/// What came of a number of messages.
#[derive(Default)]
pub struct Progress<'a> {
    pub findings: &'a [Finding],
    pub imports: &'a [ImportRow],
    /// Messages looked at, also where the candidate had no say.
    pub asked: u64,
    pub dropped: u64,
}

/// The columns of a run, with what follows the org's condition.
macro_rules! select_runs {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            RawRun,
            r#"
            select
                id as "id: EntryId", plugin_id as "plugin_id: PluginId", sha256, state,
                wanted, asked, dropped, own_config, started_at, ended_at
            from plugin_runs
            where org_id = $1 "#
                + $rest,
            $($argument),+
        )
    };
}

struct RawRun {
    id: EntryId,
    plugin_id: PluginId,
    sha256: Vec<u8>,
    state: String,
    wanted: i64,
    asked: i64,
    dropped: i64,
    own_config: bool,
    started_at: OffsetDateTime,
    ended_at: Option<OffsetDateTime>,
}

impl From<RawRun> for RunRow {
    fn from(raw: RawRun) -> Self {
        Self {
            id: raw.id,
            plugin_id: raw.plugin_id,
            sha256: raw.sha256,
            state: RunState::stored(&raw.state),
            wanted: raw.wanted.unsigned_abs(),
            asked: raw.asked.unsigned_abs(),
            dropped: raw.dropped.unsigned_abs(),
            own_config: raw.own_config,
            started_at: raw.started_at,
            ended_at: raw.ended_at,
        }
    }
}

/// Starts a run in place of the plugin's earlier ones of that stage; `None`: one is running
/// that it cannot take the place of.
pub async fn start(tx: &mut OrgConn<'_>, run: &NewRun<'_>) -> Result<Option<EntryId>, DbError> {
    let running_stays = run.stage == RunStage::Backtest;
    sqlx::query!(
        r#"
        delete from plugin_runs
        where org_id = $1 and plugin_id = $2 and stage = $3 and not ($4 and state = 'running')
        "#,
        tx.org_id as _,
        run.plugin_id as _,
        run.stage.as_str(),
        running_stays,
    )
    .execute(&mut *tx.conn)
    .await?;
    sqlx::query_scalar!(
        r#"
        insert into plugin_runs
            (org_id, id, plugin_id, sha256, stage, wanted, own_config, started_by)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        on conflict do nothing
        returning id as "id: EntryId"
        "#,
        tx.org_id as _,
        EntryId::new() as _,
        run.plugin_id as _,
        run.sha256,
        run.stage.as_str(),
        signed(run.wanted),
        run.own_config,
        run.started_by as _,
    )
    .fetch_optional(&mut *tx.conn)
    .await
}

/// The trials that are running in the org.
pub async fn list_trials(conn: &mut OrgConn<'_>) -> Result<Vec<RunRow>, DbError> {
    let rows = select_runs!("and stage = 'trial' and state = 'running'", conn.org_id as _)
        .fetch_all(&mut *conn.conn)
        .await?;
    Ok(rows.into_iter().map(RunRow::from).collect())
}

/// The newest trial of a plugin.
pub async fn find_trial(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
) -> Result<Option<RunRow>, DbError> {
    let row = select_runs!(
        "and stage = 'trial' and plugin_id = $2 order by id desc limit 1",
        conn.org_id as _,
        plugin_id as _,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(RunRow::from))
}

pub async fn find_backtest(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    id: EntryId,
) -> Result<Option<RunRow>, DbError> {
    let row = select_runs!(
        "and stage = 'backtest' and plugin_id = $2 and id = $3",
        conn.org_id as _,
        plugin_id as _,
        id as _,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(RunRow::from))
}

/// The running backtest whose server has not been heard of for a while is broken off.
pub async fn break_off_silent(conn: &mut OrgConn<'_>, silent_ms: i64) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update plugin_runs
        set state = 'broken_off', ended_at = seen_at
        where org_id = $1 and stage = 'backtest' and state = 'running'
            and seen_at < now() - $2::bigint * interval '1 millisecond'
        "#,
        conn.org_id as _,
        silent_ms,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Ends a run that is running; whether it was.
pub async fn end(conn: &mut OrgConn<'_>, id: EntryId, state: RunState) -> Result<bool, DbError> {
    let done = sqlx::query!(
        r#"
        update plugin_runs
        set state = $3, ended_at = now()
        where org_id = $1 and id = $2 and state = 'running'
        "#,
        conn.org_id as _,
        id as _,
        state.as_str(),
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Keeps what came of some messages, in a transaction; how many it has been asked about with
/// them, or `None`: the run is over, and nothing was kept.
pub async fn record(
    tx: &mut OrgConn<'_>,
    id: EntryId,
    progress: &Progress<'_>,
) -> Result<Option<u64>, DbError> {
    let asked = sqlx::query_scalar!(
        r#"
        update plugin_runs
        set asked = asked + $3, dropped = dropped + $4, seen_at = now()
        where org_id = $1 and id = $2 and state = 'running'
        returning asked
        "#,
        tx.org_id as _,
        id as _,
        signed(progress.asked),
        signed(progress.dropped),
    )
    .fetch_optional(&mut *tx.conn)
    .await?;
    let Some(asked) = asked else { return Ok(None) };
    sqlx::query!(
        r#"
        insert into plugin_run_results
            (org_id, run_id, id, subject, subject_id, verdict, fault, active_verdict, agrees,
             labels, changed, micros, memory_bytes)
        select
            $1, $2, id, subject, subject_id, verdict, fault, active_verdict, agrees,
            labels, changed, micros, memory_bytes
        from jsonb_to_recordset($3) as row (
            id uuid, subject text, subject_id uuid, verdict text, fault text, active_verdict text,
            agrees boolean, labels jsonb, changed jsonb, micros bigint, memory_bytes bigint
        )
        "#,
        tx.org_id as _,
        id as _,
        Column(progress.findings) as _,
    )
    .execute(&mut *tx.conn)
    .await?;
    count_imports(tx, id, progress.imports).await?;
    Ok(Some(asked.unsigned_abs()))
}

async fn count_imports(
    tx: &mut OrgConn<'_>,
    id: EntryId,
    imports: &[ImportRow],
) -> Result<(), DbError> {
    let rows = imports
        .iter()
        .map(|row| json!({ "import": row.import, "answered": row.answered, "count": row.count }));
    let rows: Json = rows.collect();
    sqlx::query!(
        r#"
        insert into plugin_run_imports as stored (org_id, run_id, import, answered, count)
        select $1, $2, import, answered, count
        from jsonb_to_recordset($3) as row (import text, answered text, count bigint)
        on conflict (org_id, run_id, import, answered)
            do update set count = stored.count + excluded.count
        "#,
        tx.org_id as _,
        id as _,
        rows,
    )
    .execute(&mut *tx.conn)
    .await
    .map(drop)
}

/// The limits keep counts far below 2^63.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
