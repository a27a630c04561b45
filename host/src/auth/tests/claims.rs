use jsonwebtoken::{Algorithm as Library, EncodingKey};
use serde_json::json;

use super::*;
use crate::domain::Kind;

#[tokio::test]
async fn a_good_token_says_who_its_bearer_is() {
    let verified = verify_claims(&json!({
        "sub": "u-1", "email": "Alice@Example.com", "email_verified": true,
        "iss": "https://id.example.com", "aud": "anything", "orgId": "acme", "kind": "staff",
        "roles": ["user", "admin"], "name": " Alice ", "picture": "https://e.com/a.png",
        "zoneinfo": "Europe/Berlin", "locale": "de-DE", "iat": NOW, "exp": NOW + 1, "nbf": NOW,
    }))
    .await
    .unwrap();

    let claims = verified.claims;
    assert_eq!((claims.subject.as_str(), claims.subject_is_email), ("u-1", false));
    assert_eq!(claims.email.as_str(), "Alice@Example.com");
    assert_eq!(claims.issuer, "https://id.example.com");
    assert_eq!(claims.org.as_deref(), Some("acme"));
    assert_eq!((claims.kind, claims.roles_admin), (Kind::Staff, true));
    assert_eq!(claims.roles, ["user", "admin"]);
    assert_eq!(claims.name.as_deref(), Some("Alice"));
    assert_eq!(claims.picture.as_deref(), Some("https://e.com/a.png"));
    assert_eq!(claims.zoneinfo.as_deref(), Some("Europe/Berlin"));
    assert_eq!(claims.locale.as_deref(), Some("de-DE"));
    assert_eq!((claims.issued_at, claims.expires_at), (now(), at(NOW + 1)));
    assert!(!verified.may_admin);
}

#[tokio::test]
async fn what_a_token_leaves_out_has_a_default() {
    let claims = verify_claims(&claims()).await.unwrap().claims;

    assert_eq!(claims.kind, Kind::Customer);
    assert_eq!((claims.issuer.as_str(), claims.org, claims.roles_admin), ("", None, false));
    assert_eq!((claims.name, claims.picture, claims.zoneinfo), (None, None, None));
}

#[tokio::test]
async fn a_token_without_a_subject_is_its_e_mails() {
    for claims in [without("sub"), with("sub", json!(null))] {
        let claims = verify_claims(&claims).await.unwrap().claims;

        assert_eq!((claims.subject.as_str(), claims.subject_is_email), ("alice@example.com", true));
    }
    let spelled = verify_claims(&with("sub", json!("alice@EXAMPLE.com"))).await.unwrap().claims;
    assert_eq!((spelled.subject.as_str(), spelled.subject_is_email), ("alice@EXAMPLE.com", true));
}

#[tokio::test]
async fn a_token_counts_from_its_start_until_its_end() {
    for (claim, seconds, expected) in [
        ("exp", NOW - 1, Some("the token has expired")),
        ("exp", NOW, Some("the token has expired")),
        ("exp", NOW + 1, None),
        ("exp", 253_402_300_799, None),
        ("nbf", NOW + 6, Some("the token is not valid yet")),
        ("nbf", NOW + 5, None),
        ("iat", NOW + 6, Some("the token was issued in the future")),
        ("iat", NOW + 5, None),
        ("iat", 0, None),
    ] {
        let answer = verify_claims(&with(claim, json!(seconds))).await;

        match expected {
            Some(text) => assert_eq!(refusal(answer), text, "{claim} {seconds}"),
            None => assert!(answer.is_ok(), "{claim} {seconds}"),
        }
    }
}

#[tokio::test]
async fn leeway_is_a_setting() {
    let settings =
        VerifierSettings { exp_leeway: std::time::Duration::from_secs(10), ..Default::default() };
    let (verifier, keys) = (Verifier::new(settings), KeySet::new(vec![secret_key(SECRET)]));

    let late = sign(&with("exp", json!(NOW - 9)));
    assert!(verifier.verify(&late, &keys, now()).await.is_ok());

    let too_late = sign(&with("exp", json!(NOW - 10)));
    assert_eq!(refusal(verifier.verify(&too_late, &keys, now()).await), "the token has expired");

    let far = sign(&with("exp", json!(253_402_300_799_i64)));
    assert!(verifier.verify(&far, &keys, now()).await.is_ok());
}

