use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use time::OffsetDateTime;

use super::jws::library_algorithm;
use crate::domain::{KeyKind, Kind, OrgKey, OrgSlug};
use crate::{Error, Result};

/// What a token of `duologue token` says. `iss`, `aud` and `kid` are the key's.
#[derive(Clone, Debug)]
pub struct MintClaims {
    pub email: String,
    /// `None` leaves `sub` out, so that the e-mail stands for it.
    pub subject: Option<String>,
    pub org: Option<OrgSlug>,
    pub name: Option<String>,
    /// Such as `Europe/Berlin`.
    pub zoneinfo: Option<String>,
    pub kind: Kind,
    pub admin: bool,
    pub issued_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    email: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<&'a OrgSlug>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zoneinfo: Option<&'a str>,
    kind: Kind,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    roles: &'static [&'static str],
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

/// Signs a token with one of an org's secrets, for trying things out.
///
/// # Errors
///
/// [`Error::Invalid`] where the key is no secret, or `admin` is asked of one that may not vouch
/// for it.
pub fn mint(key: &OrgKey, claims: &MintClaims) -> Result<String> {
    let algorithm = match key.algorithm {
        Some(algorithm) if key.kind == KeyKind::Secret && algorithm.is_symmetric() => algorithm,
        _ => {
            return Err(Error::invalid("key", "must be a secret: only those can sign"));
        }
    };
    if claims.admin && !key.may_admin {
        return Err(Error::invalid(
            "roles",
            "may hold admin only with a key that may vouch for it",
        ));
    }
    let mut header = Header::new(library_algorithm(algorithm));
    header.kid.clone_from(&key.kid);
    let payload = Payload {
        sub: claims.subject.as_deref(),
        email: &claims.email,
        org_id: claims.org.as_ref(),
        name: claims.name.as_deref(),
        zoneinfo: claims.zoneinfo.as_deref(),
        kind: claims.kind,
        roles: if claims.admin { &["admin"] } else { &[] },
        iat: claims.issued_at.unix_timestamp(),
        exp: claims.expires_at.unix_timestamp(),
        iss: key.issuer.as_deref(),
        aud: key.audience.as_deref(),
    };
    jsonwebtoken::encode(&header, &payload, &EncodingKey::from_secret(&key.material))
        .map_err(Error::internal)
}
