//! What operators and org admins send and get.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::message::time_text;
use crate::{
    Error, Result,
    domain::{
        Actor, Algorithm, Email, InvalidField, KeyId, KeyKind, OrgId, OrgKey, OrgSettings, OrgSlug,
    },
    service::{NewKey, OrgChange, OrgEntry},
};

/// A new org, or a change of one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrgRequest {
    pub org_id: Option<String>,
    pub name: Option<String>,
    pub settings: Option<Json>,
    pub suspended: Option<bool>,
}

impl OrgRequest {
    pub fn slug(&self) -> Result<OrgSlug> {
        let text = self.org_id.as_deref().unwrap_or_default();
        OrgSlug::parse(text).map_err(|error| Error::invalid("orgId", error.to_string()))
    }

    /// The org's public name is for good.
    pub fn into_change(self) -> Result<OrgChange> {
        if self.org_id.is_some() {
            return Err(Error::invalid("orgId", "cannot be changed"));
        }
        Ok(OrgChange {
            by: Actor::Operator,
            name: self.name,
            settings: self.settings,
            suspended: self.suspended,
        })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrgView {
    /// The public name, as clients give it.
    org_id: String,
    id: OrgId,
    name: String,
    suspended: bool,
    settings: OrgSettings,
    created_at: String,
}

impl From<OrgEntry> for OrgView {
    fn from(entry: OrgEntry) -> Self {
        Self {
            org_id: entry.org.slug.as_str().to_owned(),
            id: entry.org.id,
            name: entry.org.name,
            suspended: entry.org.suspended,
            settings: entry.org.settings,
            created_at: time_text(entry.created_at),
        }
    }
}

/// A new key: one of `secret`, `pem` and `jwks`; none of them asks for a random secret.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyRequest {
    pub secret: Option<String>,
    pub pem: Option<String>,
    pub jwks: Option<String>,
    pub algorithm: Option<String>,
    pub kid: Option<String>,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    #[serde(default)]
    pub may_admin: bool,
    #[serde(default)]
    pub allow_short: bool,
    pub not_before: Option<String>,
    pub not_after: Option<String>,
}

impl KeyRequest {
    /// The key, and its secret where it was made up here.
    pub fn into_key(self) -> Result<(NewKey, Option<String>)> {
        let given = [&self.secret, &self.pem, &self.jwks];
        if given.iter().filter(|material| material.is_some()).count() > 1 {
            return Err(Error::invalid("secret", "pem and jwks exclude each other"));
        }
        let mut made_up = None;
        let (kind, material) = match (self.secret, self.pem, self.jwks) {
            (Some(secret), _, _) => (KeyKind::Secret, secret),
            (_, Some(pem), _) => (KeyKind::Public, pem),
            (_, _, Some(url)) => (KeyKind::Jwks, url),
            _ => {
                let secret = random_secret()?;
                made_up = Some(secret.clone());
                (KeyKind::Secret, secret)
            }
        };
        let algorithm = self.algorithm.as_deref().map(Algorithm::parse).transpose();
        let key = NewKey {
            allow_short: self.allow_short,
            algorithm: algorithm.map_err(|error| Error::invalid("algorithm", error.to_string()))?,
            kid: self.kid,
            issuer: self.issuer,
            audience: self.audience,
            may_admin: self.may_admin,
            not_before: parse_time("notBefore", self.not_before.as_deref())?,
            not_after: parse_time("notAfter", self.not_after.as_deref())?,
            ..NewKey::new(kind, material)
        };
        Ok((key, made_up))
    }
}

fn parse_time(field: &str, text: Option<&str>) -> Result<Option<OffsetDateTime>, InvalidField> {
    text.map(|text| OffsetDateTime::parse(text, &Rfc3339))
        .transpose()
        .map_err(|_| InvalidField::new(field, "must be a time such as 2027-01-31T12:00:00Z"))
}

/// 256 random bits in hex.
fn random_secret() -> Result<String> {
    use std::fmt::Write;

    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// A key without its material.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    id: KeyId,
    kind: KeyKind,
    algorithm: Option<Algorithm>,
    kid: Option<String>,
    /// Where a JWK set lies.
    url: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    may_admin: bool,
    not_before: Option<String>,
    not_after: Option<String>,
    retired_at: Option<String>,
    created_at: String,
}

impl From<&OrgKey> for KeyView {
    fn from(key: &OrgKey) -> Self {
        let is_jwks = key.kind == KeyKind::Jwks;
        Self {
            id: key.id,
            kind: key.kind,
            algorithm: key.algorithm,
            kid: key.kid.clone(),
            url: is_jwks.then(|| String::from_utf8_lossy(&key.material).into_owned()),
            issuer: key.issuer.clone(),
            audience: key.audience.clone(),
            may_admin: key.may_admin,
            not_before: key.not_before.map(time_text),
            not_after: key.not_after.map(time_text),
            retired_at: key.retired_at.map(time_text),
            created_at: time_text(key.created_at),
        }
    }
}

/// A key that was just added, with its secret if that was made up here: it is shown this once.
#[derive(Debug, Serialize)]
pub struct MintedKeyView {
    #[serde(flatten)]
    pub key: KeyView,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RebindRequest {
    email: String,
    #[serde(default)]
    pub issuer: String,
    pub subject: String,
}

impl RebindRequest {
    pub fn email(&self) -> Result<Email> {
        parse_email(&self.email)
    }
}

/// Without an e-mail: everyone in the org.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RevokeRequest {
    email: Option<String>,
}

impl RevokeRequest {
    pub fn email(&self) -> Result<Option<Email>> {
        self.email.as_deref().map(parse_email).transpose()
    }
}

fn parse_email(text: &str) -> Result<Email> {
    Email::parse(text).map_err(|error| Error::invalid("email", error.to_string()))
}
