use jsonwebtoken::{Algorithm as Library, EncodingKey};
use serde_json::json;

use super::test_keys::{RSA_A_N, RSA_A_PKCS1, RSA_A_PRIVATE, RSA_A_SPKI, RSA_B_PRIVATE};
use super::*;
use crate::auth::unverified_org;

#[tokio::test]
async fn a_token_without_a_signature_algorithm_is_refused() {
    for alg in ["none", "None", "NoNe", "NONE", "", "nonexistent", "hs256"] {
        let header = json!({ "typ": "JWT", "alg": alg });
        let message = format!("{}.{}", base64(header.to_string()), base64(claims().to_string()));
        let stripped = format!("{message}.");
        let signed = sign_with(SECRET, &header, &claims());

        assert!(verify(&stripped, vec![secret_key(SECRET)]).await.is_err(), "{alg}");
        assert_eq!(
            refusal(verify(&signed, vec![secret_key(SECRET)]).await),
            "the token's algorithm is not accepted",
            "{alg}"
        );
    }
}

#[tokio::test]
async fn a_token_that_names_no_algorithm_is_refused() {
    for header in [json!({}), json!({ "alg": null }), json!({ "typ": "JWT" })] {
        let token = sign_with(SECRET, &header, &claims());

        refusal(verify(&token, vec![secret_key(SECRET)]).await);
    }
}

#[tokio::test]
async fn a_public_key_is_never_a_secret() {
    let public = public_key(RSA_A_SPKI);
    let der = pem::parse(RSA_A_SPKI).unwrap().into_contents();
    let pkcs1 = pem::parse(RSA_A_PKCS1).unwrap().into_contents();
    let header = json!({ "alg": "HS256" });

    for secret in [RSA_A_SPKI.as_bytes(), RSA_A_SPKI.trim_end().as_bytes(), &der, &pkcs1] {
        let token = sign_with(secret, &header, &claims());

        assert_eq!(refusal(verify(&token, vec![public.clone()]).await), NOT_OURS);
    }
}

