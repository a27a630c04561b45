//! What is refused before anything is looked up.

use std::sync::{Arc, atomic::Ordering};

use duologue::{
    domain::{HeaderText, OutgoingError, OutgoingRequest},
    settings,
};

use super::support::{
    HOST, Peer, Scene, Script, assert_denied, get, host, local_settings, plain, secret, with_header,
};

#[tokio::test]
async fn only_https_to_granted_names_is_looked_up() {
    let names = Script::local();
    let scene = Scene::new(local_settings(), names.clone());

    for url in [
        "http://api.test/",
        "ftp://api.test/",
        "api.test",
        "https://user@api.test/",
        "https://user:word@api.test/",
        "https://api.test./",
        "https://api.test:444/",
        "https://b.api.test:8443/",
        "https://evil.test/",
        "https://api.test.evil.test/",
        "https://evil.test/api.test",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://169.254.169.254/latest/meta-data",
    ] {
        assert_denied(&scene.ask_for(url).await);
    }
    assert_eq!(names.lookups.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_the_operator_denies_no_org_can_grant() {
    let settings =
        settings::Outgoing { denied_hosts: vec![host("*.api.test")], ..local_settings() };
    let names = Script::local();
    let scene = Scene::new(settings, names.clone());

    assert_denied(&scene.ask_for("https://b.api.test/").await);
    assert_eq!(names.lookups.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn headers_that_steer_the_connection_cannot_be_set() {
    let peer = Peer::answering("200 OK", "").await;
    let scene = Scene::local();

    for name in [
        "Host",
        "Connection",
        "keep-alive",
        "Transfer-Encoding",
        "Content-Length",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Proxy-Authorization",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "Forwarded",
        "Via",
        "Accept-Encoding",
        "Authorization",
        "bad name",
        "",
    ] {
        assert_denied(&scene.ask(&peer, with_header(&peer.url("/"), name, plain("x"))).await);
    }
    let split = with_header(&peer.url("/"), "x-a", plain("b\r\nhost: evil"));
    assert_denied(&scene.ask(&peer, split).await);
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_secret_is_spent_at_its_own_hosts_alone() {
    let peer = Peer::answering("200 OK", "").await;
    let scene = Scene::local();
    let (bound, elsewhere) = (secret("hush", peer.grant()), secret("hush", host(HOST)));

    for text in [HeaderText::Bearer(elsewhere.clone()), HeaderText::Secret(elsewhere)] {
        let refused = scene.ask(&peer, with_header(&peer.url("/"), "authorization", text)).await;
        assert_denied(&refused);
        assert!(!format!("{refused:?}").contains("hush"));
    }
    assert_eq!(peer.connections(), 0);
    let headers = vec![
        ("authorization".to_owned(), HeaderText::Bearer(bound.clone())),
        ("x-api-key".to_owned(), HeaderText::Secret(bound)),
    ];
    let request = OutgoingRequest { headers, ..get(&peer.url("/")) };
    scene.ask(&peer, request).await.unwrap();
    let sent = peer.requests.lock().unwrap()[0].clone();
    assert!(sent.contains("authorization: Bearer hush\r\n"), "{sent}");
    assert!(sent.contains("x-api-key: hush\r\n"), "{sent}");
}

#[tokio::test]
async fn a_request_has_a_size_and_an_org_a_rate() {
    let peer = Peer::answering("200 OK", "").await;
    let mut scene = Scene::local();
    let body = vec![b'x'; local_settings().max_request_bytes];
    let large = OutgoingRequest { body, ..get(&peer.url("/")) };
    assert_eq!(scene.ask(&peer, large).await, Err(OutgoingError::TooLarge));

    scene.org.settings.limits.outgoing_burst = 2;
    scene.org.settings.limits.outgoing_per_second = 0;
    for _ in 0..2 {
        scene.ask(&peer, get(&peer.url("/"))).await.unwrap();
    }
    let third = scene.ask(&peer, get(&peer.url("/"))).await;
    let other_org = Scene { outgoing: scene.outgoing.clone(), org: super::support::org() };

    assert_eq!(third, Err(OutgoingError::QuotaExceeded));
    assert!(other_org.ask(&peer, get(&peer.url("/"))).await.is_ok());
    assert_eq!(peer.connections(), 3);
}

#[tokio::test]
async fn a_call_is_given_as_many_requests_as_the_setting_says() {
    let settings = settings::Outgoing { requests_per_call: 1, ..local_settings() };
    let mut left =
        Scene::new(settings, Arc::new(duologue::service::SystemNames)).outgoing.per_call();

    assert_eq!(left.take(), Ok(()));
    assert_eq!(left.take(), Err(OutgoingError::QuotaExceeded));
}
