//! What plugins are to be told of: an outbox, filled in the transaction of what happened.

use std::time::Duration;

use serde_json::{Value as Json, json};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{Db, DbError, OrgConn, held::millis};
use crate::domain::{EventId, Happening, OrgId, PluginId};

/// Something that one plugin is to be told of.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub org_id: OrgId,
    pub plugin_id: PluginId,
    pub what: Happening,
    pub depth: i16,
}

/// The same on its way to the plugin.
#[derive(Clone, Debug)]
pub struct DueEvent {
    pub id: EventId,
    pub plugin_id: PluginId,
    /// A [`Happening`], or what a newer server made of one.
    pub what: Json,
    pub depth: i16,
    pub at: OffsetDateTime,
    /// 1 for the first time. Names this attempt: a later one makes it none of ours.
    pub attempts: i32,
}

/// Stores events, but none of an org of which `most` wait already: the orgs that had no room.
pub(super) async fn insert_rows(
    conn: &mut PgConnection,
    events: &[NewEvent],
    most: i64,
) -> Result<Vec<OrgId>, DbError> {
    let rows = events.iter().map(|event| {
        json!({
            "org_id": event.org_id,
            "id": EventId::new(),
            "plugin_id": event.plugin_id,
            "what": event.what,
            "depth": event.depth,
        })
    });
    sqlx::query_scalar!(
        r#"
        with fresh as materialized (
            select *
            from jsonb_to_recordset($1) as row (
                org_id uuid, id uuid, plugin_id uuid, what jsonb, depth smallint
            )
        ),
        crowded as materialized (
            select named.org_id
            from (select distinct org_id from fresh) as named
            where (
                select count(*) from (
                    select from plugin_events as waiting
                    where waiting.org_id = named.org_id
                    limit $2
                ) as nearest
            ) >= $2
        ),
        stored as (
            insert into plugin_events (org_id, id, plugin_id, what, depth)
            select org_id, id, plugin_id, what, depth
            from fresh
            where not exists (select from crowded where crowded.org_id = fresh.org_id)
        )
        select org_id as "org_id!: OrgId"
        from crowded
        "#,
        json!(rows.collect::<Vec<_>>()),
        most,
    )
    .fetch_all(conn)
    .await
}

/// The same for one org; whether it had room.
pub async fn insert(
    conn: &mut OrgConn<'_>,
    events: &[NewEvent],
    most: i64,
) -> Result<bool, DbError> {
    Ok(insert_rows(conn.conn, events, most).await?.is_empty())
}

struct DueOrg {
    org_id: OrgId,
    slug: String,
}

macro_rules! select_due {
    ($which:literal $(, $argument:expr)*) => {
        sqlx::query_as!(
            DueOrg,
            r#"
            select org_id as "org_id: OrgId", slug
            from orgs
            where suspended_at is null and exists (
                select from plugin_events as event
                where event.org_id = orgs.org_id and due_at <= now()
            )
            "# + $which
            $(, $argument)*
        )
    };
}

/// The orgs in which something is to be told by now, and their public names; of one alone, if it
/// is named.
pub async fn list_due_orgs(db: &Db, org: Option<OrgId>) -> Result<Vec<(OrgId, String)>, DbError> {
    let mut conn = db.any().await?;
    let rows = match org {
        Some(org) => select_due!("and org_id = $1", org as _).fetch_all(&mut *conn).await?,
        None => select_due!("").fetch_all(&mut *conn).await?,
    };
    Ok(rows.into_iter().map(|row| (row.org_id, row.slug)).collect())
}

/// Takes on what has been due the longest. No other server tells it for as long as `lease`.
pub async fn claim(
    conn: &mut OrgConn<'_>,
    lease: Duration,
    limit: i64,
) -> Result<Vec<DueEvent>, DbError> {
    sqlx::query_as!(
        DueEvent,
        r#"
        with due as materialized (
            select id
            from plugin_events
            where org_id = $1 and due_at <= now()
            order by due_at
            limit $3
            for update skip locked
        )
        update plugin_events as event
        set due_at = now() + $2::bigint * interval '1 millisecond', attempts = attempts + 1
        from due
        where event.org_id = $1 and event.id = due.id
        returning
            event.id as "id: EventId", plugin_id as "plugin_id: PluginId",
            what, depth, at, attempts
        "#,
        conn.org_id as _,
        millis(lease),
        limit,
    )
    .fetch_all(&mut *conn.conn)
    .await
}

/// Has it told again after a pause; with `uncounted` as if this attempt had not been. Whether it
/// was still to be told.
pub async fn put_off(
    conn: &mut OrgConn<'_>,
    event: &DueEvent,
    pause: Duration,
    uncounted: bool,
) -> Result<bool, DbError> {
    let done = sqlx::query!(
        r#"
        update plugin_events
        set due_at = now() + $4::bigint * interval '1 millisecond', attempts = attempts - $5
        where org_id = $1 and id = $2 and attempts = $3
        "#,
        conn.org_id as _,
        event.id as _,
        event.attempts,
        millis(pause),
        i32::from(uncounted),
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The plugin has been told, or never will be.
pub async fn delete(conn: &mut OrgConn<'_>, id: EventId) -> Result<(), DbError> {
    sqlx::query!(
        "delete from plugin_events where org_id = $1 and id = $2",
        conn.org_id as _,
        id as _,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Removes what nobody is to be told of any more, because the plugin is gone or disabled or its
/// active version does not listen to that.
pub async fn delete_unheard(conn: &mut OrgConn<'_>) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        delete from plugin_events as event
        where org_id = $1 and not exists (
            select
            from plugins
            join plugin_versions as version
                on version.org_id = plugins.org_id
                and version.plugin_id = plugins.id
                and version.sha256 = plugins.active_version
            where plugins.org_id = $1
                and plugins.id = event.plugin_id
                and version.report -> 'events' ? (event.what ->> 'kind')
        )
        "#,
        conn.org_id as _,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}
