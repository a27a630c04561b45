use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Notify, Semaphore};

use super::test_keys::{
    ED_JWK, ED_PRIVATE, P256_JWK, P256_PRIVATE, RSA_A_N, RSA_A_PRIVATE, RSA_A_SPKI, RSA_B_N,
    RSA_B_PRIVATE,
};
use super::*;
use crate::auth::JwksSettings;

/// An issuer's web server, on this machine. It ends with the test's runtime.
struct Issuer {
    url: String,
    answer: Mutex<String>,
    requests: AtomicUsize,
    asked: Notify,
    /// One permit is one answer that may be given.
    answers: Semaphore,
}

impl Issuer {
    async fn start(keys: Value) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Arc::new(Self {
            url: format!("http://{}/jwks", listener.local_addr().unwrap()),
            answer: Mutex::default(),
            requests: AtomicUsize::new(0),
            asked: Notify::new(),
            answers: Semaphore::new(1000),
        });
        issuer.publish(keys).await;
        let server = Arc::clone(&issuer);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&server).answer_one(connection));
            }
        });
        issuer
    }

    async fn answer_one(self: Arc<Self>, mut connection: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            if connection.read_buf(&mut request).await.unwrap_or(0) == 0 {
                return;
            }
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.asked.notify_one();
        self.answers.acquire().await.unwrap().forget();
        let answer = self.answer.lock().await.clone();
        let _ = connection.write_all(answer.as_bytes()).await;
    }

    async fn publish(&self, keys: Value) {
        self.answer_with("200 OK", &json!({ "keys": keys }).to_string()).await;
    }

    async fn answer_with(&self, status: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().await = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn key(&self) -> OrgKey {
        stored(new_key(KeyKind::Jwks, self.url.as_bytes()))
    }

    fn keys(&self) -> KeySet {
        KeySet::new(vec![self.key()])
    }
}

fn jwk(kid: &str, n: &str) -> Value {
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": "AQAB" })
}

/// Good until long after the caches expire.
fn token(kid: &str, private: &str) -> String {
    let claims = with("exp", json!(NOW + 1_000_000));
    sign_rsa(private, &json!({ "alg": "RS256", "kid": kid }), &claims)
}

