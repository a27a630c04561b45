use super::test_keys::{
    CERTIFICATE, ED_PRIVATE, ED_SPKI, P256_COMPRESSED, P256_PRIVATE, P256_SPKI, P384_SPKI,
    P521_SPKI, RSA_1024_SPKI, RSA_A_PKCS1, RSA_A_PRIVATE, RSA_A_SPKI, RSA_B_SPKI,
};
use super::*;

#[track_caller]
fn fault_of(key: NewKey) -> String {
    match key.parse(OrgId::new(), now()) {
        Err(Error::Invalid(faults)) => faults[0].to_string(),
        other => panic!("not refused as invalid: {other:?}"),
    }
}

#[test]
fn a_key_pins_the_algorithm_that_its_material_suggests() {
    for (pem, algorithm) in [
        (RSA_A_SPKI, Algorithm::RS256),
        (RSA_A_PKCS1, Algorithm::RS256),
        (P256_SPKI, Algorithm::ES256),
        (P384_SPKI, Algorithm::ES384),
        (ED_SPKI, Algorithm::EdDSA),
    ] {
        assert_eq!(public_key(pem).algorithm, Some(algorithm));
    }
    assert_eq!(secret_key(SECRET).algorithm, Some(Algorithm::HS256));
    assert_eq!(public_key_for(RSA_A_SPKI, Algorithm::PS384).algorithm, Some(Algorithm::PS384));
}

#[test]
fn an_algorithm_that_does_not_fit_the_material_is_refused() {
    for (kind, material, algorithm) in [
        (KeyKind::Secret, SECRET, Algorithm::RS256),
        (KeyKind::Secret, SECRET, Algorithm::EdDSA),
        (KeyKind::Public, RSA_A_SPKI.as_bytes(), Algorithm::HS256),
        (KeyKind::Public, RSA_A_SPKI.as_bytes(), Algorithm::ES256),
        (KeyKind::Public, P256_SPKI.as_bytes(), Algorithm::ES384),
        (KeyKind::Public, ED_SPKI.as_bytes(), Algorithm::RS256),
        (KeyKind::Jwks, b"https://id.example.com/jwks", Algorithm::HS256),
    ] {
        let fault = fault_of(NewKey { algorithm: Some(algorithm), ..new_key(kind, material) });

        assert!(fault.starts_with("algorithm "), "{algorithm}: {fault}");
    }
}

#[test]
fn what_is_no_public_key_is_refused_by_its_name() {
    for (pem, word) in [
        (RSA_A_PRIVATE, "private key"),
        (P256_PRIVATE, "private key"),
        (ED_PRIVATE, "private key"),
        (CERTIFICATE, "certificate"),
        (RSA_1024_SPKI, "at least 2048 bits"),
        (P521_SPKI, "P-256 or P-384"),
        (P256_COMPRESSED, "uncompressed"),
        ("", "PEM"),
        ("secret", "PEM"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a readable"),
    ] {
        let fault = fault_of(new_key(KeyKind::Public, pem.as_bytes()));

        assert!(fault.starts_with("material ") && fault.contains(word), "{fault}");
    }
}

#[test]
fn a_public_key_is_a_valid_key_of_its_family() {
    let tampered = |pem: &str, offset_from_end: usize| {
        let mut der = pem::parse(pem).unwrap().into_contents();
        let index = der.len() - offset_from_end;
        der[index] ^= 1;
        pem::encode(&pem::Pem::new("PUBLIC KEY", der))
    };

    // The last bit of y, and the parity of the exponent.
    for pem in [tampered(P256_SPKI, 1), tampered(P384_SPKI, 1), tampered(RSA_A_SPKI, 1)] {
        assert!(fault_of(new_key(KeyKind::Public, pem.as_bytes())).starts_with("material "));
    }
}

#[test]
fn a_secret_is_long_unless_told_otherwise() {
    let strict = |material: &[u8]| NewKey::new(KeyKind::Secret, material);

    assert!(strict(SECRET).parse(OrgId::new(), now()).is_ok());
    assert!(fault_of(strict(&SECRET[..31])).contains("at least 32 bytes"));
    assert!(new_key(KeyKind::Secret, b"lab-secret").parse(OrgId::new(), now()).is_ok());
    for bad in [&b""[..], RSA_A_SPKI.as_bytes(), &vec![b'x'; 16 * 1024 + 1]] {
        fault_of(new_key(KeyKind::Secret, bad));
    }
}

#[test]
fn every_field_that_breaks_a_rule_is_named() {
    let key = NewKey {
        kid: Some(String::new()),
        issuer: Some("a\nb".to_owned()),
        audience: Some("x".repeat(513)),
        not_before: Some(now()),
        not_after: Some(now()),
        ..new_key(KeyKind::Secret, b"")
    };

    let Err(Error::Invalid(faults)) = key.parse(OrgId::new(), now()) else { panic!("accepted") };

    let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["kid", "issuer", "audience", "notAfter", "material"]);
}

#[test]
fn a_jwks_key_holds_an_address_and_no_kid() {
    let key = stored(new_key(KeyKind::Jwks, b" https://ID.example.com:443/jwks "));

    assert_eq!(key.material, b"https://id.example.com/jwks");
    assert_eq!(key.algorithm, None);
    fault_of(new_key(KeyKind::Jwks, b"http://id.example.com/jwks"));
    let kid = Some("a".to_owned());
    let named = NewKey { kid, ..new_key(KeyKind::Jwks, b"https://id.example.com/jwks") };
    assert!(fault_of(named).starts_with("kid "));
}

#[test]
fn one_public_key_has_one_fingerprint_however_it_is_written() {
    let spki = public_key(RSA_A_SPKI).fingerprint;

    assert_eq!(public_key(RSA_A_PKCS1).fingerprint, spki);
    assert_eq!(public_key(&RSA_A_SPKI.replace('\n', "\r\n")).fingerprint, spki);
    assert_ne!(public_key(RSA_B_SPKI).fingerprint, spki);
}

#[test]
fn a_key_does_not_show_its_material() {
    let shown = format!("{:?}", secret_key(b"lab-secret"));

    assert!(!shown.contains("lab-secret") && !shown.contains("material"), "{shown}");
}
