use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use super::jwks::parse_address;
use super::public_key::PublicKey;
use super::secret;
use crate::domain::{Algorithm, Fingerprint, InvalidField, KeyId, KeyKind, OrgId, OrgKey};
use crate::{Error, Result};

/// RFC 7518 §3.2 asks for as many bytes as the hash has; for HS256 that is 32.
const MIN_SECRET_BYTES: usize = 32;
const MAX_MATERIAL_BYTES: usize = 16 * 1024;
const MAX_KID_BYTES: usize = 200;
/// Of `issuer` and `audience`.
const MAX_NAME_BYTES: usize = 512;

/// A key as an operator gives it.
#[derive(Clone)]
pub struct NewKey {
    pub kind: KeyKind,
    /// The secret's bytes exactly (a line end counts), PEM text, or a URL. At most 16 KiB.
    pub material: Vec<u8>,
    /// Admits a secret of under 32 bytes. For tests only: such a secret can be guessed.
    pub allow_short: bool,
    /// `None` takes HS256 for a secret, RS256 for an RSA key, the curve's own algorithm for
    /// the others, and lets each key of a JWK set bring its own.
    pub algorithm: Option<Algorithm>,
    pub kid: Option<String>,
    /// What `iss` and `aud` of a token must name; `None` admits any.
    pub issuer: Option<String>,
    pub audience: Option<String>,
    pub may_admin: bool,
    pub not_before: Option<OffsetDateTime>,
    pub not_after: Option<OffsetDateTime>,
}

impl NewKey {
    /// A key with nothing but its material.
    pub fn new(kind: KeyKind, material: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            material: material.into(),
            allow_short: false,
            algorithm: None,
            kid: None,
            issuer: None,
            audience: None,
            may_admin: false,
            not_before: None,
            not_after: None,
        }
    }

    /// Checks all of it and gives the key an id, ready to be stored.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] with every field that breaks a rule.
    pub fn parse(self, org_id: OrgId, now: OffsetDateTime) -> Result<OrgKey> {
        let mut faults = self.faulty_names();
        if let (Some(start), Some(end)) = (self.not_before, self.not_after)
            && end <= start
        {
            faults.push(InvalidField::new("notAfter", "must be later than notBefore"));
        }
        let read = match self.kind {
            _ if self.material.len() > MAX_MATERIAL_BYTES => Err(material("may be at most 16 KiB")),
            KeyKind::Secret => self.read_secret(),
            KeyKind::Public => self.read_public(),
            KeyKind::Jwks => self.read_jwks(),
        };
        match read {
            Ok(read) if faults.is_empty() => Ok(self.into_key(read, org_id, now)),
            Ok(_) => Err(Error::Invalid(faults)),
            Err(fault) => {
                faults.push(fault);
                Err(Error::Invalid(faults))
            }
        }
    }

    fn into_key(self, read: Read, org_id: OrgId, now: OffsetDateTime) -> OrgKey {
        OrgKey {
            id: KeyId::new(),
            org_id,
            kind: self.kind,
            algorithm: read.algorithm,
            kid: self.kid,
            material: read.material.unwrap_or(self.material),
            fingerprint: read.fingerprint,
            issuer: self.issuer,
            audience: self.audience,
            may_admin: self.may_admin,
            not_before: self.not_before,
            not_after: self.not_after,
            retired_at: None,
            created_at: now,
        }
    }

    fn faulty_names(&self) -> Vec<InvalidField> {
        let names = [
            ("kid", &self.kid, MAX_KID_BYTES),
            ("issuer", &self.issuer, MAX_NAME_BYTES),
            ("audience", &self.audience, MAX_NAME_BYTES),
        ];
        let is_faulty = |text: &str, max: usize| {
            text.is_empty() || text.len() > max || text.chars().any(char::is_control)
        };
        names
            .into_iter()
            .filter(|(_, text, max)| text.as_deref().is_some_and(|text| is_faulty(text, *max)))
            .map(|(field, _, max)| {
                InvalidField::new(field, format!("must be 1 to {max} bytes of plain text"))
            })
            .collect()
    }

    fn read_secret(&self) -> Result<Read, InvalidField> {
        if self.material.is_empty() {
            return Err(material("must not be empty"));
        }
        // Whoever knows the public key could sign with it.
        if self.material.starts_with(b"-----BEGIN") {
            return Err(material("is PEM text, which is no secret; add it as a public key"));
        }
        if self.material.len() < MIN_SECRET_BYTES && !self.allow_short {
            return Err(material("must be a secret of at least 32 bytes"));
        }
        let algorithm = self.algorithm.unwrap_or(Algorithm::HS256);
        if !algorithm.is_symmetric() {
            return Err(wrong_algorithm("must be HS256, HS384 or HS512 for a secret"));
        }
        let fingerprint = secret::fingerprint(&self.material);
        Ok(Read { algorithm: Some(algorithm), fingerprint, material: None })
    }

    fn read_public(&self) -> Result<Read, InvalidField> {
        let key = PublicKey::from_pem(&self.material).map_err(material)?;
        let algorithm = self.algorithm.unwrap_or_else(|| key.default_algorithm());
        if !key.allows(algorithm) {
            return Err(wrong_algorithm("does not fit this kind of public key"));
        }
        let fingerprint = key.fingerprint();
        Ok(Read { algorithm: Some(algorithm), fingerprint, material: None })
    }

    fn read_jwks(&self) -> Result<Read, InvalidField> {
        let url = parse_address(&self.material).map_err(material)?;
        if self.algorithm.is_some_and(Algorithm::is_symmetric) {
            return Err(wrong_algorithm(
                "must be that of a public key: a JWK set holds no secrets",
            ));
        }
        if self.kid.is_some() {
            return Err(InvalidField::new("kid", "is given by the JWK set itself"));
        }
        let fingerprint = Sha256::digest(url.as_str()).into();
        let material = Some(String::from(url).into_bytes());
        Ok(Read { algorithm: self.algorithm, fingerprint, material })
    }
}

/// What the material turned out to be.
struct Read {
    algorithm: Option<Algorithm>,
    fingerprint: Fingerprint,
    /// What to store, where that is not what was given.
    material: Option<Vec<u8>>,
}

fn material(message: &str) -> InvalidField {
    InvalidField::new("material", message)
}

fn wrong_algorithm(message: &str) -> InvalidField {
    InvalidField::new("algorithm", message)
}
