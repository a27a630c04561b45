use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::PluginId;

/// A secret without its value.
pub struct SecretRow {
    pub name: String,
    pub hosts: Vec<String>,
    pub created_at: OffsetDateTime,
}

/// A secret's value, as it is stored.
pub struct SealedRow {
    pub hosts: Vec<String>,
    pub ciphertext: Vec<u8>,
    pub nonce: Vec<u8>,
    pub key_id: String,
}

pub async fn list(conn: &mut OrgConn<'_>, plugin_id: PluginId) -> Result<Vec<SecretRow>, DbError> {
    sqlx::query_as!(
        SecretRow,
        r#"
        select name, hosts, created_at
        from plugin_secrets
        where org_id = $1 and plugin_id = $2
        order by name
        "#,
        conn.org_id as _,
        plugin_id as _,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// A secret of a plugin, whichever of its stores it goes by; and whose it is.
pub async fn find(
    conn: &mut OrgConn<'_>,
    store: PluginId,
    name: &str,
) -> Result<Option<(PluginId, SealedRow)>, DbError> {
    let row = sqlx::query!(
        r#"
        select plugin_id as "plugin_id: PluginId", hosts, ciphertext, nonce, key_id
        from plugin_secrets
        where org_id = $1 and name = $3 and plugin_id = (
            select plugin_id from plugin_stores where org_id = $1 and id = $2
        )
        "#,
        conn.org_id as _,
        store as _,
        name,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(row.map(|row| {
        let sealed = SealedRow {
            hosts: row.hosts,
            ciphertext: row.ciphertext,
            nonce: row.nonce,
            key_id: row.key_id,
        };
        (row.plugin_id, sealed)
    }))
}

/// Keeps a secret in place of one of that name; answers when, and whether there was none.
pub async fn upsert(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    name: &str,
    sealed: &SealedRow,
) -> Result<(OffsetDateTime, bool), DbError> {
    let row = sqlx::query!(
        r#"
        insert into plugin_secrets (org_id, plugin_id, name, hosts, ciphertext, nonce, key_id)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (org_id, plugin_id, name) do update set
            hosts = excluded.hosts,
            ciphertext = excluded.ciphertext,
            nonce = excluded.nonce,
            key_id = excluded.key_id,
            created_at = now()
        returning created_at, xmax = 0 as "is_new!"
        "#,
        conn.org_id as _,
        plugin_id as _,
        name,
        &sealed.hosts,
        &sealed.ciphertext,
        &sealed.nonce,
        sealed.key_id,
    )
    .fetch_one(&mut *conn.conn)
    .await?;
    Ok((row.created_at, row.is_new))
}

/// Whether the org's plugins have any.
pub async fn is_any(conn: &mut OrgConn<'_>) -> Result<bool, DbError> {
    sqlx::query_scalar!(
        r#"select exists (select from plugin_secrets where org_id = $1) as "any!""#,
        conn.org_id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

/// Those that are sealed under another key; whose they are, and how they are named.
pub async fn list_former(
    conn: &mut OrgConn<'_>,
    key_id: &str,
) -> Result<Vec<(PluginId, String, SealedRow)>, DbError> {
    let rows = sqlx::query!(
        r#"
        select plugin_id as "plugin_id: PluginId", name, hosts, ciphertext, nonce, key_id
        from plugin_secrets
        where org_id = $1 and key_id <> $2
        order by plugin_id, name
        "#,
        conn.org_id as _,
        key_id,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let sealed = SealedRow {
            hosts: row.hosts,
            ciphertext: row.ciphertext,
            nonce: row.nonce,
            key_id: row.key_id,
        };
        (row.plugin_id, row.name, sealed)
    });
    Ok(rows.collect())
}

/// Keeps a secret sealed anew, unless it was set or removed meanwhile, which `nonce` tells; how
/// many were kept.
pub async fn replace(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    name: &str,
    nonce: &[u8],
    sealed: &SealedRow,
) -> Result<u64, DbError> {
    let done = sqlx::query!(
        r#"
        update plugin_secrets
        set ciphertext = $5, nonce = $6, key_id = $7
        where org_id = $1 and plugin_id = $2 and name = $3 and nonce = $4
        "#,
        conn.org_id as _,
        plugin_id as _,
        name,
        nonce,
        &sealed.ciphertext,
        &sealed.nonce,
        sealed.key_id,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected())
}

pub async fn delete(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    name: &str,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "delete from plugin_secrets where org_id = $1 and plugin_id = $2 and name = $3",
        conn.org_id as _,
        plugin_id as _,
        name,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
