//! Clearing away entries that have expired.

use super::{Ledger, lock, store, unsigned};
use crate::{
    db::{DbError, OrgConn},
    domain::PluginId,
};

/// The plugins with entries that have expired.
pub async fn list_expired(conn: &mut OrgConn<'_>) -> Result<Vec<PluginId>, DbError> {
    sqlx::query_scalar!(
        r#"
        select id as "id: PluginId"
        from plugins
        where org_id = $1 and exists (
            select from plugin_kv
            where plugin_kv.org_id = $1 and plugin_id = id
                and expires_at <= statement_timestamp()
        )
        "#,
        conn.org_id as _,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// Removes expired entries, so many at most; answers how many they were.
pub async fn sweep(tx: &mut OrgConn<'_>, plugin_id: PluginId, limit: i64) -> Result<u64, DbError> {
    let Some(mut ledger) = lock(tx, plugin_id).await? else { return Ok(0) };
    let before = ledger.usage.keys;
    sweep_locked(tx, plugin_id, limit, &mut ledger).await?;
    store(tx, plugin_id, ledger).await?;
    Ok(before - ledger.usage.keys)
}

pub(super) async fn sweep_locked(
    tx: &mut OrgConn<'_>,
    plugin_id: PluginId,
    limit: i64,
    ledger: &mut Ledger,
) -> Result<(), DbError> {
    let gone = sqlx::query!(
        r#"
        with gone as (
            delete from plugin_kv
            where org_id = $1 and plugin_id = $2 and key in (
                select key
                from plugin_kv
                where org_id = $1 and plugin_id = $2 and expires_at <= statement_timestamp()
                order by expires_at
                limit $3
            )
            returning bytes, revision
        )
        select
            count(*) as "keys!", coalesce(sum(bytes), 0)::bigint as "bytes!",
            coalesce(max(revision), 0) as "revision!"
        from gone
        "#,
        tx.org_id as _,
        plugin_id as _,
        limit,
    )
    .fetch_one(&mut *tx.conn)
    .await?;
    ledger.usage.keys = ledger.usage.keys.saturating_sub(unsigned(gone.keys));
    ledger.usage.bytes = ledger.usage.bytes.saturating_sub(unsigned(gone.bytes));
    ledger.revision = ledger.revision.max(gone.revision);
    Ok(())
}
