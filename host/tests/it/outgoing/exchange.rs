//! A request, and what comes back.

use std::{sync::Arc, time::Duration};

use duologue::{
    domain::{OutgoingError, OutgoingMethod, OutgoingRequest, OutgoingResponse},
    service::{Limits, Outgoing},
    settings,
};

use super::support::{
    HOST, LONG, Peer, Scene, Script, get, host, local_settings, plain, with_header,
};

#[tokio::test]
async fn a_request_arrives_as_it_was_made_and_its_answer_comes_back() {
    let peer = Peer::answering("201 Created\r\nX-Answer: yes", "made").await;
    let url = peer.url("/things?a=b");
    let request = OutgoingRequest {
        method: OutgoingMethod::Post,
        body: b"hello".to_vec(),
        ..with_header(&url, "Content-Type", plain("text/plain"))
    };

    let answer = Scene::local().ask(&peer, request).await.unwrap();

    assert_eq!((answer.status, answer.body.as_slice()), (201, &b"made"[..]));
    assert!(answer.headers.contains(&("x-answer".to_owned(), "yes".to_owned())));
    let sent = peer.requests.lock().unwrap()[0].clone();
    assert!(sent.starts_with("POST /things?a=b HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains(&format!("host: {HOST}:{}\r\n", peer.port)), "{sent}");
    assert!(sent.contains("content-type: text/plain\r\n"), "{sent}");
    assert!(sent.contains("accept-encoding: identity\r\n"), "{sent}");
    assert!(sent.ends_with("\r\n\r\nhello"), "{sent}");
}

#[tokio::test]
async fn a_redirect_is_handed_over_and_not_followed() {
    let target = Peer::answering("200 OK", "").await;
    let head = format!("302 Found\r\nlocation: {}", target.url("/"));
    let peer = Peer::answering(&head, "").await;

    let answer = Scene::local().ask(&peer, get(&peer.url("/"))).await.unwrap();

    assert_eq!(answer.status, 302);
    assert!(answer.headers.contains(&("location".to_owned(), target.url("/"))));
    assert_eq!((peer.connections(), target.connections()), (1, 0));
}

#[tokio::test]
async fn an_answer_has_a_size_whether_or_not_it_says_so() {
    let settings = settings::Outgoing { max_response_bytes: 1000, ..local_settings() };
    let scene = Scene::new(settings, Script::local());
    let said = Peer::answering("200 OK", &"x".repeat(1001)).await;
    let endless = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(100_000));
    let unsaid = Peer::start(Some(endless.into())).await;
    let headers = format!("200 OK\r\nx-long: {}", "x".repeat(1000));
    let headers = Peer::answering(&headers, "").await;

    for peer in [said, unsaid, headers] {
        let answer = scene.ask(&peer, get(&peer.url("/"))).await;
        assert_eq!(answer, Err(OutgoingError::TooLarge));
    }
    let just = Peer::answering("200 OK", &"x".repeat(900)).await;
    assert!(scene.ask(&just, get(&just.url("/"))).await.is_ok());
}

#[tokio::test]
async fn a_compressed_answer_is_handed_over_as_it_came() {
    let peer = Peer::answering("200 OK\r\ncontent-encoding: gzip", "not really").await;

    let answer = Scene::local().ask(&peer, get(&peer.url("/"))).await.unwrap();

    assert_eq!(answer.body, b"not really");
    assert!(answer.headers.contains(&("content-encoding".to_owned(), "gzip".to_owned())));
}

#[tokio::test]
async fn a_request_ends_with_its_own_time_or_the_calls_whichever_is_first() {
    let (brief, scene) = (Duration::from_millis(50), Scene::local());
    let ask = async |timeout: Option<Duration>, budget: Duration| {
        let peer = Peer::start(None).await;
        let request = OutgoingRequest { timeout, ..get(&peer.url("/")) };
        scene.outgoing.send(&scene.org, &[peer.grant()], request, budget).await
    };

    assert_eq!(ask(None, brief).await, Err(OutgoingError::Timeout));
    assert_eq!(ask(Some(LONG), brief).await, Err(OutgoingError::Timeout));
    assert_eq!(ask(Some(brief), LONG).await, Err(OutgoingError::Timeout));
}

#[tokio::test]
async fn a_certificate_counts_only_where_it_is_trusted_and_names_the_host() {
    let peer = Peer::answering("200 OK", "").await;
    let ask = async |settings: settings::Outgoing, name: &str| {
        let scene = Scene::new(settings, Script::local());
        let at = format!("{name}:{}", peer.port);
        let request = get(&format!("https://{at}/"));
        scene.outgoing.send(&scene.org, &[host(&at)], request, LONG).await
    };
    let no_roots = settings::Outgoing { extra_roots: None, ..local_settings() };

    assert!(ask(local_settings(), HOST).await.is_ok());
    for refused in [ask(no_roots, HOST).await, ask(local_settings(), "other.test").await] {
        assert!(matches!(refused, Err(OutgoingError::Transport(_))), "{refused:?}");
    }
    assert_eq!(peer.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    let peer = Peer::start(Some(b"SSH-2.0-hello\r\n".to_vec())).await;

    let answer: Result<OutgoingResponse, _> = Scene::local().ask(&peer, get(&peer.url("/"))).await;

    assert!(matches!(answer, Err(OutgoingError::Transport(_))), "{answer:?}");
}

#[tokio::test]
async fn roots_that_cannot_be_read_stop_the_server() {
    let extra_roots = Some("/no/such/file.pem".into());
    let settings = settings::Outgoing { extra_roots, ..local_settings() };

    let refused = Outgoing::new(settings, Arc::new(Limits::default()), Script::local());

    let text = refused.map(|_| ()).unwrap_err().to_string();
    assert!(text.contains("outgoing.extra_roots") && text.contains("/no/such/file.pem"), "{text}");
}
