use serde_json::Value as Json;
use time::OffsetDateTime;

use super::{Db, DbError, OrgConn};
use crate::domain::OrgId;

/// An org as stored: its settings are only what it changed.
pub struct OrgRow {
    pub id: OrgId,
    pub slug: String,
    pub name: String,
    pub settings: Json,
    pub revision: i64,
    pub suspended_at: Option<OffsetDateTime>,
    pub tokens_valid_from: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
}

/// The name of the constraint that keeps public names apart.
pub const SLUG_KEY: &str = "orgs_slug_key";

pub async fn insert(
    db: &Db,
    id: OrgId,
    slug: &str,
    name: &str,
    settings: &Json,
) -> Result<OrgRow, DbError> {
    sqlx::query_as!(
        OrgRow,
        r#"
        insert into orgs (org_id, slug, name, settings)
        values ($1, $2, $3, $4)
        returning
            org_id as "id: OrgId", slug, name, settings, revision,
            suspended_at, tokens_valid_from, created_at
        "#,
        id as _,
        slug,
        name,
        settings,
    )
    .fetch_one(&mut *db.any().await?)
    .await
}

pub async fn find_by_slug(db: &Db, slug: &str) -> Result<Option<OrgRow>, DbError> {
    sqlx::query_as!(
        OrgRow,
        r#"
        select
            org_id as "id: OrgId", slug, name, settings, revision,
            suspended_at, tokens_valid_from, created_at
        from orgs
        where slug = $1
        "#,
        slug,
    )
    .fetch_optional(&mut *db.any().await?)
    .await
}

pub async fn list(db: &Db) -> Result<Vec<OrgRow>, DbError> {
    sqlx::query_as!(
        OrgRow,
        r#"
        select
            org_id as "id: OrgId", slug, name, settings, revision,
            suspended_at, tokens_valid_from, created_at
        from orgs
        order by slug
        "#,
    )
    .fetch_all(&mut *db.any().await?)
    .await
}

/// Every org's revision, to see what changed elsewhere.
pub async fn list_revisions(db: &Db) -> Result<Vec<(OrgId, i64)>, DbError> {
    let rows = sqlx::query!(r#"select org_id as "id: OrgId", revision from orgs"#)
        .fetch_all(&mut *db.any().await?)
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.revision)).collect())
}

/// The origins that any org names, for answers to preflights, which say no org.
pub async fn list_origins(db: &Db) -> Result<Vec<String>, DbError> {
    sqlx::query_scalar!(
        r#"
        select distinct jsonb_array_elements_text(settings -> 'origins') as "origin!"
        from orgs
        where jsonb_typeof(settings -> 'origins') = 'array'
        "#,
    )
    .fetch_all(&mut *db.any().await?)
    .await
}

/// Locks the org's row and reads its settings, for a change that builds on them.
pub async fn lock_settings(conn: &mut OrgConn<'_>) -> Result<Json, DbError> {
    sqlx::query_scalar!(
        r#"
        select settings
        from orgs
        where org_id = $1
        for update
        "#,
        conn.org_id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
}

pub async fn update(
    conn: &mut OrgConn<'_>,
    name: Option<&str>,
    settings: &Json,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update orgs
        set name = coalesce($2, name), settings = $3
        where org_id = $1
        "#,
        conn.org_id as _,
        name,
        settings,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

pub async fn update_suspended(conn: &mut OrgConn<'_>, suspended: bool) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update orgs
        set suspended_at = case when $2 then coalesce(suspended_at, now()) end
        where org_id = $1
        "#,
        conn.org_id as _,
        suspended,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// From now on tokens that were issued before are refused, for everyone in the org.
pub async fn revoke_tokens(conn: &mut OrgConn<'_>) -> Result<(), DbError> {
    sqlx::query!("update orgs set tokens_valid_from = now() where org_id = $1", conn.org_id as _,)
        .execute(&mut *conn.conn)
        .await
        .map(drop)
}

/// Lets one at a time, until the transaction ends, decide what concerns all of the org's plugins.
/// Whoever needs a plugin's row as well takes that one first.
pub async fn lock(conn: &mut OrgConn<'_>) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        select revision
        from orgs
        where org_id = $1
        for no key update
        "#,
        conn.org_id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
    .map(drop)
}

/// Tells every server, once the transaction commits, that the org has changed.
///
/// The notice is a hint and goes only with rare changes, never with a message; the revision
/// is what a server that missed it will see.
pub async fn touch(conn: &mut OrgConn<'_>) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        with touched as (
            update orgs set revision = revision + 1 where org_id = $1 returning org_id
        )
        select pg_notify('duologue_orgs', org_id::text) as "sent" from touched
        "#,
        conn.org_id as _,
    )
    .fetch_one(&mut *conn.conn)
    .await
    .map(drop)
}