#[track_caller]
fn assert_unavailable(answer: &Result<Verified>) {
    assert!(matches!(answer, Err(Error::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn a_key_of_the_set_verifies_and_has_its_own_fingerprint() {
    let issuer = Issuer::start(json!([jwk("a", RSA_A_N), jwk("b", RSA_B_N)])).await;
    let (verifier, row) = (verifier(), issuer.key());
    let keys = KeySet::new(vec![row.clone()]);
    assert_eq!(verifier.jwks_fingerprints(&keys), []);

    for _ in 0..3 {
        let answer = verifier.verify(&token("a", RSA_A_PRIVATE), &keys, now()).await.unwrap();

        assert_eq!(answer.key_id, row.id);
        assert_eq!(answer.fingerprint, public_key(RSA_A_SPKI).fingerprint);
    }
    assert_eq!(issuer.requests(), 1);
    let known = verifier.jwks_fingerprints(&keys);
    assert_eq!(known.len(), 2);
    assert_eq!(known[0], (row.id, public_key(RSA_A_SPKI).fingerprint));
}

#[tokio::test]
async fn an_unknown_kid_fetches_the_set_anew_but_not_too_often() {
    let issuer = Issuer::start(json!([jwk("a", RSA_A_N)])).await;
    let (verifier, keys) = (verifier(), issuer.keys());
    assert!(verifier.verify(&token("a", RSA_A_PRIVATE), &keys, now()).await.is_ok());

    issuer.publish(json!([jwk("a", RSA_A_N), jwk("b", RSA_B_N)])).await;
    let rotated = token("b", RSA_B_PRIVATE);
    let soon = verifier.verify(&rotated, &keys, at(NOW + 29)).await;
    assert_eq!((refusal(soon), issuer.requests()), (NOT_OURS, 1));
    assert!(verifier.verify(&rotated, &keys, at(NOW + 30)).await.is_ok());
    assert_eq!(issuer.requests(), 2);

    for n in 0..5 {
        let forged = token(&format!("unknown-{n}"), RSA_B_PRIVATE);
        assert_eq!(refusal(verifier.verify(&forged, &keys, at(NOW + 40)).await), NOT_OURS);
    }
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test]
async fn a_known_kid_with_a_wrong_signature_fetches_nothing() {
    let issuer = Issuer::start(json!([jwk("a", RSA_A_N)])).await;
    let (verifier, keys) = (verifier(), issuer.keys());
    assert!(verifier.verify(&token("a", RSA_A_PRIVATE), &keys, now()).await.is_ok());

    let forged = verifier.verify(&token("a", RSA_B_PRIVATE), &keys, at(NOW + 60)).await;

    assert_eq!((refusal(forged), issuer.requests()), (NOT_OURS, 1));
}

#[tokio::test]
async fn a_token_that_no_set_could_verify_fetches_nothing() {
    let issuer = Issuer::start(json!([{ "kty": "oct", "kid": "a", "k": base64(SECRET) }])).await;
    let (verifier, keys) = (verifier(), issuer.keys());
    let symmetric = sign_with(SECRET, &json!({ "alg": "HS256", "kid": "a" }), &claims());
    assert_eq!(refusal(verifier.verify(&symmetric, &keys, now()).await), NOT_OURS);

    let pinned = OrgKey { algorithm: Some(Algorithm::ES256), ..issuer.key() };
    let retired = OrgKey { retired_at: Some(now()), ..issuer.key() };
    let keys = KeySet::new(vec![pinned, retired]);
    let answer = verifier.verify(&token("a", RSA_A_PRIVATE), &keys, now()).await;
    assert_eq!((refusal(answer), issuer.requests()), (NOT_OURS, 0));
}

#[tokio::test]
async fn only_what_the_database_names_is_fetched() {
    let issuer = Issuer::start(json!([jwk("b", RSA_B_N)])).await;
    let header = json!({ "alg": "RS256", "kid": "b", "jku": issuer.url, "x5u": issuer.url });
    let forged = sign_rsa(RSA_B_PRIVATE, &header, &claims());

    let answer = verify(&forged, vec![public_key(RSA_A_SPKI)]).await;

    assert_eq!((refusal(answer), issuer.requests()), (NOT_OURS, 0));
}

#[tokio::test]
async fn a_set_goes_on_counting_while_its_issuer_is_down() {
    let issuer = Issuer::start(json!([jwk("a", RSA_A_N)])).await;
    let (verifier, keys) = (verifier(), issuer.keys());
    let token = token("a", RSA_A_PRIVATE);
    assert!(verifier.verify(&token, &keys, now()).await.is_ok());

    issuer.answer_with("500 Internal Server Error", "").await;
    for (seconds, requests) in [(599, 1), (600, 2), (629, 2), (630, 3), (86_399, 4)] {
        assert!(verifier.verify(&token, &keys, at(NOW + seconds)).await.is_ok(), "{seconds}");
        assert_eq!(issuer.requests(), requests, "{seconds}");
    }
    assert_unavailable(&verifier.verify(&token, &keys, at(NOW + 86_400)).await);
}

#[tokio::test]
async fn a_key_that_left_the_set_stops_counting_when_the_set_is_old() {
    let issuer = Issuer::start(json!([jwk("a", RSA_A_N)])).await;
    let (verifier, keys) = (verifier(), issuer.keys());
    let token = token("a", RSA_A_PRIVATE);
    assert!(verifier.verify(&token, &keys, now()).await.is_ok());

    issuer.publish(json!([])).await;

    assert!(verifier.verify(&token, &keys, at(NOW + 599)).await.is_ok());
    assert_eq!(refusal(verifier.verify(&token, &keys, at(NOW + 600)).await), NOT_OURS);
    assert_eq!(verifier.jwks_fingerprints(&keys), []);
}

#[tokio::test]
async fn without_a_set_nothing_is_said_about_the_token() {
    let issuer = Issuer::start(json!([jwk("a", RSA_A_N)])).await;
    let (verifier, keys) = (verifier(), issuer.keys());
    let token = token("a", RSA_A_PRIVATE);

    let huge = format!("{{\"keys\":[],\"padding\":\"{}\"}}", "x".repeat(1024 * 1024));
    let elsewhere = format!("302 Found\r\nlocation: {}", issuer.url);
    let answers = [
        ("404 Not Found", ""),
        ("200 OK", "<html>"),
        ("200 OK", "{}"),
        ("200 OK", &huge),
        (&elsewhere, ""),
    ];
    for (index, (status, body)) in answers.into_iter().enumerate() {
        issuer.answer_with(status, body).await;
        let moment = at(NOW + 5 * i64::try_from(index).unwrap());

        assert_unavailable(&verifier.verify(&token, &keys, moment).await);
        assert_unavailable(&verifier.verify(&token, &keys, moment + Duration::from_secs(4)).await);
        assert_eq!(issuer.requests(), index + 1, "{status}");
    }

    issuer.publish(json!([jwk("a", RSA_A_N)])).await;
    assert!(verifier.verify(&token, &keys, at(NOW + 60)).await.is_ok());
}

#[tokio::test]
async fn a_silent_issuer_costs_the_timeout_at_most() {
    let issuer = Issuer::start(json!([])).await;
    issuer.answers.forget_permits(1000);
    let jwks = JwksSettings { timeout: Duration::from_millis(50), ..JwksSettings::default() };
    let verifier = Verifier::new(VerifierSettings { jwks, ..VerifierSettings::default() });

    assert_unavailable(&verifier.verify(&token("a", RSA_A_PRIVATE), &issuer.keys(), now()).await);
}

#[tokio::test]
async fn a_stored_key_verifies_without_asking_a_dead_issuer() {
    let issuer = Issuer::start(json!([])).await;
    let keys = KeySet::new(vec![issuer.key(), public_key(RSA_A_SPKI)]);

    assert!(verifier().verify(&token("a", RSA_A_PRIVATE), &keys, now()).await.is_ok());
    assert_eq!(issuer.requests(), 0);
}

#[tokio::test]
async fn many_callers_at_once_share_one_fetch() {
    let issuer = Issuer::start(json!([jwk("a", RSA_A_N)])).await;
    let (verifier, keys) = (Arc::new(verifier()), Arc::new(issuer.keys()));
    let mut callers = tokio::task::JoinSet::new();

    for _ in 0..20 {
        let (verifier, keys) = (Arc::clone(&verifier), Arc::clone(&keys));
        callers.spawn(async move {
            verifier.verify(&token("a", RSA_A_PRIVATE), &keys, now()).await.is_ok()
        });
    }

    assert!(callers.join_all().await.into_iter().all(|verified| verified));
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_undo_the_fetch() {
    let issuer = Issuer::start(json!([jwk("a", RSA_A_N)])).await;
    issuer.answers.forget_permits(1000);
    let (verifier, keys) = (verifier(), issuer.keys());
    let token = token("a", RSA_A_PRIVATE);

    tokio::select! {
        answer = verifier.verify(&token, &keys, now()) => panic!("answered: {answer:?}"),
        () = issuer.asked.notified() => {}
    }
    issuer.answers.add_permits(1);

    assert!(verifier.verify(&token, &keys, now()).await.is_ok());
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn a_key_that_is_not_for_signatures_or_too_weak_is_passed_over() {
    let altered = |member: &str, value: Value| {
        let mut key = jwk("a", RSA_A_N);
        key[member] = value;
        key
    };
    let short = base64(vec![0xff; 128]);

    for useless in [
        altered("use", json!("enc")),
        altered("key_ops", json!(["encrypt"])),
        altered("alg", json!("RSA-OAEP")),
        altered("alg", json!("HS256")),
        altered("alg", json!("ES256")),
        altered("alg", json!("none")),
        altered("kty", json!("oct")),
        altered("kty", json!("EC")),
        altered("n", json!(short)),
        altered("n", json!("!")),
        altered("e", json!("AQ")),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AAAA" }),
        json!({ "kty": "EC", "crv": "P-256", "kid": "a", "x": "AAAA", "y": "AAAA" }),
        json!("a"),
        json!(null),
    ] {
        let issuer = Issuer::start(json!([useless, jwk("b", RSA_B_N)])).await;
        let (verifier, keys) = (verifier(), issuer.keys());

        let answer = verifier.verify(&token("a", RSA_A_PRIVATE), &keys, now()).await;

        assert_eq!(refusal(answer), NOT_OURS, "{useless}");
        assert!(verifier.verify(&token("b", RSA_B_PRIVATE), &keys, now()).await.is_ok());
    }
}

#[tokio::test]
async fn keys_past_the_hundredth_are_not_looked_at() {
    let mut keys: Vec<_> = (0..99).map(|n| jwk(&format!("k{n}"), RSA_B_N)).collect();
    keys.push(jwk("hundredth", RSA_A_N));
    keys.push(jwk("next", RSA_A_N));
    let issuer = Issuer::start(json!(keys)).await;
    let (verifier, keys) = (verifier(), issuer.keys());

    let hundredth = verifier.verify(&token("hundredth", RSA_A_PRIVATE), &keys, now()).await;
    let next = verifier.verify(&token("next", RSA_A_PRIVATE), &keys, now()).await;

    assert!(hundredth.is_ok());
    assert_eq!(refusal(next), NOT_OURS);
}

#[tokio::test]
async fn a_key_without_an_algorithm_takes_the_rows_or_its_familys() {
    let key = json!({ "kty": "RSA", "kid": "a", "n": RSA_A_N, "e": "AQAB" });
    let issuer = Issuer::start(json!([key])).await;
    let pinned = OrgKey { algorithm: Some(Algorithm::PS256), ..issuer.key() };
    let signing = EncodingKey::from_rsa_pem(RSA_A_PRIVATE.as_bytes()).unwrap();
    let signed = |algorithm: Library| {
        let header = json!({ "alg": algorithm, "kid": "a" }).to_string();
        sign_text(&header, &claims().to_string(), &signing, algorithm)
    };
    let (rs256, ps256) = (signed(Library::RS256), signed(Library::PS256));

    for (row, token, counts) in [
        (issuer.key(), &rs256, true),
        (issuer.key(), &ps256, false),
        (pinned.clone(), &ps256, true),
        (pinned, &rs256, false),
    ] {
        assert_eq!(verify(token, vec![row]).await.is_ok(), counts);
    }
}

#[tokio::test]
async fn elliptic_keys_of_a_set_verify_too() {
    let (p256, p256_jwk) = (EncodingKey::from_ec_pem(P256_PRIVATE.as_bytes()).unwrap(), P256_JWK);
    let (ed, ed_jwk) = (EncodingKey::from_ed_pem(ED_PRIVATE.as_bytes()).unwrap(), ED_JWK);
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let issuer = Issuer::start(json!([parse(p256_jwk), parse(ed_jwk)])).await;

    for (key, algorithm) in [(&p256, Library::ES256), (&ed, Library::EdDSA)] {
        // Without a `kid`, as small issuers do.
        let header = json!({ "alg": algorithm }).to_string();
        let token = sign_text(&header, &claims().to_string(), key, algorithm);

        assert!(verify(&token, vec![issuer.key()]).await.is_ok(), "{algorithm:?}");
    }
}
