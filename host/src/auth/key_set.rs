use jsonwebtoken::DecodingKey;
use time::OffsetDateTime;

use super::jwks::parse_address;
use super::public_key::PublicKey;
use crate::domain::{Algorithm, Fingerprint, KeyKind, OrgKey};

/// All keys of one org, made ready once and used for many tokens.
pub struct KeySet {
    /// Newest first.
    signing: Vec<SigningKey>,
    jwks: Vec<JwksKey>,
}

/// A key whose material is in the database.
struct SigningKey {
    row: OrgKey,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// A key that points at a JWK set.
pub(super) struct JwksKey {
    pub(super) row: OrgKey,
    pub(super) url: String,
}

/// A key to try a token on.
pub(super) struct Candidate<'a> {
    /// The database's row that the key is, or comes from.
    pub(super) row: &'a OrgKey,
    pub(super) key: &'a DecodingKey,
    pub(super) fingerprint: Fingerprint,
}

impl KeySet {
    /// Keys whose material cannot be read are left out and logged: one broken row must not
    /// lock an org out.
    pub fn new(mut keys: Vec<OrgKey>) -> Self {
        keys.sort_by_key(|key| std::cmp::Reverse(key.created_at));
        let mut set = Self { signing: Vec::new(), jwks: Vec::new() };
        for row in keys {
            if let Err(reason) = set.add(row.clone()) {
                tracing::warn!(key.id = %row.id, org.id = %row.org_id, reason, "key left out");
            }
        }
        set
    }

    fn add(&mut self, row: OrgKey) -> Result<(), &'static str> {
        if row.kind == KeyKind::Jwks {
            let url = parse_address(&row.material)?;
            self.jwks.push(JwksKey { row, url: url.into() });
            return Ok(());
        }
        let algorithm = row.algorithm.ok_or("it pins no algorithm")?;
        // A secret under a public-key algorithm, or a public key taken for a secret, is how
        // key confusion starts; neither is ever made into a key.
        let key = if row.kind == KeyKind::Secret {
            if !algorithm.is_symmetric() {
                return Err("a secret does not fit its algorithm");
            }
            DecodingKey::from_secret(&row.material)
        } else {
            let key = PublicKey::from_pem(&row.material)?;
            if !key.allows(algorithm) {
                return Err("the public key does not fit its algorithm");
            }
            key.decoding_key()
        };
        self.signing.push(SigningKey { row, algorithm, key });
        Ok(())
    }

    /// The keys of the database that may have signed such a token: those with its `kid` first,
    /// then those without any. A token without a `kid` may be from each.
    pub(super) fn candidates(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        now: OffsetDateTime,
    ) -> impl Iterator<Item = Candidate<'_>> {
        let fitting = move |own: &&SigningKey| own.algorithm == algorithm && own.row.usable_at(now);
        let named = move |own: &&SigningKey| kid.is_none() || own.row.kid.as_deref() == kid;
        let unnamed = move |own: &&SigningKey| kid.is_some() && own.row.kid.is_none();
        let named = self.signing.iter().filter(fitting).filter(named);
        named.chain(self.signing.iter().filter(fitting).filter(unnamed)).map(|own| Candidate {
            row: &own.row,
            key: &own.key,
            fingerprint: own.row.fingerprint,
        })
    }

    pub(super) fn jwks(&self) -> &[JwksKey] {
        &self.jwks
    }
}
