use time::Duration;

use super::test_keys::RSA_A_SPKI;
use super::*;
use crate::auth::{MintClaims, mint};
use crate::domain::{Kind, OrgSlug};

fn mint_claims() -> MintClaims {
    MintClaims {
        email: "alice@example.com".to_owned(),
        subject: None,
        org: Some(OrgSlug::parse("acme").unwrap()),
        name: Some("Alice".to_owned()),
        zoneinfo: None,
        kind: Kind::Staff,
        admin: false,
        issued_at: now(),
        expires_at: now() + Duration::hours(1),
    }
}

#[tokio::test]
async fn a_minted_token_verifies_with_its_key() {
    let key = stored(NewKey {
        kid: Some("k1".to_owned()),
        algorithm: Some(Algorithm::HS512),
        issuer: Some("duologue".to_owned()),
        audience: Some("duologue".to_owned()),
        may_admin: true,
        ..new_key(KeyKind::Secret, SECRET)
    });

    let token = mint(&key, &MintClaims { admin: true, ..mint_claims() }).unwrap();
    let verified = verify(&token, vec![key]).await.unwrap();

    assert!(verified.is_admin());
    let claims = verified.claims;
    assert_eq!((claims.org.as_deref(), claims.kind), (Some("acme"), Kind::Staff));
    assert_eq!((claims.subject.as_str(), claims.subject_is_email), ("alice@example.com", true));
}

#[test]
fn only_a_secret_that_may_vouch_for_it_mints_an_admin() {
    let admin = MintClaims { admin: true, ..mint_claims() };

    assert!(matches!(mint(&secret_key(SECRET), &admin), Err(Error::Invalid(_))));
    assert!(matches!(mint(&public_key(RSA_A_SPKI), &mint_claims()), Err(Error::Invalid(_))));
}
