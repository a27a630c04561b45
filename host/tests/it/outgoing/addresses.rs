//! Where names lead, and that nothing else is connected to.

use std::sync::{Arc, atomic::Ordering};

use duologue::{
    domain::{Network, OutgoingError},
    service::{LookUp, Names},
    settings,
};

use super::support::{Peer, Scene, Script, assert_denied, get, local_settings, public_settings};

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_refused() {
    for address in
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1"]
    {
        let scene = Scene::new(public_settings(), Script::new(&[&[address]]));

        assert_denied(&scene.ask_for("https://api.test/").await);
    }
}

#[tokio::test]
async fn one_private_address_among_public_ones_is_enough_to_refuse() {
    let peer = Peer::answering("200 OK", "").await;
    let names = Script::new(&[&["127.0.0.1", "10.0.0.1"], &["10.0.0.1", "127.0.0.1"]]);
    let scene = Scene::new(local_settings(), names);

    for _ in 0..2 {
        assert_denied(&scene.ask(&peer, get(&peer.url("/"))).await);
    }
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_looked_up_once_a_request_and_then_refused() {
    let peer = Peer::answering("200 OK", "").await;
    // Good when it is checked; to a second look-up it would lead elsewhere.
    let names = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let scene = Scene::new(local_settings(), names.clone());

    assert!(scene.ask(&peer, get(&peer.url("/"))).await.is_ok());
    assert_eq!(names.lookups.load(Ordering::SeqCst), 1);
    assert_denied(&scene.ask(&peer, get(&peer.url("/"))).await);
    assert_eq!(names.lookups.load(Ordering::SeqCst), 2);
    assert_eq!(peer.connections(), 1);
}

#[tokio::test]
async fn an_operator_may_open_a_private_network() {
    let network = Network::parse("10.0.0.0/8").unwrap();
    let settings = settings::Outgoing { private_networks: vec![network], ..public_settings() };
    let scene = Scene::new(settings, Script::new(&[&["172.16.0.1"]]));

    assert_denied(&scene.ask_for("https://api.test/").await);
    let peer = Peer::answering("200 OK", "").await;
    assert!(Scene::local().ask(&peer, get(&peer.url("/"))).await.is_ok());
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_no_connection() {
    for names in [Script::new(&[]), Script::new(&[&[]])] {
        let answer = Scene::new(local_settings(), names).ask_for("https://api.test/").await;

        assert!(matches!(answer, Err(OutgoingError::Transport(_))), "{answer:?}");
    }
}

/// Never answers, and counts who asks.
struct Silent(tokio::sync::mpsc::UnboundedSender<()>);

impl Names for Silent {
    fn look_up(&self, _: String) -> LookUp {
        self.0.send(()).unwrap();
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn look_ups_that_hang_take_only_their_own_orgs_places() {
    let (asked, mut asking) = tokio::sync::mpsc::unbounded_channel();
    let settings = settings::Outgoing { lookups_per_org: 2, ..local_settings() };
    let scene = Arc::new(Scene::new(settings, Arc::new(Silent(asked))));
    let spawn =
        |scene: Arc<Scene>| tokio::spawn(async move { scene.ask_for("https://api.test/").await });
    let ours: Vec<_> = (0..5).map(|_| spawn(scene.clone())).collect();
    asking.recv().await.unwrap();
    asking.recv().await.unwrap();

    for ask in &ours {
        ask.abort();
    }
    for ask in ours {
        assert!(ask.await.is_err());
    }
    let again = spawn(scene.clone());
    let other = Scene { outgoing: scene.outgoing.clone(), org: super::support::org() };
    let other = spawn(Arc::new(other));

    asking.recv().await.unwrap();
    assert!(asking.try_recv().is_err(), "the places of those who gave up are still taken");
    again.abort();
    other.abort();
}
