use time::OffsetDateTime;

use super::{Db, DbError, OrgConn};
use crate::domain::{Algorithm, Fingerprint, KeyId, KeyKind, OrgId, OrgKey};

struct KeyRow {
    id: KeyId,
    kind: String,
    algorithm: Option<String>,
    kid: Option<String>,
    material: Vec<u8>,
    fingerprint: Vec<u8>,
    issuer: Option<String>,
    audience: Option<String>,
    may_admin: bool,
    not_before: Option<OffsetDateTime>,
    not_after: Option<OffsetDateTime>,
    retired_at: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
}

impl KeyRow {
    fn into_key(self, org_id: OrgId) -> Result<OrgKey, DbError> {
        let broken = |what: &str| DbError::Decode(format!("key {}: {what}", self.id).into());
        let algorithm = self
            .algorithm
            .as_deref()
            .map(Algorithm::parse)
            .transpose()
            .map_err(|_| broken("unknown algorithm"))?;
        let fingerprint: Fingerprint = self
            .fingerprint
            .as_slice()
            .try_into()
            .map_err(|_| broken("fingerprint of another length"))?;
        Ok(OrgKey {
            id: self.id,
            org_id,
            kind: KeyKind::stored(&self.kind),
            algorithm,
            kid: self.kid,
            material: self.material,
            fingerprint,
            issuer: self.issuer,
            audience: self.audience,
            may_admin: self.may_admin,
            not_before: self.not_before,
            not_after: self.not_after,
            retired_at: self.retired_at,
            created_at: self.created_at,
        })
    }
}

/// Every key of the org, retired ones too, oldest first.
pub async fn list(conn: &mut OrgConn<'_>) -> Result<Vec<OrgKey>, DbError> {
    let rows = sqlx::query_as!(
        KeyRow,
        r#"
        select
            id as "id: KeyId", kind, algorithm, kid, material, fingerprint, issuer, audience,
            may_admin, not_before, not_after, retired_at, created_at
        from org_keys
        where org_id = $1
        order by created_at, id
        "#,
        conn.org_id as _,
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    rows.into_iter().map(|row| row.into_key(conn.org_id)).collect()
}

pub async fn insert(conn: &mut OrgConn<'_>, key: &OrgKey) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        insert into org_keys
            (org_id, id, kind, algorithm, kid, material, fingerprint, issuer, audience,
             may_admin, not_before, not_after, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        "#,
        conn.org_id as _,
        key.id as _,
        key.kind.as_str(),
        key.algorithm.map(Algorithm::as_str),
        key.kid,
        key.material,
        &key.fingerprint[..],
        key.issuer,
        key.audience,
        key.may_admin,
        key.not_before,
        key.not_after,
        key.created_at,
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// Ends a key now; whether there was one that had not ended.
pub async fn retire(conn: &mut OrgConn<'_>, id: KeyId) -> Result<bool, DbError> {
    let done = sqlx::query!(
        r#"
        update org_keys
        set retired_at = now()
        where org_id = $1 and id = $2 and retired_at is null
        "#,
        conn.org_id as _,
        id as _,
    )
    .execute(&mut *conn.conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Remembers which keys were seen behind JWKS addresses, so that shared ones are known.
pub async fn replace_jwks(
    conn: &mut OrgConn<'_>,
    seen: &[(KeyId, Fingerprint)],
) -> Result<(), DbError> {
    let key_ids: Vec<KeyId> = seen.iter().map(|(id, _)| *id).collect();
    let fingerprints: Vec<&[u8]> = seen.iter().map(|(_, fingerprint)| &fingerprint[..]).collect();
    sqlx::query!(
        r#"
        with seen as (
            select * from unnest($2::uuid[], $3::bytea[]) as row (key_id, fingerprint)
        ),
        gone as (
            delete from jwks_keys
            where org_id = $1
                and key_id in (select key_id from seen)
                and (key_id, fingerprint) not in (select key_id, fingerprint from seen)
        )
        insert into jwks_keys (org_id, key_id, fingerprint)
        select $1, key_id, fingerprint from seen
        on conflict do nothing
        "#,
        conn.org_id as _,
        &key_ids as &[KeyId],
        &fingerprints as &[&[u8]],
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}

/// The orgs that hold this key material, of their own or behind a JWKS address.
pub async fn list_holders(db: &Db, fingerprint: &Fingerprint) -> Result<Vec<OrgId>, DbError> {
    sqlx::query_scalar!(
        r#"
        select org_id as "org_id!: OrgId" from org_keys where fingerprint = $1
        union
        select org_id from jwks_keys where fingerprint = $1
        "#,
        &fingerprint[..],
    )
    .fetch_all(&mut *db.any().await?)
    .await
}
