use std::collections::BTreeMap;

use serde_json::Value as Json;
use sqlx::types::Json as Column;
use time::OffsetDateTime;

use super::{DbError, OrgConn, canaries::Canary};
use crate::domain::{OnFault, Phase, PluginId, UserId};

/// A plugin's own settings: what its author named, as the admin filled it in.
pub type Config = BTreeMap<String, String>;

/// What a plugin may import beyond what all may: by name, with its parameters.
pub type Grants = BTreeMap<String, Json>;

/// A plugin as an org has installed it.
#[derive(Clone, Debug)]
pub struct PluginRow {
    pub id: PluginId,
    pub name: String,
    pub config: Config,
    /// Counts the changes of `config`.
    pub config_revision: i64,
    pub phase: Phase,
    pub position: i32,
    pub grants: Grants,
    pub on_fault: OnFault,
    /// The same for content that it is to validate.
    pub on_content_fault: OnFault,
    pub auto_rollback: bool,
    /// The version that decides.
    pub active_version: Option<Vec<u8>>,
    /// The one that did before.
    pub previous_version: Option<Vec<u8>>,
    pub canary: Option<Canary>,
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

/// What an admin may set when a version is activated; `None` keeps what is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    pub on_fault: Option<OnFault>,
    pub on_content_fault: Option<OnFault>,
    pub auto_rollback: Option<bool>,
}

/// The columns of a plugin, with what follows the org's condition.
macro_rules! select_plugins {
    ($rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            RawPlugin,
            r#"
            select
                id as "id: PluginId", name, config as "config: Column<Config>", config_revision,
                phase, position, grants as "grants: Column<Grants>", on_fault,
                on_content_fault, auto_rollback, active_version, previous_version,
                canary_version, canary_percent, canary_store as "canary_store: PluginId",
                canary_since, created_at, updated_at
            from plugins
            where org_id = $1 "#
                + $rest,
            $($argument),+
        )
    };
}

/// As the columns have it.
struct RawPlugin {
    id: PluginId,
    name: String,
    config: Column<Config>,
    config_revision: i64,
    phase: String,
    position: i32,
    grants: Column<Grants>,
    on_fault: String,
    on_content_fault: String,
    auto_rollback: bool,
    active_version: Option<Vec<u8>>,
    previous_version: Option<Vec<u8>>,
    canary_version: Option<Vec<u8>>,
    canary_percent: Option<i16>,
    canary_store: Option<PluginId>,
    canary_since: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl From<RawPlugin> for PluginRow {
    fn from(raw: RawPlugin) -> Self {
        Self {
            id: raw.id,
            name: raw.name,
            config: raw.config.0,
            config_revision: raw.config_revision,
            phase: Phase::stored(&raw.phase),
            position: raw.position,
            grants: raw.grants.0,
            on_fault: OnFault::stored(&raw.on_fault),
            on_content_fault: OnFault::stored(&raw.on_content_fault),
            auto_rollback: raw.auto_rollback,
            active_version: raw.active_version,
            previous_version: raw.previous_version,
            canary: Canary::stored(
                raw.canary_version,
                raw.canary_percent,
                raw.canary_store.zip(raw.canary_since),
            ),
            created_at: raw.created_at,
            updated_at: raw.updated_at,
        }
    }
}

/// In the order in which they are asked.
pub async fn list(conn: &mut OrgConn<'_>) -> Result<Vec<PluginRow>, DbError> {
    let rows =
        select_plugins!("order by phase = 'guard', position, created_at, id", conn.org_id as _,)
            .fetch_all(&mut *conn.conn)
            .await?;
    Ok(rows.into_iter().map(PluginRow::from).collect())
}

/// One plugin, locked for a change.
pub async fn lock(conn: &mut OrgConn<'_>, name: &str) -> Result<Option<PluginRow>, DbError> {
    let row = select_plugins!("and name = $2 for update", conn.org_id as _, name)
        .fetch_optional(&mut *conn.conn)
        .await?;
    Ok(row.map(PluginRow::from))
}

/// What the check of one version found.
pub async fn find_report(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    sha256: &[u8],
) -> Result<Option<Json>, DbError> {
    sqlx::query_scalar!(
        r#"
        select report
        from plugin_versions
        where org_id = $1 and plugin_id = $2 and sha256 = $3
        "#,
        conn.org_id as _,
        plugin_id as _,
        sha256,
    )
    .fetch_optional(&mut *conn.conn)
    .await
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

/// The plugin of that name, locked; made where there is none, the last of its phase.
pub async fn upsert(conn: &mut OrgConn<'_>, name: &str) -> Result<PluginId, DbError> {
    sqlx::query_scalar!(
        r#"
        with plugin as (
            insert into plugins (org_id, id, name, position)
            select $1, $2, $3, coalesce(max(position), 0) + 1
            from plugins
            where org_id = $1 and phase = 'transform' and position < 1000000
            on conflict on constraint plugins_name_key do update set updated_at = now()
            returning org_id, id
        ),
        store as (
            insert into plugin_stores (org_id, id, plugin_id)
            select org_id, id, id
            from plugin
            on conflict do nothing
        )
        select id as "id!: PluginId"
        from plugin
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
        on conflict (org_id, plugin_id, sha256) do update
        set created_at = now(), report = excluded.report
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

/// Replaces a plugin's configuration, and counts that.
pub async fn update_config(
    conn: &mut OrgConn<'_>,
    id: PluginId,
    config: &Config,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update plugins
        set config = $3, config_revision = config_revision + 1, updated_at = now()
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        Column(config) as _,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(())
}

pub async fn update_order(
    conn: &mut OrgConn<'_>,
    id: PluginId,
    phase: Phase,
    position: i32,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update plugins
        set phase = $3, position = $4, updated_at = now()
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        phase.as_str(),
        position,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(())
}

pub async fn update_grants(
    conn: &mut OrgConn<'_>,
    id: PluginId,
    grants: &Grants,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update plugins
        set grants = $3, updated_at = now()
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        Column(grants) as _,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(())
}

/// Makes a version the one that decides, or none. The one that did is remembered.
pub async fn update_active(
    conn: &mut OrgConn<'_>,
    id: PluginId,
    version: Option<&[u8]>,
    terms: Terms,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update plugins
        set
            active_version = $3,
            previous_version = case
                when active_version is distinct from $3 then coalesce(active_version, previous_version)
                else previous_version
            end,
            on_fault = coalesce($4, on_fault),
            auto_rollback = coalesce($5, auto_rollback),
            on_content_fault = coalesce($6, on_content_fault),
            updated_at = now()
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        id as _,
        version,
        terms.on_fault.map(OnFault::as_str),
        terms.auto_rollback,
        terms.on_content_fault.map(OnFault::as_str),
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(())
}

/// Goes back to the previous version where an admin chose that and `failing` still decides;
/// whether it did. There is no way forth again: what failed is not gone back to by itself.
pub async fn update_rolled_back(
    conn: &mut OrgConn<'_>,
    id: PluginId,
    failing: &[u8],
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        r#"
        update plugins
        set active_version = previous_version, previous_version = null, updated_at = now()
        where
            org_id = $1 and id = $2 and active_version = $3
            and auto_rollback and previous_version is not null
        "#,
        conn.org_id as _,
        id as _,
        failing,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub async fn delete(conn: &mut OrgConn<'_>, id: PluginId) -> Result<(), DbError> {
    sqlx::query!("delete from plugins where org_id = $1 and id = $2", conn.org_id as _, id as _,)
        .execute(&mut *conn.conn)
        .await?;
    Ok(())
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
