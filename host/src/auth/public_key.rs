use pkcs1::UintRef;
use pkcs1::der::{Decode, Encode};
use sha2::{Digest, Sha256};
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::domain::{Algorithm, Fingerprint};

/// Below this RSA keys count as breakable (NIST SP 800-131A).
const RSA_MIN_BITS: usize = 2048;
/// What the `rsa` crate verifies.
const RSA_MAX_BITS: usize = 4096;
const RSA_MAX_EXPONENT: u64 = (1 << 33) - 1;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A public key that was checked, in one canonical form whichever way it was written.
#[derive(Clone)]
pub(super) struct PublicKey {
    family: Family,
    /// What an SPKI holds as `subjectPublicKey`: PKCS#1 DER, an uncompressed point, or 32 bytes.
    bits: Vec<u8>,
}

impl PublicKey {
    /// Reads PEM text: SPKI of any family, or PKCS#1.
    ///
    /// The error is a sentence's end for the field it came from.
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, &'static str> {
        let block = pem::parse(text).map_err(|_| "must be one PEM block")?;
        match block.tag() {
            "PUBLIC KEY" => Self::from_spki(block.contents()),
            "RSA PUBLIC KEY" => Self::from_pkcs1(block.contents()),
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                Err("is a certificate; give its public key (openssl x509 -pubkey -noout)")
            }
            tag if tag.contains("PRIVATE KEY") => {
                Err("is a private key and must stay with the issuer; give the public key")
            }
            _ => Err("must be a PUBLIC KEY or RSA PUBLIC KEY"),
        }
    }

    fn from_spki(der: &[u8]) -> Result<Self, &'static str> {
        let unreadable = "is not a readable public key";
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| unreadable)?;
        let bits = info.subject_public_key.as_bytes().ok_or(unreadable)?;
        match info.algorithm.oid {
            RSA_ENCRYPTION => Self::from_pkcs1(bits),
            ED25519 => Self::ed25519(bits),
            EC_PUBLIC_KEY => match info.algorithm.parameters_oid() {
                Ok(P256) => Self::point(Family::P256, bits),
                Ok(P384) => Self::point(Family::P384, bits),
                _ => Err("must be on the named curve P-256 or P-384"),
            },
            _ => Err("must be an RSA, P-256, P-384 or Ed25519 key"),
        }
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, &'static str> {
        let key =
            pkcs1::RsaPublicKey::from_der(der).map_err(|_| "is not a readable RSA public key")?;
        Self::rsa(key.modulus.as_bytes(), key.public_exponent.as_bytes())
    }

    /// From modulus and exponent, big-endian.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        let unreadable = "is not a readable RSA public key";
        let modulus = UintRef::new(modulus).map_err(|_| unreadable)?;
        let exponent = UintRef::new(exponent).map_err(|_| unreadable)?;
        let bits = bit_length(modulus.as_bytes());
        if bits < RSA_MIN_BITS {
            return Err("must be an RSA key of at least 2048 bits");
        }
        if bits > RSA_MAX_BITS {
            return Err("must be an RSA key of at most 4096 bits");
        }
        let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        let e = exponent.as_bytes().iter().try_fold(0_u64, |value, byte| {
            value.checked_mul(256).map(|shifted| shifted | u64::from(*byte))
        });
        let good_exponent = e.is_some_and(|e| (3..=RSA_MAX_EXPONENT).contains(&e));
        if !good_exponent || !odd(exponent.as_bytes()) || !odd(modulus.as_bytes()) {
            return Err("is not a valid RSA public key");
        }
        let bits = pkcs1::RsaPublicKey { modulus, public_exponent: exponent }
            .to_der()
            .map_err(|_| unreadable)?;
        Ok(Self { family: Family::Rsa, bits })
    }

    pub(super) fn p256(x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        Self::point(Family::P256, &[&[4], x, y].concat())
    }

    pub(super) fn p384(x: &[u8], y: &[u8]) -> Result<Self, &'static str> {
        Self::point(Family::P384, &[&[4], x, y].concat())
    }

    /// A point as SEC 1 writes it without compression: one form, so one fingerprint.
    fn point(family: Family, bits: &[u8]) -> Result<Self, &'static str> {
        let length = if family == Family::P256 { 65 } else { 97 };
        if bits.len() != length || bits.first() != Some(&4) {
            return Err("must be an uncompressed point of its curve");
        }
        Self { family, bits: bits.to_vec() }.on_curve()
    }

    pub(super) fn ed25519(bits: &[u8]) -> Result<Self, &'static str> {
        if bits.len() != 32 {
            return Err("must be an Ed25519 key of 32 bytes");
        }
        Self { family: Family::Ed25519, bits: bits.to_vec() }.on_curve()
    }

    /// The library makes a verifier only of a point that lies on its curve, and answers
    /// `Ok(false)` to a signature that is merely wrong.
    fn on_curve(self) -> Result<Self, &'static str> {
        let algorithm = super::jws::library_algorithm(self.default_algorithm());
        jsonwebtoken::crypto::verify("", b"", &self.decoding_key(), algorithm)
            .map_err(|_| "is not a point of its curve")?;
        Ok(self)
    }

    /// The same for PKCS#1 PEM, SPKI PEM and a JWK of one key.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Sha256::digest(&self.bits).into()
    }

    pub(super) fn decoding_key(&self) -> jsonwebtoken::DecodingKey {
        match self.family {
            Family::Rsa => jsonwebtoken::DecodingKey::from_rsa_der(&self.bits),
            Family::P256 | Family::P384 => jsonwebtoken::DecodingKey::from_ec_der(&self.bits),
            Family::Ed25519 => jsonwebtoken::DecodingKey::from_ed_der(&self.bits),
        }
    }

    pub(super) fn default_algorithm(&self) -> Algorithm {
        match self.family {
            Family::Rsa => Algorithm::RS256,
            Family::P256 => Algorithm::ES256,
            Family::P384 => Algorithm::ES384,
            Family::Ed25519 => Algorithm::EdDSA,
        }
    }

    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};

        match self.family {
            Family::Rsa => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            _ => algorithm == self.default_algorithm(),
        }
    }
}

/// Of a big-endian number without leading zero bytes.
fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}