#[tokio::test]
async fn a_time_is_whole_seconds_within_reason() {
    let key = EncodingKey::from_secret(SECRET);
    let token = |claim: &str, json: &str| {
        let rest = without(claim).to_string();
        let payload = rest.replacen('{', &format!("{{\"{claim}\":{json},"), 1);
        sign_text(r#"{"alg":"HS256"}"#, &payload, &key, Library::HS256)
    };
    for claim in ["exp", "iat", "nbf"] {
        let seconds = if claim == "exp" { "1800000001" } else { "1800000000" };
        assert!(verify(&token(claim, seconds), vec![secret_key(SECRET)]).await.is_ok());
    }

    for absurd in [
        "1e400",
        "1e12",
        "1800000500.5",
        "-1",
        "-9223372036854775808",
        "253402300800",
        "9223372036854775807",
        "18446744073709551616",
        "\"1800000500\"",
        "true",
        "[1800000500]",
        "{}",
        "NaN",
    ] {
        for claim in ["exp", "iat", "nbf"] {
            refusal(verify(&token(claim, absurd), vec![secret_key(SECRET)]).await);
        }
    }
}

#[tokio::test]
async fn a_token_says_when_it_was_issued_until_when_and_for_whom() {
    for (claim, text) in [
        ("exp", "the token has no exp"),
        ("iat", "the token has no iat"),
        ("email", "the token has no email"),
    ] {
        assert_eq!(refusal(verify_claims(&without(claim)).await), text);
        assert_eq!(refusal(verify_claims(&with(claim, json!(null))).await), text);
    }
}

#[tokio::test]
async fn a_claim_of_the_wrong_type_or_value_is_refused() {
    for (claim, bad) in [
        ("sub", json!(12345)),
        ("sub", json!("")),
        ("sub", json!(["u-1"])),
        ("sub", json!("a\u{0}b")),
        ("sub", json!("x".repeat(513))),
        ("iss", json!(7)),
        ("iss", json!("")),
        ("email", json!("bob")),
        ("email", json!("")),
        ("email", json!(["alice@example.com"])),
        ("email", json!("a\u{0}@example.com")),
        ("email", json!("Alice <alice@example.com>")),
        ("email", json!("bot@duologue.invalid")),
        ("email", json!("BOT@Duologue.Invalid")),
        ("email_verified", json!(false)),
        ("email_verified", json!("false")),
        ("email_verified", json!(0)),
        ("orgId", json!(1)),
        ("orgId", json!(["acme"])),
        ("kind", json!("robot")),
        ("kind", json!("Staff")),
        ("kind", json!(["staff"])),
        ("roles", json!({ "admin": true })),
        ("roles", json!(["admin", 1])),
        ("roles", json!(true)),
    ] {
        let answer = verify_claims(&with(claim, bad.clone())).await;

        assert!(matches!(answer, Err(Error::Unauthorized(_))), "{claim} = {bad}");
    }
}

#[tokio::test]
async fn what_is_only_shown_is_left_out_where_it_is_no_good() {
    for (claim, bad) in [
        ("name", json!("Al\u{0}ice")),
        ("name", json!("a\nb")),
        ("name", json!("  ")),
        ("name", json!("é".repeat(201))),
        ("name", json!(7)),
        ("picture", json!("javascript:alert(1)")),
        ("picture", json!("data:image/png;base64,AAAA")),
        ("picture", json!("/a.png")),
        ("picture", json!(format!("https://e.com/{}", "x".repeat(2048)))),
        ("zoneinfo", json!("x".repeat(65))),
        ("locale", json!("de\u{7}")),
    ] {
        let claims = verify_claims(&with(claim, bad.clone())).await.unwrap().claims;

        let shown = [claims.name, claims.picture, claims.zoneinfo, claims.locale];
        assert_eq!(shown, [const { None }; 4], "{claim} = {bad}");
    }
    let longest = verify_claims(&with("name", json!("é".repeat(200)))).await.unwrap();
    assert_eq!(longest.claims.name.unwrap().chars().count(), 200);
}

#[tokio::test]
async fn admin_needs_a_role_and_a_key_that_may_vouch_for_it() {
    let vouching = stored(NewKey { may_admin: true, ..new_key(KeyKind::Secret, SECRET) });
    for (roles, says_admin) in [
        (json!(["admin"]), true),
        (json!("admin"), true),
        (json!(["user"]), false),
        (json!("user admin"), false),
        (json!(["Admin"]), false),
        (json!([]), false),
        (json!(null), false),
    ] {
        let token = sign(&with("roles", roles.clone()));

        let plain = verify(&token, vec![secret_key(SECRET)]).await.unwrap();
        let vouched = verify(&token, vec![vouching.clone()]).await.unwrap();

        assert!(!plain.is_admin(), "{roles}");
        assert_eq!(vouched.is_admin(), says_admin, "{roles}");
    }
}

#[tokio::test]
async fn a_key_may_ask_for_an_issuer_and_an_audience() {
    let key = stored(NewKey {
        issuer: Some("https://id.example.com".to_owned()),
        audience: Some("duologue".to_owned()),
        ..new_key(KeyKind::Secret, SECRET)
    });
    let token = |iss: Value, aud: Value| {
        let mut claims = claims();
        claims["iss"] = iss;
        claims["aud"] = aud;
        sign(&claims)
    };
    let ours = json!("https://id.example.com");

    for aud in [json!("duologue"), json!(["other", "duologue"])] {
        assert!(verify(&token(ours.clone(), aud), vec![key.clone()]).await.is_ok());
    }
    for iss in [json!(null), json!("https://id.example.com/"), json!(["https://id.example.com"])] {
        let answer = verify(&token(iss, json!("duologue")), vec![key.clone()]).await;
        assert_eq!(refusal(answer), "the token is from another issuer");
    }
    for aud in [json!(null), json!("Duologue"), json!([]), json!([["duologue"]]), json!(1)] {
        let answer = verify(&token(ours.clone(), aud), vec![key.clone()]).await;
        assert_eq!(refusal(answer), "the token is meant for another audience");
    }
}

#[tokio::test]
async fn one_secret_may_stand_for_several_issuers() {
    let key = |issuer: &str| {
        stored(NewKey { issuer: Some(issuer.to_owned()), ..new_key(KeyKind::Secret, SECRET) })
    };
    let (old, new) = (key("https://old.example.com"), key("https://new.example.com"));
    let token = sign(&with("iss", json!("https://old.example.com")));

    let verified = verify(&token, vec![old.clone(), new]).await.unwrap();

    assert_eq!(verified.key_id, old.id);
}
