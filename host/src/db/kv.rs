mod overlay;
mod sweeping;

pub use overlay::{drop_overlay, insert_overlay, merge_overlay};
pub use sweeping::{list_expired, sweep};

use sweeping::sweep_locked;

use super::{DbError, OrgConn};
use crate::domain::{
    Increment, KvEntry, KvError, KvKey, KvLimits, KvLook, KvUsage, KvWrite, PluginId, StagedWrites,
};

/// What became of a call's staged writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    Done,
    /// Something that the call had built on has changed, or the store has filled up: roll back,
    /// and ask the plugin once more.
    Conflict,
}

/// Expired entries that a write which needs room removes at most.
const SWEPT_FOR_ROOM: i64 = 1000;

/// The locked usage row.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ledger {
    usage: KvUsage,
    /// The highest revision of any removed entry.
    revision: i64,
    /// The store that this one lies over.
    base: Option<PluginId>,
}

/// A stored row, expired or not.
struct Stored {
    revision: i64,
    bytes: i64,
    is_live: bool,
}

/// What is stored under a key, and how full the plugin's store is.
pub async fn look(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    key: &KvKey,
) -> Result<KvLook, DbError> {
    let row = sqlx::query!(
        r#"
        select
            entry.value as "value?", entry.revision as "revision?",
            case when entry.plugin_id = $2 then entry.bytes end as "stored?",
            coalesce(entry.expires_at > statement_timestamp(), true) as "is_live!",
            usage.keys as "keys?", usage.bytes as "bytes?"
        from (values ($3::text)) as asked (key)
        left join lateral (
            select plugin_id, value, revision, bytes, expires_at
            from plugin_kv
            where org_id = $1 and key = asked.key collate "C" and plugin_id in (
                $2,
                (select plugin_id from plugin_stores where org_id = $1 and id = $2)
            )
            order by plugin_id <> $2
            limit 1
        ) as entry on true
        left join plugin_kv_usage as usage
            on usage.org_id = $1 and usage.plugin_id = $2
        "#,
        conn.org_id as _,
        plugin_id as _,
        key.as_str(),
    )
    .fetch_one(&mut *conn.conn)
    .await?;
    let entry = row.value.zip(row.revision).filter(|_| row.is_live);
    Ok(KvLook {
        entry: entry.map(|(value, revision)| KvEntry { value, revision: unsigned(revision) }),
        stored_bytes: unsigned(row.stored.unwrap_or(0)),
        usage: KvUsage {
            keys: unsigned(row.keys.unwrap_or(0)),
            bytes: unsigned(row.bytes.unwrap_or(0)),
        },
    })
}

/// Writes at once, in a transaction that is to be committed where this is `Ok`; the answer is
/// the new revision, 0 for a deletion.
pub async fn write(
    tx: &mut OrgConn<'_>,
    plugin_id: PluginId,
    key: &KvKey,
    write: &KvWrite,
    limits: &KvLimits,
) -> Result<Result<u64, KvError>, DbError> {
    let Some(mut ledger) = lock(tx, plugin_id).await? else {
        return Ok(Err(KvError::Unavailable));
    };
    let before = ledger;
    let written = write_locked(tx, plugin_id, (key, write), limits, &mut ledger).await?;
    if ledger != before {
        store(tx, plugin_id, ledger).await?;
    }
    Ok(written)
}

/// Writes what a call has staged, in the transaction that stores its message: before any other
/// statement of it, and for several plugins in the order of their ids, so that no two
/// transactions wait for each other.
pub async fn commit(tx: &mut OrgConn<'_>, staged: &StagedWrites) -> Result<Committed, DbError> {
    let plugin_id = staged.plugin_id();
    if staged.is_empty() {
        return Ok(Committed::Done);
    }
    // A canary's store that is gone: whoever decides now is to be asked.
    let Some(mut ledger) = lock(tx, plugin_id).await? else { return Ok(Committed::Conflict) };
    // What shrinks comes first: the call had its writes counted together.
    let (deletions, others): (Vec<_>, Vec<_>) =
        staged.writes().partition(|(_, write)| write.value.is_none());
    for write in deletions.into_iter().chain(others) {
        let written = write_locked(tx, plugin_id, write, staged.limits(), &mut ledger).await?;
        if written.is_err() {
            return Ok(Committed::Conflict);
        }
    }
    store(tx, plugin_id, ledger).await?;
    Ok(Committed::Done)
}