#[tokio::test]
async fn a_key_verifies_its_own_algorithm_only() {
    let secret = EncodingKey::from_secret(SECRET);
    let rsa = EncodingKey::from_rsa_pem(RSA_A_PRIVATE.as_bytes()).unwrap();
    let keys = vec![secret_key(SECRET), public_key(RSA_A_SPKI)];

    for (key, algorithm) in [
        (&secret, Library::HS384),
        (&secret, Library::HS512),
        (&rsa, Library::RS512),
        (&rsa, Library::PS256),
    ] {
        let header = json!({ "alg": algorithm }).to_string();
        let token = sign_text(&header, &claims().to_string(), key, algorithm);

        assert_eq!(refusal(verify(&token, keys.clone()).await), NOT_OURS, "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_header_that_names_another_algorithm_than_it_was_signed_with_is_refused() {
    let token = sign_with(SECRET, &json!({ "alg": "RS256" }), &claims());

    let keys = vec![secret_key(SECRET), public_key(RSA_A_SPKI)];

    assert_eq!(refusal(verify(&token, keys).await), NOT_OURS);
}

#[tokio::test]
async fn a_key_that_the_token_brings_along_is_not_used() {
    let jwk = json!({ "kty": "RSA", "n": RSA_A_N, "e": "AQAB", "kid": "mine", "alg": "RS256" });
    let forged = json!({
        "alg": "RS256", "kid": "mine", "jwk": jwk,
        "jku": "https://attacker.example/jwks", "x5u": "https://attacker.example/x5",
        "x5c": ["MIIB"],
    });
    let token = sign_rsa(RSA_B_PRIVATE, &forged, &claims());
    assert_eq!(refusal(verify(&token, vec![public_key(RSA_A_SPKI)]).await), NOT_OURS);

    let symmetric = json!({ "alg": "HS256", "jwk": { "kty": "oct", "k": base64(OTHER_SECRET) } });
    let token = sign_with(OTHER_SECRET, &symmetric, &claims());
    assert_eq!(refusal(verify(&token, vec![secret_key(SECRET)]).await), NOT_OURS);
}

#[tokio::test]
async fn a_kid_is_only_a_name() {
    for kid in ["../../dev/null", "' or 1=1 --", "unknown", "\0", ""] {
        let header = json!({ "alg": "HS256", "kid": kid });
        let forged = sign_with(b"", &header, &claims());

        assert_eq!(refusal(verify(&forged, vec![secret_key(SECRET)]).await), NOT_OURS, "{kid:?}");
    }
    let token = sign_with(SECRET, &json!({ "alg": "HS256", "kid": 1 }), &claims());
    assert_eq!(
        refusal(verify(&token, vec![secret_key(SECRET)]).await),
        "the token's kid must be a string"
    );
}

#[tokio::test]
async fn a_header_that_asks_for_an_extension_is_refused() {
    for (member, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(null)),
        ("crit", json!("b64")),
        ("b64", json!(false)),
    ] {
        let mut header = json!({ "alg": "HS256" });
        header[member] = value;
        let token = sign_with(SECRET, &header, &claims());

        assert_eq!(
            refusal(verify(&token, vec![secret_key(SECRET)]).await),
            "the token's header asks for an unknown extension",
            "{header}"
        );
    }
}

#[tokio::test]
async fn another_secret_or_none_is_refused() {
    for secret in [OTHER_SECRET, b"", b"secret", &SECRET[..31]] {
        let token = sign_with(secret, &json!({ "alg": "HS256" }), &claims());

        assert_eq!(refusal(verify(&token, vec![secret_key(SECRET)]).await), NOT_OURS);
    }
    assert_eq!(refusal(verify(&sign(&claims()), vec![]).await), NOT_OURS);
}

#[tokio::test]
async fn a_token_that_was_changed_after_signing_is_refused() {
    let token = sign(&claims());
    let [header, payload, signature]: [&str; 3] =
        token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let promoted = base64(with("roles", json!(["admin"])).to_string());

    for changed in [
        format!("{header}.{promoted}.{signature}"),
        format!("{header}.{payload}.{}", base64([0; 32])),
        format!("{}.{payload}.{signature}", base64(r#"{"alg":"HS256"}"#)),
        token[..token.len() - 4].to_owned(),
    ] {
        assert_eq!(refusal(verify(&changed, vec![secret_key(SECRET)]).await), NOT_OURS);
    }
}

#[tokio::test]
async fn what_is_not_exactly_one_compact_token_is_refused() {
    let token = sign(&claims());
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();

    for garbage in [
        String::new(),
        "a".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "\u{1F600}.\u{1F600}.\u{1F600}".to_owned(),
        message.to_owned(),
        format!("{message}."),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!("{token}.{signature}"),
        format!("{token}."),
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("Bearer {token}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}!.{signature}"),
        format!("{header}.{payload}.{signature}%%"),
        format!("{token},{token}"),
    ] {
        refusal(verify(&garbage, vec![secret_key(SECRET)]).await);
    }
}

#[tokio::test]
async fn a_signature_has_one_spelling() {
    let token = sign(&claims());
    // 32 bytes leave two unused bits in the last base64 character.
    let last = token.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let index = alphabet.find(last).unwrap();

    for bits in 1..4 {
        let twin = alphabet.chars().nth(index + bits).unwrap();
        let respelled = format!("{}{twin}", &token[..token.len() - 1]);

        assert_eq!(refusal(verify(&respelled, vec![secret_key(SECRET)]).await), NOT_OURS);
    }
}

#[tokio::test]
async fn a_member_written_twice_is_refused() {
    let key = EncodingKey::from_secret(SECRET);
    let plain = claims().to_string();
    let twice = plain.replacen('{', r#"{"email":"bob@example.com","#, 1);
    let token = sign_text(r#"{"alg":"HS256"}"#, &twice, &key, Library::HS256);
    assert_eq!(
        refusal(verify(&token, vec![secret_key(SECRET)]).await),
        "the token's claims cannot be read"
    );

    let token = sign_text(r#"{"alg":"HS256","alg":"HS256"}"#, &plain, &key, Library::HS256);
    assert_eq!(
        refusal(verify(&token, vec![secret_key(SECRET)]).await),
        "the token's header cannot be read"
    );
}

#[tokio::test]
async fn a_payload_that_is_not_one_json_object_is_refused() {
    let key = EncodingKey::from_secret(SECRET);
    let plain = claims().to_string();
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(2000), "]".repeat(2000));

    for payload in ["", "null", "[]", "1", "\"a\"", "{", &format!("{plain}{{}}"), &deep] {
        let token = sign_text(r#"{"alg":"HS256"}"#, payload, &key, Library::HS256);

        refusal(verify(&token, vec![secret_key(SECRET)]).await);
    }
}

#[tokio::test]
async fn an_over_long_token_is_refused_unread() {
    let token = sign(&with("padding", json!("x".repeat(8 * 1024))));

    let answer = verify(&token, vec![secret_key(SECRET)]).await;

    assert_eq!(refusal(answer), "the token is too long");
}

#[tokio::test]
async fn one_token_costs_a_bounded_number_of_tries() {
    let mut keys: Vec<_> = (0..40).map(|_| secret_key(OTHER_SECRET)).collect();
    let mut right = secret_key(SECRET);
    right.created_at = at(NOW - 1);
    keys.push(right.clone());
    assert_eq!(refusal(verify(&sign(&claims()), keys.clone()).await), NOT_OURS);

    right.kid = Some("right".to_owned());
    keys.push(right);
    let named = sign_with(SECRET, &json!({ "alg": "HS256", "kid": "right" }), &claims());
    assert!(verify(&named, keys).await.is_ok());
}

#[test]
fn the_org_is_read_unverified_from_any_token_that_names_one() {
    assert_eq!(unverified_org(&sign(&with("orgId", json!("acme")))).as_deref(), Some("acme"));
    for token in [
        sign(&claims()),
        sign(&with("orgId", json!(7))),
        sign(&with("orgId", json!(null))),
        "a.b.c".to_owned(),
        String::new(),
        sign(&with("orgId", json!("x".repeat(64 * 1024)))),
    ] {
        assert_eq!(unverified_org(&token), None);
    }
}
