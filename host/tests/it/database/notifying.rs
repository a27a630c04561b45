//! Notifications about which plugins decide, as the database has them.

use std::{collections::HashSet, time::Duration};

use duologue::{
    db::{
        batch::{self, Fate, NewMessage},
        notifying::{self, Claim},
    },
    domain::{Channels, Delivery, MessageId, Notified, Words},
};
use time::OffsetDateTime;

use super::scene::{Scene, held, hold};

const LEASE: Duration = Duration::from_mins(1);

/// Stores messages whose notifications plugins decide about.
async fn store(scene: &Scene, fates: &[Fate]) -> Vec<MessageId> {
    let rows = fates.iter().map(|fate| NewMessage { asks_notify: true, ..scene.row(fate.clone()) });
    let rows: Vec<NewMessage> = rows.collect();
    batch::insert(&scene.database.db, &rows).await.unwrap();
    rows.iter().map(|row| row.id).collect()
}

async fn claim(scene: &Scene, lease: Duration, most: i64) -> Vec<Claim> {
    let mut handle = scene.database.db.org(scene.alice.org.id).await.unwrap();
    notifying::claim(&mut handle.conn(), (lease, true), most).await.unwrap()
}

async fn settle(scene: &Scene, claim: &Claim, notified: &Notified) -> bool {
    let mut handle = scene.database.db.org(scene.alice.org.id).await.unwrap();
    notifying::settle(&mut handle.conn(), claim, notified).await.unwrap()
}

async fn listed(scene: &Scene) -> Vec<(MessageId, Option<String>)> {
    let page = scene.services.notifications.list(&scene.bob, None, 10).await.unwrap();
    page.items.into_iter().map(|item| (item.id, item.suppressed_reason)).collect()
}

fn delivered(delivery: Delivery) -> Notified {
    Notified { delivery, ..Notified::default() }
}

#[tokio::test]
async fn what_no_plugin_decides_about_is_listed_and_never_due() {
    let scene = Scene::new().await;
    let id = scene.store_one(Fate::Sent).await;

    assert!(claim(&scene, LEASE, 10).await.is_empty());
    assert_eq!(listed(&scene).await, [(id, None)]);
}

#[tokio::test]
async fn what_is_undecided_is_due_at_once_and_not_listed() {
    let scene = Scene::new().await;
    let ids = store(&scene, &[Fate::Sent, held(hold()), Fate::Shadowed]).await;

    let claims = claim(&scene, LEASE, 10).await;

    let [one] = &claims[..] else { panic!("{claims:?}") };
    assert_eq!((one.id, one.recipient), (ids[0], scene.bob.user.id));
    assert_eq!((one.undecided, one.attempts), (true, 1));
    assert_eq!(listed(&scene).await, []);
    let marked = scene.services.notifications.mark_read(&scene.bob, None).await.unwrap();
    assert_eq!(marked, 0);
}

#[tokio::test]
async fn servers_that_look_at_the_same_time_share_what_is_due() {
    let scene = Scene::new().await;
    let ids = store(&scene, &vec![Fate::Sent; 40]).await;

    let takers = (0..4).map(|_| async { claim(&scene, LEASE, 10).await });
    let claims = futures_util::future::join_all(takers).await.concat();
    let rest = claim(&scene, LEASE, 40).await;

    let all: HashSet<MessageId> = claims.iter().chain(&rest).map(|claim| claim.id).collect();
    assert_eq!((claims.len() + rest.len(), all.len()), (ids.len(), ids.len()));
}

#[tokio::test]
async fn what_a_server_leaves_is_taken_over_and_its_late_answer_counts_for_nothing() {
    let scene = Scene::new().await;
    store(&scene, &[Fate::Sent]).await;
    let first = claim(&scene, Duration::ZERO, 1).await[0];

    let second = claim(&scene, LEASE, 1).await[0];

    assert_eq!(second.attempts, 2);
    let suppressed = delivered(Delivery::Suppressed("late".to_owned()));
    assert!(!settle(&scene, &first, &suppressed).await);
    assert!(settle(&scene, &second, &Notified::default()).await);
    assert!(!settle(&scene, &second, &suppressed).await);
    assert_eq!(listed(&scene).await, [(second.id, None)]);
}

#[tokio::test]
async fn what_is_suppressed_is_listed_with_its_reason_whatever_way_was_chosen() {
    let scene = Scene::new().await;
    store(&scene, &[Fate::Sent]).await;
    let claim = claim(&scene, LEASE, 1).await[0];
    let suppressed = Notified {
        channels: Some(Channels::default()),
        ..delivered(Delivery::Suppressed("a bot".to_owned()))
    };

    assert!(settle(&scene, &claim, &suppressed).await);

    assert_eq!(listed(&scene).await, [(claim.id, Some("a bot".to_owned()))]);
}

#[tokio::test]
async fn what_goes_out_by_other_ways_is_not_listed() {
    let scene = Scene::new().await;
    store(&scene, &[Fate::Sent]).await;
    let claim = claim(&scene, LEASE, 1).await[0];
    let channels = Some(Channels { list: false, socket: true });

    assert!(settle(&scene, &claim, &Notified { channels, ..Notified::default() }).await);

    assert_eq!(listed(&scene).await, []);
}

#[tokio::test]
async fn what_was_put_off_keeps_its_words_until_its_time() {
    let scene = Scene::new().await;
    store(&scene, &[Fate::Sent]).await;
    let undecided = claim(&scene, LEASE, 1).await[0];
    let words = Words { title: Some("later".to_owned()), ..Words::default() };
    let until = OffsetDateTime::now_utc() + Duration::from_hours(1);
    let later = Notified { words: words.clone(), ..delivered(Delivery::Later(until)) };
    assert!(settle(&scene, &undecided, &later).await);
    assert!(claim(&scene, LEASE, 1).await.is_empty());
    assert_eq!(listed(&scene).await, []);

    // Its time comes.
    let now = OffsetDateTime::now_utc();
    let soon = Notified { delivery: Delivery::Later(now), ..later };
    let again = Claim { undecided: false, ..undecided };
    assert!(settle(&scene, &again, &soon).await);
    store(&scene, &[Fate::Sent]).await;
    let mut handle = scene.database.db.org(scene.alice.org.id).await.unwrap();
    let due = notifying::claim(&mut handle.conn(), (LEASE, false), 10).await.unwrap();

    let [due] = due[..] else { panic!("{due:?}") };
    assert_eq!((due.id, due.undecided), (undecided.id, false));
    let decided = notifying::load_decided(&mut handle.conn(), &due).await.unwrap();
    assert_eq!((decided.words, decided.delivery), (words, Delivery::Now));
}
