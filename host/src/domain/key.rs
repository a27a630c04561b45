use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{KeyId, OrgId};

/// Tells key material apart without showing it: SHA-256 over its canonical bytes.
pub type Fingerprint = [u8; 32];

/// What an [`OrgKey`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// A shared secret (HMAC).
    Secret,
    /// A public key as PEM text.
    Public,
    /// The address of a JWK set.
    Jwks,
}

impl KeyKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Public => "public",
            Self::Jwks => "jwks",
        }
    }

    /// From a row: the column's check constraint admits nothing else.
    pub(crate) fn stored(text: &str) -> Self {
        match text {
            "secret" => Self::Secret,
            "public" => Self::Public,
            _ => Self::Jwks,
        }
    }
}

/// A signature algorithm that a key can pin: RFC 7518 §3.1 without `none`, and RFC 8037's `EdDSA`.
///
/// `ES512` is missing because the signature library does not offer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be one of HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"
)]
pub struct UnknownAlgorithm;

impl Algorithm {
    pub const ALL: [Self; 12] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// Reads the exact name; `Ed25519` is RFC 9864's name for the only `EdDSA` curve offered here.
    pub fn parse(name: &str) -> Result<Self, UnknownAlgorithm> {
        if name == "Ed25519" {
            return Ok(Self::EdDSA);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name).ok_or(UnknownAlgorithm)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// HMAC: whoever can verify can also sign.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::HS256 | Self::HS384 | Self::HS512)
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        Self::parse(name)
    }
}

/// One of the keys that may sign an org's tokens.
#[derive(Clone)]
pub struct OrgKey {
    pub id: KeyId,
    pub org_id: OrgId,
    pub kind: KeyKind,
    /// The one algorithm that this key verifies. `None` only for [`KeyKind::Jwks`], where each
    /// key of the set brings its own.
    pub algorithm: Option<Algorithm>,
    pub kid: Option<String>,
    /// The secret's bytes, the PEM text or the URL.
    pub material: Vec<u8>,
    pub fingerprint: Fingerprint,
    /// What `iss` and `aud` of a token must name; `None` admits any.
    pub issuer: Option<String>,
    pub audience: Option<String>,
    /// Whether tokens of this key may claim the role `admin`.
    pub may_admin: bool,
    pub not_before: Option<OffsetDateTime>,
    pub not_after: Option<OffsetDateTime>,
    pub retired_at: Option<OffsetDateTime>,
    pub created_at: OffsetDateTime,
}

impl OrgKey {
    /// Whether tokens of this key count at that moment: from `not_before` on, and until
    /// `not_after` or `retired_at`.
    pub fn usable_at(&self, now: OffsetDateTime) -> bool {
        self.not_before.is_none_or(|start| start <= now)
            && self.not_after.is_none_or(|end| now < end)
            && self.retired_at.is_none_or(|end| now < end)
    }
}

/// Without the material, which may be a secret.
impl std::fmt::Debug for OrgKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrgKey")
            .field("id", &self.id)
            .field("org_id", &self.org_id)
            .field("kind", &self.kind)
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_reads_back_from_its_name_and_json() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.as_str()), Ok(algorithm));
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.as_str());
        }
        for bad in ["none", "None", "NoNe", "", "hs256", "HS256 ", "ES512", "RSA1_5"] {
            assert_eq!(Algorithm::parse(bad), Err(UnknownAlgorithm), "{bad:?}");
        }
    }

    #[test]
    fn a_kind_reads_back_from_its_column() {
        for kind in [KeyKind::Secret, KeyKind::Public, KeyKind::Jwks] {
            assert_eq!(KeyKind::stored(kind.as_str()), kind);
        }
    }
}