/// The same for all plugins that judged one message.
pub async fn commit_all(
    tx: &mut OrgConn<'_>,
    staged: &[StagedWrites],
) -> Result<Committed, DbError> {
    let mut in_order: Vec<&StagedWrites> = staged.iter().collect();
    in_order.sort_by_key(|staged| staged.plugin_id());
    for staged in in_order {
        if commit(tx, staged).await? == Committed::Conflict {
            return Ok(Committed::Conflict);
        }
    }
    Ok(Committed::Done)
}

/// Adds to a counter that is there: one statement, which other ones wait for. `None`: there is
/// none, or what is there cannot be added to.
pub async fn increment(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    key: &KvKey,
    delta: i64,
) -> Result<Option<(i64, u64)>, DbError> {
    let row = sqlx::query!(
        r#"
        update plugin_kv
        set
            value = convert_to((encode(value, 'escape')::numeric + $4::bigint)::text, 'UTF8'),
            revision = revision + 1
        where org_id = $1 and plugin_id = $2 and key = $3
            and coalesce(expires_at > statement_timestamp(), true)
            and case
                when octet_length(value) <= 20 and encode(value, 'escape') ~ '^-?[0-9]{1,19}$'
                then encode(value, 'escape')::numeric + $4::bigint
                    between -9223372036854775808 and 9223372036854775807
                else false
            end
        returning encode(value, 'escape')::bigint as "value!", revision
        "#,
        conn.org_id as _,
        plugin_id as _,
        key.as_str(),
        delta,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(|row| (row.value, unsigned(row.revision))))
}

/// The same where [`increment`] found nothing to add to: begins a counter, in a transaction
/// that is to be committed where this is `Ok`.
pub async fn begin_counter(
    tx: &mut OrgConn<'_>,
    plugin_id: PluginId,
    key: &KvKey,
    step: Increment,
    limits: &KvLimits,
) -> Result<Result<(i64, u64), KvError>, DbError> {
    let Some(mut ledger) = lock(tx, plugin_id).await? else {
        return Ok(Err(KvError::Unavailable));
    };
    overlay::raise(tx, plugin_id, key, &mut ledger).await?;
    let stored = lock_entry(tx, plugin_id, key).await?;
    if stored.is_some_and(|stored| stored.is_live) {
        store(tx, plugin_id, ledger).await?;
        // It may lie in the store below; else another call has just begun it.
        let counted = increment(tx, plugin_id, key, step.delta).await?;
        return Ok(counted.ok_or(KvError::NotANumber));
    }
    let value = Some(step.delta.to_string().into_bytes());
    let write = KvWrite { value, ttl_seconds: step.ttl_seconds, expect: None };
    let written = write_locked(tx, plugin_id, (key, &write), limits, &mut ledger).await?;
    store(tx, plugin_id, ledger).await?;
    Ok(written.map(|revision| (step.delta, revision)))
}

async fn write_locked(
    tx: &mut OrgConn<'_>,
    plugin_id: PluginId,
    (key, write): (&KvKey, &KvWrite),
    limits: &KvLimits,
    ledger: &mut Ledger,
) -> Result<Result<u64, KvError>, DbError> {
    let bytes = write.value.as_ref().map_or(0, |value| KvLimits::entry_bytes(key, value));
    overlay::raise(tx, plugin_id, key, ledger).await?;
    // In a store that lies over another, what has expired still hides what is below.
    let may_sweep = ledger.base.is_none();
    if may_sweep && bytes > 0 && !limits.admit(ledger.usage.with(bytes, 0)) {
        sweep_locked(tx, plugin_id, SWEPT_FOR_ROOM, ledger).await?;
    }
    let stored = lock_entry(tx, plugin_id, key).await?;
    let current =
        stored.as_ref().filter(|stored| stored.is_live).map_or(0, |stored| stored.revision);
    if write.expect.is_some_and(|expected| expected != unsigned(current)) {
        return Ok(Err(KvError::Conflict));
    }
    let stored_bytes = stored.as_ref().map_or(0, |stored| unsigned(stored.bytes));
    if write.value.is_none() && ledger.base.is_some() {
        overlay::bury(tx, plugin_id, key).await?;
        return Ok(Ok(0));
    }
    let after = ledger.usage.with(bytes, stored_bytes);
    if after.grows_from(ledger.usage) && !limits.admit(after) {
        return Ok(Err(KvError::QuotaExceeded));
    }
    ledger.usage = after;
    let former = stored.map_or(ledger.revision, |stored| stored.revision);
    match &write.value {
        None => {
            ledger.revision = ledger.revision.max(former);
            delete(tx, plugin_id, key).await?;
            Ok(Ok(0))
        }
        Some(value) => {
            let row = Row { value, bytes, revision: former + 1, ttl_seconds: write.ttl_seconds };
            upsert(tx, plugin_id, key, &row).await?;
            Ok(Ok(unsigned(row.revision)))
        }
    }
}

