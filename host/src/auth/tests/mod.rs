//! Tokens against keys, through [`Verifier`] as the rest of the server uses it.

mod attacks;
mod claims;
mod jwks;
mod keys;
mod minting;
mod rotation;
mod test_keys;

use jsonwebtoken::{Algorithm as Library, EncodingKey};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{KeySet, NewKey, Verified, Verifier, VerifierSettings};
use crate::domain::{Algorithm, KeyKind, OrgId, OrgKey};
use crate::{Error, Result};

const SECRET: &[u8] = b"a test secret of just 32 bytes..";
const OTHER_SECRET: &[u8] = b"another secret of full 32 bytes.";
const NOW: i64 = 1_800_000_000;

const NOT_OURS: &str = "the token is not signed by a key of this org";

fn now() -> OffsetDateTime {
    at(NOW)
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

/// The least that is accepted.
fn claims() -> Value {
    json!({ "sub": "u-1", "email": "Alice@Example.com", "iat": NOW - 60, "exp": NOW + 3600 })
}

/// The same with one claim more, another or (`null`) none.
fn with(claim: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[claim] = value;
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

fn new_key(kind: KeyKind, material: &[u8]) -> NewKey {
    NewKey { allow_short: true, ..NewKey::new(kind, material) }
}

fn stored(key: NewKey) -> OrgKey {
    key.parse(OrgId::new(), now()).unwrap()
}

fn secret_key(secret: &[u8]) -> OrgKey {
    stored(new_key(KeyKind::Secret, secret))
}

fn public_key(pem: &str) -> OrgKey {
    stored(new_key(KeyKind::Public, pem.as_bytes()))
}

fn public_key_for(pem: &str, algorithm: Algorithm) -> OrgKey {
    let key = new_key(KeyKind::Public, pem.as_bytes());
    stored(NewKey { algorithm: Some(algorithm), ..key })
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    use base64::Engine;

    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of any header and payload, whether or not they make sense.
fn sign_text(header: &str, payload: &str, key: &EncodingKey, algorithm: Library) -> String {
    let message = format!("{}.{}", base64(header), base64(payload));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// With that secret, under any header.
fn sign_with(secret: &[u8], header: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret);
    sign_text(&header.to_string(), &claims.to_string(), &key, Library::HS256)
}

fn sign(claims: &Value) -> String {
    sign_with(SECRET, &json!({ "typ": "JWT", "alg": "HS256" }), claims)
}

fn sign_rsa(private: &str, header: &Value, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(private.as_bytes()).unwrap();
    sign_text(&header.to_string(), &claims.to_string(), &key, Library::RS256)
}

fn verifier() -> Verifier {
    Verifier::new(VerifierSettings::default())
}

async fn verify(token: &str, keys: Vec<OrgKey>) -> Result<Verified> {
    verifier().verify(token, &KeySet::new(keys), now()).await
}

/// Against the one key [`SECRET`].
async fn verify_claims(claims: &Value) -> Result<Verified> {
    verify(&sign(claims), vec![secret_key(SECRET)]).await
}

#[track_caller]
fn refusal(answer: Result<Verified>) -> &'static str {
    match answer {
        Err(Error::Unauthorized(text)) => text,
        other => panic!("not refused as unauthorized: {other:?}"),
    }
}
