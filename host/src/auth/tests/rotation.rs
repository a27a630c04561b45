use jsonwebtoken::{Algorithm as Library, EncodingKey};
use serde_json::json;

use super::test_keys::{
    ED_PRIVATE, ED_SPKI, P256_PRIVATE, P256_SPKI, P384_PRIVATE, P384_SPKI, RSA_A_PRIVATE,
    RSA_A_SPKI,
};
use super::*;

#[tokio::test]
async fn two_secrets_are_valid_while_they_rotate() {
    let (old, new) = (secret_key(SECRET), secret_key(OTHER_SECRET));
    let header = json!({ "alg": "HS256" });

    let by_old = verify(&sign(&claims()), vec![old.clone(), new.clone()]).await.unwrap();
    let token = sign_with(OTHER_SECRET, &header, &claims());
    let by_new = verify(&token, vec![old.clone(), new.clone()]).await.unwrap();

    assert_eq!((by_old.key_id, by_old.fingerprint), (old.id, old.fingerprint));
    assert_eq!((by_new.key_id, by_new.fingerprint), (new.id, new.fingerprint));
}

#[tokio::test]
async fn a_retired_key_no_longer_counts() {
    let mut key = secret_key(SECRET);

    key.retired_at = Some(at(NOW + 1));
    assert!(verify(&sign(&claims()), vec![key.clone()]).await.is_ok());

    key.retired_at = Some(now());
    assert_eq!(refusal(verify(&sign(&claims()), vec![key]).await), NOT_OURS);
}

#[tokio::test]
async fn a_key_counts_between_not_before_and_not_after() {
    for (not_before, not_after, counts) in [
        (Some(NOW), None, true),
        (Some(NOW + 1), None, false),
        (None, Some(NOW + 1), true),
        (None, Some(NOW), false),
        (Some(NOW - 5), Some(NOW + 5), true),
    ] {
        let mut key = secret_key(SECRET);
        key.not_before = not_before.map(at);
        key.not_after = not_after.map(at);

        let answer = verify(&sign(&claims()), vec![key]).await;

        assert_eq!(answer.is_ok(), counts, "{not_before:?} to {not_after:?}");
    }
}

#[tokio::test]
async fn a_kid_chooses_its_key_and_else_one_without() {
    let named = |kid: &str, secret: &[u8]| {
        stored(NewKey { kid: Some(kid.to_owned()), ..new_key(KeyKind::Secret, secret) })
    };
    let token = |kid: &str| sign_with(SECRET, &json!({ "alg": "HS256", "kid": kid }), &claims());

    let (right, unnamed) = (named("a", SECRET), secret_key(SECRET));
    let verified = verify(&token("a"), vec![unnamed.clone(), right.clone()]).await.unwrap();
    assert_eq!(verified.key_id, right.id);

    let verified = verify(&token("z"), vec![right.clone(), unnamed.clone()]).await.unwrap();
    assert_eq!(verified.key_id, unnamed.id);

    assert_eq!(refusal(verify(&token("z"), vec![right.clone()]).await), NOT_OURS);
    assert!(verify(&sign(&claims()), vec![right]).await.is_ok());
}

#[tokio::test]
async fn each_algorithm_verifies_with_its_key() {
    let (hs, rsa) = (
        EncodingKey::from_secret(SECRET),
        EncodingKey::from_rsa_pem(RSA_A_PRIVATE.as_bytes()).unwrap(),
    );
    let p256 = EncodingKey::from_ec_pem(P256_PRIVATE.as_bytes()).unwrap();
    let p384 = EncodingKey::from_ec_pem(P384_PRIVATE.as_bytes()).unwrap();
    let ed = EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap();

    for algorithm in Algorithm::ALL {
        let (key, pem) = match algorithm {
            Algorithm::ES256 => (&p256, P256_SPKI),
            Algorithm::ES384 => (&p384, P384_SPKI),
            Algorithm::EdDSA => (&ed, ED_SPKI),
            symmetric if symmetric.is_symmetric() => (&hs, ""),
            _ => (&rsa, RSA_A_SPKI),
        };
        let row = if algorithm.is_symmetric() {
            let key = new_key(KeyKind::Secret, SECRET);
            stored(NewKey { algorithm: Some(algorithm), ..key })
        } else {
            public_key_for(pem, algorithm)
        };
        let header = json!({ "alg": algorithm }).to_string();
        let library: Library = algorithm.as_str().parse().unwrap();
        let token = sign_text(&header, &claims().to_string(), key, library);

        assert!(verify(&token, vec![row]).await.is_ok(), "{algorithm}");
    }
}

#[tokio::test]
async fn a_broken_row_does_not_lock_the_org_out() {
    let mut broken = public_key(RSA_A_SPKI);
    broken.material = b"-----BEGIN NOTHING-----".to_vec();
    let mut confused = secret_key(OTHER_SECRET);
    confused.algorithm = Some(Algorithm::RS256);

    let answer = verify(&sign(&claims()), vec![broken, confused, secret_key(SECRET)]).await;

    assert!(answer.is_ok());
}