/// A new entry, or what an entry becomes.
struct Row<'a> {
    value: &'a [u8],
    bytes: u64,
    revision: i64,
    ttl_seconds: Option<u32>,
}

async fn upsert(
    tx: &mut OrgConn<'_>,
    plugin_id: PluginId,
    key: &KvKey,
    row: &Row<'_>,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        insert into plugin_kv (org_id, plugin_id, key, value, revision, bytes, expires_at)
        values ($1, $2, $3, $4, $5, $6, statement_timestamp() + $7::bigint * interval '1 second')
        on conflict (org_id, plugin_id, key) do update set
            value = excluded.value,
            revision = excluded.revision,
            bytes = excluded.bytes,
            expires_at = excluded.expires_at
        "#,
        tx.org_id as _,
        plugin_id as _,
        key.as_str(),
        row.value,
        row.revision,
        signed(row.bytes),
        row.ttl_seconds.map(i64::from),
    )
    .execute(&mut *tx.conn)
    .await
    .map(drop)
}

async fn delete(tx: &mut OrgConn<'_>, plugin_id: PluginId, key: &KvKey) -> Result<(), DbError> {
    sqlx::query!(
        "delete from plugin_kv where org_id = $1 and plugin_id = $2 and key = $3",
        tx.org_id as _,
        plugin_id as _,
        key.as_str(),
    )
    .execute(&mut *tx.conn)
    .await
    .map(drop)
}

/// Locks the usage row, made where there is none. Entries are locked after it, never before.
/// `None`: there is no such store any more.
async fn lock(tx: &mut OrgConn<'_>, plugin_id: PluginId) -> Result<Option<Ledger>, DbError> {
    let row = sqlx::query!(
        r#"
        insert into plugin_kv_usage as usage (org_id, plugin_id)
        select org_id, id
        from plugin_stores
        where org_id = $1 and id = $2
        for key share
        on conflict (org_id, plugin_id) do update set keys = usage.keys
        returning
            keys, bytes, revision,
            (
                select stores.plugin_id
                from plugin_stores as stores
                where stores.org_id = $1 and stores.id = $2 and stores.plugin_id <> $2
            ) as "base: PluginId"
        "#,
        tx.org_id as _,
        plugin_id as _,
    )
    .fetch_optional(&mut *tx.conn)
    .await?;
    Ok(row.map(|row| Ledger {
        usage: KvUsage { keys: unsigned(row.keys), bytes: unsigned(row.bytes) },
        revision: row.revision,
        base: row.base,
    }))
}

async fn store(tx: &mut OrgConn<'_>, plugin_id: PluginId, ledger: Ledger) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update plugin_kv_usage
        set keys = $3, bytes = $4, revision = $5
        where org_id = $1 and plugin_id = $2
        "#,
        tx.org_id as _,
        plugin_id as _,
        signed(ledger.usage.keys),
        signed(ledger.usage.bytes),
        ledger.revision,
    )
    .execute(&mut *tx.conn)
    .await
    .map(drop)
}

async fn lock_entry(
    tx: &mut OrgConn<'_>,
    plugin_id: PluginId,
    key: &KvKey,
) -> Result<Option<Stored>, DbError> {
    sqlx::query_as!(
        Stored,
        r#"
        select
            revision, bytes, coalesce(expires_at > statement_timestamp(), true) as "is_live!"
        from plugin_kv
        where org_id = $1 and plugin_id = $2 and key = $3
        for update
        "#,
        tx.org_id as _,
        plugin_id as _,
        key.as_str(),
    )
    .fetch_optional(&mut *tx.conn)
    .await
}

/// Counts and revisions are never below 0.
fn unsigned(stored: i64) -> u64 {
    stored.unsigned_abs()
}

/// The limits keep counts far below 2^63.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
