use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::domain::Algorithm;
use crate::{Error, Result};

/// The longest token that is looked at unverified, whatever the settings allow.
pub(super) const CEILING_BYTES: usize = 64 * 1024;

/// A JWS in compact form, split and read but not verified.
pub(super) struct Jws<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    /// What is signed: header and payload as they came.
    message: &'a str,
    pub(super) payload: Vec<u8>,
    /// Still base64: the library decodes it.
    signature: &'a str,
}

/// The members that decide anything. A member written twice is an error (RFC 7515 §4);
/// `jwk`, `jku`, `x5u`, `x5c` and whatever else is there are passed over.
#[derive(Deserialize)]
struct Header {
    alg: Option<String>,
    kid: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
    /// RFC 7797: the payload would not be base64.
    #[serde(default, deserialize_with = "present")]
    b64: bool,
}

/// Whatever the value is, `null` included.
fn present<'de, D: Deserializer<'de>>(value: D) -> std::result::Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}

impl<'a> Jws<'a> {
    pub(super) fn read(token: &'a str) -> Result<Self> {
        let [header, payload, signature] = segments(token)
            .ok_or(Error::Unauthorized("the token must be three parts divided by dots"))?;
        let header: Header = decode(header)
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or(Error::Unauthorized("the token's header cannot be read"))?;
        if header.crit || header.b64 {
            return Err(Error::Unauthorized("the token's header asks for an unknown extension"));
        }
        let algorithm = header
            .alg
            .as_deref()
            .and_then(|name| Algorithm::parse(name).ok())
            .ok_or(Error::Unauthorized("the token's algorithm is not accepted"))?;
        let kid = match header.kid {
            None | Some(Value::Null) => None,
            Some(Value::String(kid)) => Some(kid),
            Some(_) => return Err(Error::Unauthorized("the token's kid must be a string")),
        };
        let payload =
            decode(payload).ok_or(Error::Unauthorized("the token's claims cannot be read"))?;
        let message = &token[..token.len() - signature.len() - 1];
        Ok(Self { algorithm, kid, message, payload, signature })
    }

    /// The caller has made sure that the key is for this token's algorithm.
    pub(super) fn signed_by(&self, key: &jsonwebtoken::DecodingKey) -> bool {
        let algorithm = library_algorithm(self.algorithm);
        jsonwebtoken::crypto::verify(self.signature, self.message.as_bytes(), key, algorithm)
            .unwrap_or(false)
    }
}

/// The `orgId` claim of a token that nobody has verified: good only to choose whose keys
/// verify it. `None` also where the token cannot be read.
pub fn unverified_org(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct OrgClaim {
        #[serde(rename = "orgId")]
        org_id: Option<String>,
    }

    if token.len() > CEILING_BYTES {
        return None;
    }
    let [_, payload, _] = segments(token)?;
    serde_json::from_slice::<OrgClaim>(&decode(payload)?).ok()?.org_id
}

fn segments(token: &str) -> Option<[&str; 3]> {
    let mut parts = token.split('.');
    let segments = [parts.next()?, parts.next()?, parts.next()?];
    let whole = parts.next().is_none() && segments.iter().all(|segment| !segment.is_empty());
    whole.then_some(segments)
}

/// Refuses padding, white space and loose trailing bits: a token has one spelling.
fn decode(segment: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(segment).ok()
}

pub(super) fn library_algorithm(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Library;

    match algorithm {
        Algorithm::HS256 => Library::HS256,
        Algorithm::HS384 => Library::HS384,
        Algorithm::HS512 => Library::HS512,
        Algorithm::RS256 => Library::RS256,
        Algorithm::RS384 => Library::RS384,
        Algorithm::RS512 => Library::RS512,
        Algorithm::PS256 => Library::PS256,
        Algorithm::PS384 => Library::PS384,
        Algorithm::PS512 => Library::PS512,
        Algorithm::ES256 => Library::ES256,
        Algorithm::ES384 => Library::ES384,
        Algorithm::EdDSA => Library::EdDSA,
    }
}
