use super::{DbError, OrgConn};
use crate::domain::{
    KvEntry, KvError, KvKey, KvLimits, KvLook, KvUsage, KvWrite, PluginId, StagedWrites,
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
            entry.value as "value?", entry.revision as "revision?", entry.bytes as "stored?",
            coalesce(entry.expires_at > statement_timestamp(), true) as "is_live!",
            usage.keys as "keys?", usage.bytes as "bytes?"
        from (values ($3::text)) as asked (key)
        left join plugin_kv as entry
            on entry.org_id = $1 and entry.plugin_id = $2 and entry.key = asked.key collate "C"
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
    let mut ledger = lock(tx, plugin_id).await?;
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
    let mut ledger = lock(tx, plugin_id).await?;
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
    write: &KvWrite,
    limits: &KvLimits,
) -> Result<Result<u64, KvError>, DbError> {
    let mut ledger = lock(tx, plugin_id).await?;
    let stored = lock_entry(tx, plugin_id, key).await?;
    if stored.is_some_and(|stored| stored.is_live) {
        return Ok(Err(KvError::Conflict));
    }
    let written = write_locked(tx, plugin_id, (key, write), limits, &mut ledger).await?;
    store(tx, plugin_id, ledger).await?;
    Ok(written)
}

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
    let mut ledger = lock(tx, plugin_id).await?;
    let before = ledger.usage.keys;
    sweep_locked(tx, plugin_id, limit, &mut ledger).await?;
    store(tx, plugin_id, ledger).await?;
    Ok(before - ledger.usage.keys)
}

async fn write_locked(
    tx: &mut OrgConn<'_>,
    plugin_id: PluginId,
    (key, write): (&KvKey, &KvWrite),
    limits: &KvLimits,
    ledger: &mut Ledger,
) -> Result<Result<u64, KvError>, DbError> {
    let bytes = write.value.as_ref().map_or(0, |value| KvLimits::entry_bytes(key, value));
    if bytes > 0 && !limits.admit(ledger.usage.with(bytes, 0)) {
        sweep_locked(tx, plugin_id, SWEPT_FOR_ROOM, ledger).await?;
    }
    let stored = lock_entry(tx, plugin_id, key).await?;
    let current =
        stored.as_ref().filter(|stored| stored.is_live).map_or(0, |stored| stored.revision);
    if write.expect.is_some_and(|expected| expected != unsigned(current)) {
        return Ok(Err(KvError::Conflict));
    }
    let stored_bytes = stored.as_ref().map_or(0, |stored| unsigned(stored.bytes));
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
async fn lock(tx: &mut OrgConn<'_>, plugin_id: PluginId) -> Result<Ledger, DbError> {
    let row = sqlx::query!(
        r#"
        insert into plugin_kv_usage as usage (org_id, plugin_id)
        values ($1, $2)
        on conflict (org_id, plugin_id) do update set keys = usage.keys
        returning keys, bytes, revision
        "#,
        tx.org_id as _,
        plugin_id as _,
    )
    .fetch_one(&mut *tx.conn)
    .await?;
    let usage = KvUsage { keys: unsigned(row.keys), bytes: unsigned(row.bytes) };
    Ok(Ledger { usage, revision: row.revision })
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

async fn sweep_locked(
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

/// Counts and revisions are never below 0.
fn unsigned(stored: i64) -> u64 {
    stored.unsigned_abs()
}

/// The limits keep counts far below 2^63.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
