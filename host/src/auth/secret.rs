use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::domain::Fingerprint;

/// Compares in a time that tells nothing about the contents or the lengths: the operator
/// credential is checked with this.
pub fn same_secret(a: &[u8], b: &[u8]) -> bool {
    Sha256::digest(a).ct_eq(&Sha256::digest(b)).into()
}

/// HMAC pads a key with zero bytes (RFC 2104), so secrets that differ only in trailing ones
/// verify each other's tokens and count as one key.
///
/// Of a short secret this is as guessable as the secret itself: not for showing.
pub(super) fn fingerprint(secret: &[u8]) -> Fingerprint {
    let end = secret.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Sha256::digest(&secret[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_secrets_are_the_same() {
        assert!(same_secret(b"open sesame", b"open sesame"));
        for other in [&b""[..], b"open sesam", b"open sesame ", b"open sesamE"] {
            assert!(!same_secret(b"open sesame", other), "{other:?}");
        }
    }

    #[test]
    fn secrets_that_hmac_cannot_tell_apart_have_one_fingerprint() {
        assert_eq!(fingerprint(b"lab-secret"), fingerprint(b"lab-secret\0\0"));
        assert_ne!(fingerprint(b"lab-secret"), fingerprint(b"lab-secret2"));
    }
}
