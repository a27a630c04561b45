//! What operators do: orgs, their keys, and who their people are. The command line and
//! `/admin/orgs` call the same methods.

use std::{borrow::Cow, sync::Arc, time::Duration};

use moka::future::Cache;
use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use super::registry::{Registry, patch};
use crate::{
    Error, Result,
    auth::{self, MintClaims, NewKey},
    db::{self, Db, OrgTx, audit, keys, orgs, orgs::OrgRow, users},
    domain::{Actor, Email, InvalidField, KeyId, KeyKind, Org, OrgId, OrgKey, OrgSlug},
};

/// An org as its operator sees it.
pub struct OrgEntry {
    pub org: Org,
    pub created_at: OffsetDateTime,
}

/// What changes about an org; a field that is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct OrgChange {
    /// Who asks for it.
    pub by: Actor,
    pub name: Option<String>,
    /// A merge patch (RFC 7396): `null` takes a setting back to the server's default.
    pub settings: Option<Json>,
    pub suspended: Option<bool>,
}

#[derive(Clone)]
pub struct Operator {
    db: Db,
    registry: Registry,
    origins: Cache<(), Arc<Vec<String>>>,
}

impl Operator {
    pub fn new(db: Db, registry: Registry) -> Self {
        let origins = Cache::builder().time_to_live(Duration::from_secs(5)).build();
        Self { db, registry, origins }
    }

    pub async fn create_org(
        &self,
        slug: &OrgSlug,
        name: Option<&str>,
        settings: Option<&Json>,
    ) -> Result<OrgEntry> {
        let name = check_name(name.unwrap_or(slug.as_str()))?;
        let mut own = json!({});
        patch(&mut own, settings.unwrap_or(&Json::Null));
        let own = if own.is_object() { own } else { json!({}) };
        self.registry.settings(&own)?;
        let row = match orgs::insert(&self.db, OrgId::new(), slug.as_str(), name, &own).await {
            Err(error) if db::violates(&error, orgs::SLUG_KEY) => {
                return Err(Error::Conflict(format!("there is an org {slug} already")));
            }
            row => row?,
        };
        self.registry.forget(row.id).await;
        self.entry(row)
    }

    pub async fn list_orgs(&self) -> Result<Vec<OrgEntry>> {
        let rows = orgs::list(&self.db).await?;
        rows.into_iter().map(|row| self.entry(row)).collect()
    }

    pub async fn load_org(&self, slug: &str) -> Result<OrgEntry> {
        let row = self.row(slug).await?;
        self.entry(row)
    }

    pub async fn change_org(&self, slug: &str, change: &OrgChange) -> Result<OrgEntry> {
        let name = change.name.as_deref().map(check_name).transpose()?;
        let mut tx = self.begin(slug).await?;
        let mut own = orgs::lock_settings(&mut tx.conn()).await?;
        if let Some(change) = &change.settings {
            if !change.is_object() {
                return Err(Error::invalid("settings", "must be an object"));
            }
            patch(&mut own, change);
            self.registry.settings(&own)?;
        }
        orgs::update(&mut tx.conn(), name, &own).await?;
        if let Some(suspended) = change.suspended {
            orgs::update_suspended(&mut tx.conn(), suspended).await?;
        }
        for (action, detail) in change.deeds() {
            audit::insert(&mut tx.conn(), change.by, action, slug, &detail).await?;
        }
        self.commit(tx).await?;
        self.load_org(slug).await
    }

    /// The browser origins that any org names. Asked by strangers: looked up every few
    /// seconds at most, or after a change made here.
    pub async fn list_origins(&self) -> Result<Arc<Vec<String>>> {
        let look_up = async { orgs::list_origins(&self.db).await.map(Arc::new) };
        self.origins
            .try_get_with((), look_up)
            .await
            .map_err(|error: Arc<db::DbError>| Error::unavailable(error))
    }

    pub async fn add_key(&self, slug: &str, key: NewKey) -> Result<OrgKey> {
        let org = self.load_org(slug).await?;
        let key = key.parse(org.org.id, OffsetDateTime::now_utc())?;
        let mut tx = self.db.begin(org.org.id).await?;
        keys::insert(&mut tx.conn(), &key).await?;
        note(&mut tx, "key.add", &key.id.to_string(), &described(&key)).await?;
        self.commit(tx).await?;
        // Whoever holds the same key must see that it is shared now.
        for holder in keys::list_holders(&self.db, &key.fingerprint).await? {
            if holder != org.org.id {
                self.commit(self.db.begin(holder).await?).await?;
            }
        }
        Ok(key)
    }

    pub async fn list_keys(&self, slug: &str) -> Result<Vec<OrgKey>> {
        let org = self.load_org(slug).await?;
        let mut handle = self.db.org(org.org.id).await?;
        Ok(keys::list(&mut handle.conn()).await?)
    }

    /// Ends a key at once; sockets that it vouched for are closed.
    pub async fn retire_key(&self, slug: &str, id: KeyId) -> Result<()> {
        let mut tx = self.begin(slug).await?;
        if !keys::retire(&mut tx.conn(), id).await? {
            return Err(Error::NotFound(Cow::Borrowed(
                "a key of that id that has not been retired",
            )));
        }
        note(&mut tx, "key.retire", &id.to_string(), &json!({})).await?;
        self.commit(tx).await
    }

