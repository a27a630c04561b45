//! Holds that end by time, or by plugins that were asked again.

use std::time::Duration;

use duologue::db::batch::Fate;
use duologue::domain::{Hold, MessageId, MessageState, OnExpiry, Outcome};

use super::scene::{Scene, held, hold, silence};

fn expiring(on_expiry: OnExpiry) -> Hold {
    Hold { ttl: Some(Duration::ZERO), on_expiry, ..hold() }
}

async fn state(scene: &Scene, id: MessageId) -> (MessageState, Option<i64>) {
    let message = scene.services.messages.find(&scene.alice, id).await.unwrap().message;
    (message.state, message.seq)
}

#[tokio::test]
async fn time_ends_a_hold_once_whatever_number_of_servers_look() {
    let scene = Scene::new().await;
    let [released, refused] = [
        scene.store_one(held(expiring(OnExpiry::Release))).await,
        scene.store_one(held(expiring(OnExpiry::Refuse))).await,
    ];
    let kept = scene.store_one(held(Hold { ttl: Some(Duration::from_hours(1)), ..hold() })).await;
    let other = scene.database.services();

    let (one, two) = tokio::join!(scene.services.due_holds.round(), other.due_holds.round());
    one.unwrap();
    two.unwrap();

    assert_eq!(state(&scene, released).await, (MessageState::Sent, Some(1)));
    assert_eq!(state(&scene, refused).await, (MessageState::Refused, None));
    assert_eq!(state(&scene, kept).await, (MessageState::Held, None));
    assert!(scene.sees(&scene.bob, released).await);
    let message = scene.services.messages.find(&scene.alice, refused).await.unwrap().message;
    assert_eq!(message.refused_reason.as_deref(), Some("review_expired"));
    let audited: Vec<(String, String)> =
        scene.database.rows("select actor, action from audit_log order by action").await;
    let system = |action: &str| ("system".to_owned(), action.to_owned());
    assert_eq!(audited, [system("held.refuse"), system("held.release")]);
}

#[tokio::test]
async fn plugins_that_answer_again_let_go_what_waited_for_them_in_its_order() {
    let scene = Scene::new().await;
    let silent = Hold { ttl: Some(Duration::ZERO), on_expiry: OnExpiry::Refuse, ..silence() };
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(scene.store_one(held(silent.clone())).await);
    }
    let reviewed = scene.store_one(held(hold())).await;

    // The org has no plugin any more: nobody objects.
    scene.services.due_holds.round().await.unwrap();

    for (id, seq) in ids.iter().zip(1..) {
        assert_eq!(state(&scene, *id).await, (MessageState::Sent, Some(seq)));
    }
    assert_eq!(state(&scene, reviewed).await, (MessageState::Held, None));
    assert_eq!(scene.history(&scene.bob).await, ids);
}

#[tokio::test]
async fn silence_about_an_edit_does_not_end_the_review_that_a_plugin_asked_for() {
    let scene = Scene::new().await;
    let id = scene.store_one(held(hold())).await;
    scene.edit(id, "an edit while the plugin is down", Outcome::Hold(silence())).await;

    // Whoever is asked again would let it pass.
    scene.services.due_holds.round().await.unwrap();

    assert_eq!(state(&scene, id).await, (MessageState::Held, None));
    assert_eq!(scene.release(id, 1).await.unwrap().seq, Some(1));
}

#[tokio::test]
async fn a_shadow_on_an_edit_of_a_held_message_stands_when_it_is_released() {
    let scene = Scene::new().await;
    let id = scene.store_one(held(hold())).await;
    scene.edit(id, "worse", Outcome::Shadow).await;

    scene.release(id, 1).await.unwrap();

    assert!(scene.sees(&scene.alice, id).await);
    assert!(!scene.sees(&scene.bob, id).await);
}

#[tokio::test]
async fn an_edit_held_for_silence_is_asked_about_again_and_takes_its_place() {
    let scene = Scene::new().await;
    let id = scene.store_one(Fate::Sent).await;
    let edited = scene.edit(id, "better", Outcome::Hold(silence())).await;

    scene.services.due_holds.round().await.unwrap();

    assert_eq!(edited.pending_revision, Some(1));
    let seen = scene.services.messages.find(&scene.bob, id).await.unwrap().message;
    assert_eq!((seen.body.content.as_str(), seen.seq), ("better", Some(1)));
}

#[tokio::test]
async fn a_message_whose_plugins_are_asked_by_another_server_is_left_to_it() {
    let scene = Scene::new().await;
    let id = scene.store_one(held(silence())).await;
    let mut handle = scene.database.db.org(scene.alice.org.id).await.unwrap();
    let lease = Duration::from_mins(1);
    let claim = duologue::db::due::claim_unanswered;

    let first = claim(&mut handle.conn(), lease, 8).await.unwrap();
    let second = claim(&mut handle.conn(), lease, 8).await.unwrap();
    scene.services.due_holds.round().await.unwrap();

    assert_eq!((first, second), (vec![(id, 0)], Vec::new()));
    assert_eq!(state(&scene, id).await, (MessageState::Held, None));
}
