use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::super::key_set::Candidate;
use super::super::public_key::PublicKey;
use crate::domain::{Algorithm, Fingerprint, OrgKey};

/// More keys in one set are not looked at.
const MAX_KEYS: usize = 100;

/// The keys of a JWK set that may verify a token.
pub(in crate::auth) struct JwkSet(Vec<Jwk>);

struct Jwk {
    kid: Option<String>,
    /// Its `alg`; without one the row's or the family's default counts.
    declared: Option<Algorithm>,
    public: PublicKey,
    key: DecodingKey,
    fingerprint: Fingerprint,
}

/// RFC 7517 §5.
#[derive(Deserialize)]
struct SetJson {
    keys: Vec<Value>,
}

/// RFC 7517 §4 and RFC 7518 §6, without what a verifier has no use for.
#[derive(Deserialize)]
struct JwkJson {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl JwkSet {
    /// Reads a set, passing over every key that is of no use here: of an unknown type, not for
    /// signatures, symmetric, or too weak (RFC 7517 §5 asks for that).
    pub(super) fn read(json: &[u8]) -> serde_json::Result<Self> {
        let set: SetJson = serde_json::from_slice(json)?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        Ok(Self(keys.filter_map(|key| Jwk::read(serde_json::from_value(key).ok()?)).collect()))
    }

    pub(in crate::auth) fn knows(&self, kid: &str) -> bool {
        self.0.iter().any(|jwk| jwk.kid.as_deref() == Some(kid))
    }

    pub(in crate::auth) fn fingerprints(&self) -> Vec<Fingerprint> {
        self.0.iter().map(|jwk| jwk.fingerprint).collect()
    }

    /// The keys that may have signed such a token: those with its `kid` first, then those
    /// without any. A token without a `kid` may be from each.
    pub(in crate::auth) fn candidates<'a>(
        &'a self,
        row: &'a OrgKey,
        algorithm: Algorithm,
        kid: Option<&'a str>,
    ) -> impl Iterator<Item = Candidate<'a>> {
        let fitting = move |jwk: &&Jwk| jwk.algorithm(row.algorithm) == algorithm;
        let named = move |jwk: &&Jwk| kid.is_none() || jwk.kid.as_deref() == kid;
        let unnamed = move |jwk: &&Jwk| kid.is_some() && jwk.kid.is_none();
        let named = self.0.iter().filter(fitting).filter(named);
        named.chain(self.0.iter().filter(fitting).filter(unnamed)).map(move |jwk| Candidate {
            row,
            key: &jwk.key,
            fingerprint: jwk.fingerprint,
        })
    }
}

impl Jwk {
    fn read(json: JwkJson) -> Option<Self> {
        let for_signatures = json.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && json.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !for_signatures {
            return None;
        }
        let public = json.public_key()?;
        let declared = json.alg.as_deref().map(Algorithm::parse).transpose().ok()?;
        if !declared.is_none_or(|algorithm| public.allows(algorithm)) {
            return None;
        }
        let (key, fingerprint) = (public.decoding_key(), public.fingerprint());
        Some(Self { kid: json.kid, declared, public, key, fingerprint })
    }

    fn algorithm(&self, pinned: Option<Algorithm>) -> Algorithm {
        self.declared
            .or(pinned.filter(|algorithm| self.public.allows(*algorithm)))
            .unwrap_or_else(|| self.public.default_algorithm())
    }
}

impl JwkJson {
    fn public_key(&self) -> Option<PublicKey> {
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => PublicKey::rsa(&bytes(&self.n)?, &bytes(&self.e)?),
            ("EC", Some("P-256")) => PublicKey::p256(&bytes(&self.x)?, &bytes(&self.y)?),
            ("EC", Some("P-384")) => PublicKey::p384(&bytes(&self.x)?, &bytes(&self.y)?),
            ("OKP", Some("Ed25519")) => PublicKey::ed25519(&bytes(&self.x)?),
            _ => return None,
        };
        key.ok()
    }
}