    /// Gives an e-mail, with all its messages, to another subject; an e-mail that the subject
    /// had before stays with its messages, and is free.
    pub async fn rebind(
        &self,
        slug: &str,
        email: &Email,
        issuer: &str,
        subject: &str,
    ) -> Result<()> {
        if subject.is_empty() || subject.len() > 1024 || issuer.len() > 1024 {
            return Err(Error::invalid("subject", "must be 1 to 1024 bytes, issuer at most 1024"));
        }
        if [issuer, subject].iter().any(|text| text.contains('\0')) {
            return Err(Error::invalid("subject", "and issuer must not contain U+0000"));
        }
        if email.is_reserved() {
            return Err(Error::invalid("email", "must not be the bot's: nobody signs in as it"));
        }
        let mut tx = self.begin(slug).await?;
        users::unbind(&mut tx.conn(), email, issuer, subject).await?;
        let user = match users::rebind(&mut tx.conn(), email, issuer, subject).await {
            Err(error) if db::violates(&error, users::SUBJECT_KEY) => {
                return Err(Error::Conflict("that subject is bound to another e-mail".into()));
            }
            done => done?.ok_or(Error::NotFound(Cow::Borrowed("a person with that e-mail")))?,
        };
        let detail = json!({ "issuer": issuer, "subject": subject });
        note(&mut tx, "user.rebind", &user.to_string(), &detail).await?;
        self.commit(tx).await
    }

    /// Refuses all tokens issued until now: of one person, or of everyone in the org.
    pub async fn revoke(&self, slug: &str, email: Option<&Email>) -> Result<()> {
        let mut tx = self.begin(slug).await?;
        let (action, whose) = if let Some(email) = email {
            let user = users::revoke_tokens(&mut tx.conn(), email).await?;
            let user = user.ok_or(Error::NotFound(Cow::Borrowed("a person with that e-mail")))?;
            ("user.revoke", user.to_string())
        } else {
            orgs::revoke_tokens(&mut tx.conn()).await?;
            ("org.revoke", slug.to_owned())
        };
        note(&mut tx, action, &whose, &json!({})).await?;
        self.commit(tx).await
    }

    /// Signs a token for trying things out, with the newest secret that may.
    pub async fn mint(&self, slug: &str, claims: MintClaims) -> Result<String> {
        let now = OffsetDateTime::now_utc();
        let mut able = self.list_keys(slug).await?;
        able.retain(|key| {
            key.kind == KeyKind::Secret && key.usable_at(now) && (key.may_admin || !claims.admin)
        });
        // A token that need not be able to administer is signed by a key that cannot vouch for it.
        able.sort_by_key(|key| (key.may_admin != claims.admin, std::cmp::Reverse(key.created_at)));
        let key = able.first().ok_or_else(|| {
            Error::invalid(
                "key",
                "is missing: this org has no usable secret for that; see `duologue key add --help`",
            )
        })?;
        auth::mint(key, &claims)
    }

    async fn begin(&self, slug: &str) -> Result<OrgTx> {
        let row = self.row(slug).await?;
        Ok(self.db.begin(row.id).await?)
    }

    async fn row(&self, slug: &str) -> Result<OrgRow> {
        let unknown = || Error::NotFound(format!("the org {slug}").into());
        // What cannot be a name is none; the database would not take every text.
        OrgSlug::parse(slug).map_err(|_| unknown())?;
        orgs::find_by_slug(&self.db, slug).await?.ok_or_else(unknown)
    }

    /// Commits a change of an org and tells every server; this one goes by it at once.
    async fn commit(&self, mut tx: OrgTx) -> Result<()> {
        let org_id = tx.org_id();
        orgs::touch(&mut tx.conn()).await?;
        tx.commit().await?;
        self.registry.forget(org_id).await;
        self.origins.invalidate(&()).await;
        Ok(())
    }

    fn entry(&self, row: OrgRow) -> Result<OrgEntry> {
        let created_at = row.created_at;
        Ok(OrgEntry { org: self.registry.org(row)?, created_at })
    }
}

impl OrgChange {
    /// What the audit log says of it.
    fn deeds(&self) -> impl Iterator<Item = (&'static str, Json)> {
        let renamed = self.name.as_ref().map(|name| ("org.rename", json!({ "name": name })));
        let changed = self.settings.as_ref().map(|change| ("settings.change", change.clone()));
        let suspended = self
            .suspended
            .map(|suspended| (if suspended { "org.suspend" } else { "org.resume" }, json!({})));
        [renamed, changed, suspended].into_iter().flatten()
    }
}

/// Notes in an org's audit log what its operator did.
async fn note(tx: &mut OrgTx, action: &str, subject: &str, detail: &Json) -> Result<()> {
    Ok(audit::insert(&mut tx.conn(), Actor::Operator, action, subject, detail).await?)
}

/// A key without what it is made of.
fn described(key: &OrgKey) -> Json {
    json!({
        "kind": key.kind,
        "kid": key.kid,
        "algorithm": key.algorithm,
        "mayAdmin": key.may_admin,
    })
}

fn check_name(name: &str) -> Result<&str, InvalidField> {
    let valid = (1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    valid.then_some(name).ok_or_else(|| InvalidField::new("name", "must be 1 to 200 characters"))
}
