use std::collections::BTreeMap;

use serde_json::Value as Json;
use sqlx::types::Json as Column;
use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::{OnFault, PluginId, UserId};

/// A plugin's own settings: what its author named, as the admin filled it in.
pub type Config = BTreeMap<String, String>;

/// A plugin as an org has installed it.
pub struct PluginRow {
    pub id: PluginId,
    pub name: String,
    pub config: Config,
    pub on_fault: OnFault,
    pub active_version: Option<Vec<u8>>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// What was uploaded, without the component itself.
pub struct VersionRow {
    pub plugin_id: PluginId,
    pub sha256: Vec<u8>,
    pub report: Json,
    pub uploaded_by: UserId,
    pub created_at: OffsetDateTime,
}

/// A version that decides messages, with all that it takes to run it.
pub struct ActiveRow {
    pub id: PluginId,
    pub name: String,
    pub config: Column<Config>,
    pub on_fault: String,
    pub sha256: Vec<u8>,
    pub created_at: OffsetDateTime,
}

pub fn parse_on_fault(text: &str) -> OnFault {
    // The column's check constraint admits nothing else.
    if text == "allow" { OnFault::Allow } else { OnFault::Reject }
}

fn on_fault_text(on_fault: OnFault) -> &'static str {
    match on_fault {
        OnFault::Allow => "allow",
        OnFault::Reject => "reject",
    }
}

pub async fn list(conn: &mut OrgConn<'_>) -> Result<Vec<PluginRow>, DbError> {
    let rows = sqlx::query!(
        r#"
        select
            id as "id: PluginId", name, config as "config: Column<Config>", on_fault,
            active_version, created_at, updated_at
        from plugins
        where org_id = $1
        order by created_at, id
        "#,
        conn.org_id as _,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let plugins = rows.into_iter().map(|row| PluginRow {
        id: row.id,
        name: row.name,
        config: row.config.0,
        on_fault: parse_on_fault(&row.on_fault),
        active_version: row.active_version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    Ok(plugins.collect())
}

/// Every version of every plugin of the org, newest first.
pub async fn list_versions(conn: &mut OrgConn<'_>) -> Result<Vec<VersionRow>, DbError> {
    sqlx::query_as!(
        VersionRow,
        r#"
        select
            plugin_id as "plugin_id: PluginId", sha256, report,
            uploaded_by as "uploaded_by: UserId", created_at
        from plugin_versions
        where org_id = $1
        order by created_at desc, sha256
        "#,
        conn.org_id as _,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// The plugin of that name, made where there is none, locked.
pub async fn upsert(conn: &mut OrgConn<'_>, name: &str) -> Result<PluginId, DbError> {
    sqlx::query_scalar!(
        r#"
        insert into plugins (org_id, id, name)
        values ($1, $2, $3)
        on conflict on constraint plugins_name_key do update set updated_at = now()
        returning id as "id: PluginId"
        "#,
        conn.org_id as _,
        PluginId::new() as _,
        name,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

/// Keeps an upload, the newest now also if it had been uploaded before; whether it is new.
pub async fn insert_version(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    sha256: &[u8],
    component: &[u8],
    checked: (&Json, UserId),
) -> Result<bool, DbError> {
    let (report, uploaded_by) = checked;
    sqlx::query_scalar!(
        r#"
        insert into plugin_versions (org_id, plugin_id, sha256, component, report, uploaded_by)
        values ($1, $2, $3, $4, $5, $6)
        on conflict (org_id, plugin_id, sha256) do update set created_at = now()
        returning xmax = 0 as "is_new!"
        "#,
        conn.org_id as _,
        plugin_id as _,
        sha256,
        component,
        report,
        uploaded_by as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

pub async fn update_config(
    conn: &mut OrgConn<'_>,
    name: &str,
    config: &Config,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        r#"
        update plugins
        set config = $3, updated_at = now()
        where org_id = $1 and name = $2
        "#,
        conn.org_id as _,
        name,
        Column(config) as _,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes a version the one that decides, or none; keeps the fault policy where none is given.
pub async fn update_active(
    conn: &mut OrgConn<'_>,
    name: &str,
    version: Option<&[u8]>,
    on_fault: Option<OnFault>,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        r#"
        update plugins
        set active_version = $3, on_fault = coalesce($4, on_fault), updated_at = now()
        where org_id = $1 and name = $2
        "#,
        conn.org_id as _,
        name,
        version,
        on_fault.map(on_fault_text),
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn delete(conn: &mut OrgConn<'_>, name: &str) -> Result<bool, DbError> {
    let done = sqlx::query!(
        "delete from plugins where org_id = $1 and name = $2",
        conn.org_id as _,
        name,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The versions that decide, in the order in which they are asked.
pub async fn list_active(conn: &mut OrgConn<'_>) -> Result<Vec<ActiveRow>, DbError> {
    sqlx::query_as!(
        ActiveRow,
        r#"
        select
            id as "id: PluginId", name, config as "config: Column<Config>", on_fault,
            active_version as "sha256!", created_at
        from plugins
        where org_id = $1 and active_version is not null
        order by created_at, id
        "#,
        conn.org_id as _,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// The bytes of one version.
pub async fn load_component(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    sha256: &[u8],
) -> Result<Vec<u8>, DbError> {
    sqlx::query_scalar!(
        r#"
        select component
        from plugin_versions
        where org_id = $1 and plugin_id = $2 and sha256 = $3
        "#,
        conn.org_id as _,
        plugin_id as _,
        sha256,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

/// The plugin of that name, locked against its removal and against others who do so.
pub async fn lock_id(conn: &mut OrgConn<'_>, name: &str) -> Result<Option<PluginId>, DbError> {
    sqlx::query_scalar!(
        r#"
        select id as "id: PluginId"
        from plugins
        where org_id = $1 and name = $2
        for no key update
        "#,
        conn.org_id as _,
        name,
    )
    .fetch_optional(&mut *conn.conn)
    .await
}
