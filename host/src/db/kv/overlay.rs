//! A store that lies over another, for a canary: what it writes is its own, what it has not
//! written it reads below. In the end it is merged or dropped.

use super::{Ledger, lock, unsigned};
use crate::{
    db::{DbError, OrgConn},
    domain::{KvKey, PluginId},
};

/// Makes an empty store over a plugin's own.
pub async fn insert_overlay(
    tx: &mut OrgConn<'_>,
    store: PluginId,
    plugin_id: PluginId,
) -> Result<(), DbError> {
    sqlx::query!(
        "insert into plugin_stores (org_id, id, plugin_id) values ($1, $2, $3)",
        tx.org_id as _,
        store as _,
        plugin_id as _,
    )
    .execute(&mut *tx.conn)
    .await
    .map(drop)
}

/// Forgets all that was written to it.
pub async fn drop_overlay(tx: &mut OrgConn<'_>, store: PluginId) -> Result<(), DbError> {
    sqlx::query!(
        "delete from plugin_stores where org_id = $1 and id = $2 and plugin_id <> id",
        tx.org_id as _,
        store as _,
    )
    .execute(&mut *tx.conn)
    .await
    .map(drop)
}

/// Puts all that was written to it in the place of what is below, and drops it. Nothing is
/// refused for want of room: what is over the limits can only shrink then.
pub async fn merge_overlay(
    tx: &mut OrgConn<'_>,
    store: PluginId,
    plugin_id: PluginId,
) -> Result<(), DbError> {
    if let Some(ledger) = lock(tx, plugin_id).await? {
        lock(tx, store).await?;
        let removed = remove_buried(tx, store, plugin_id).await?;
        let revision = ledger.revision.max(removed);
        copy_down(tx, store, (plugin_id, revision)).await?;
        recount(tx, plugin_id, revision).await?;
    }
    drop_overlay(tx, store).await
}

/// The highest revision of what was removed.
async fn remove_buried(
    tx: &mut OrgConn<'_>,
    store: PluginId,
    plugin_id: PluginId,
) -> Result<i64, DbError> {
    sqlx::query_scalar!(
        r#"
        with gone as (
            delete from plugin_kv as lower
            using plugin_kv as upper
            where lower.org_id = $1 and lower.plugin_id = $3
                and upper.org_id = $1 and upper.plugin_id = $2 and upper.key = lower.key
                and upper.expires_at <= statement_timestamp()
            returning greatest(lower.revision, upper.revision) as revision
        )
        select coalesce(max(revision), 0) as "revision!"
        from gone
        "#,
        tx.org_id as _,
        store as _,
        plugin_id as _,
    )
    .fetch_one(&mut *tx.conn)
    .await
}

async fn copy_down(
    tx: &mut OrgConn<'_>,
    store: PluginId,
    (plugin_id, revision): (PluginId, i64),
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        insert into plugin_kv as lower (org_id, plugin_id, key, value, revision, bytes, expires_at)
        select org_id, $3, key, value, greatest(revision, $4) + 1, bytes, expires_at
        from plugin_kv
        where org_id = $1 and plugin_id = $2
            and coalesce(expires_at > statement_timestamp(), true)
        on conflict (org_id, plugin_id, key) do update set
            value = excluded.value,
            revision = greatest(lower.revision + 1, excluded.revision),
            bytes = excluded.bytes,
            expires_at = excluded.expires_at
        "#,
        tx.org_id as _,
        store as _,
        plugin_id as _,
        revision,
    )
    .execute(&mut *tx.conn)
    .await
    .map(drop)
}

async fn recount(tx: &mut OrgConn<'_>, plugin_id: PluginId, revision: i64) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update plugin_kv_usage
        set
            (keys, bytes) = (
                select count(*), coalesce(sum(bytes), 0)
                from plugin_kv
                where org_id = $1 and plugin_id = $2
            ),
            revision = $3
        where org_id = $1 and plugin_id = $2
        "#,
        tx.org_id as _,
        plugin_id as _,
        revision,
    )
    .execute(&mut *tx.conn)
    .await
    .map(drop)
}

/// Copies what is below up, where the key has not been written yet: what follows is then as in
/// any store.
pub(super) async fn raise(
    tx: &mut OrgConn<'_>,
    store: PluginId,
    key: &KvKey,
    ledger: &mut Ledger,
) -> Result<(), DbError> {
    let Some(base) = ledger.base else { return Ok(()) };
    let bytes = sqlx::query_scalar!(
        r#"
        insert into plugin_kv (org_id, plugin_id, key, value, revision, bytes, expires_at)
        select org_id, $2, key, value, revision, bytes, expires_at
        from plugin_kv
        where org_id = $1 and plugin_id = $3 and key = $4
            and coalesce(expires_at > statement_timestamp(), true)
        on conflict do nothing
        returning bytes
        "#,
        tx.org_id as _,
        store as _,
        base as _,
        key.as_str(),
    )
    .fetch_optional(&mut *tx.conn)
    .await?;
    if let Some(bytes) = bytes {
        ledger.usage = ledger.usage.with(unsigned(bytes), 0);
    }
    Ok(())
}

/// Leaves an entry that reads as absent: it hides what is below.
pub(super) async fn bury(
    tx: &mut OrgConn<'_>,
    store: PluginId,
    key: &KvKey,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update plugin_kv
        set value = '', revision = revision + 1, expires_at = '-infinity'
        where org_id = $1 and plugin_id = $2 and key = $3
        "#,
        tx.org_id as _,
        store as _,
        key.as_str(),
    )
    .execute(&mut *tx.conn)
    .await
    .map(drop)
}
