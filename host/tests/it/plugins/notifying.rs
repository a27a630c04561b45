//! Notifications on their way through servers whose plugins decide about them.

use std::time::Duration;

use duologue::{
    db::notifying,
    domain::{Caller, MessageId, Notification},
    service::{PluginTerms, Services, Via},
};
use serde_json::json;

use super::support::host;
use crate::{
    database::support::{TestDatabase, letter},
    guests,
};

/// An org with a plugin that suppresses every notification. Nobody looks after them by itself.
struct Scene {
    database: TestDatabase,
    services: Services,
    alice: Caller,
    bob: Caller,
}

impl Scene {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let [alice, bob] = database.org("acme", ["alice", "bob"]).await;
        let services = database.services_on(&host()).0;
        let plugins = &services.plugins;
        // Boxed: large as futures.
        Box::pin(plugins.upload(&alice, "guest", &guests::built("notify.wasm"))).await.unwrap();
        let granted = ["history", "kv", "messages"].map(|name| (name.to_owned(), json!({})));
        plugins.grant(&alice, "guest", granted.into()).await.unwrap();
        let config = [("does".to_owned(), "suppress enough".to_owned())].into();
        Box::pin(plugins.configure(&alice, "guest", config)).await.unwrap();
        let terms = PluginTerms::default();
        Box::pin(plugins.activate(&alice, "guest", (None, None), terms)).await.unwrap();
        Self { database, services, alice, bob }
    }

    async fn send(&self) -> MessageId {
        let sent = self.services.sending.send(&self.alice, Via::Rest, letter(&self.bob, "hello"));
        Box::pin(sent).await.unwrap().letter.message.id
    }

    /// Takes everything on, and forgets about it.
    async fn lose(&self) -> usize {
        let mut handle = self.database.db.org(self.alice.org.id).await.unwrap();
        notifying::claim(&mut handle.conn(), (Duration::ZERO, true), 100).await.unwrap().len()
    }

    async fn listed(&self) -> Vec<Notification> {
        self.services.notifications.list(&self.bob, None, 100).await.unwrap().items
    }

    /// Lets servers look after notifications until so many are listed.
    async fn looked_after(&self, servers: &[&Services], count: usize) -> Vec<Notification> {
        let running = servers.iter().map(|server| server.notifying.run());
        let all_listed = async {
            loop {
                let listed = self.listed().await;
                if listed.len() == count {
                    return listed;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            _ = futures_util::future::join_all(running) => unreachable!("they run for ever"),
            listed = tokio::time::timeout(Duration::from_mins(2), all_listed) => listed.unwrap(),
        }
    }

    async fn calls(&self, server: &Services) -> u64 {
        let entry = server.plugins.find(&self.alice, "guest").await.unwrap();
        entry.live.iter().map(|post| post.counters.calls).sum()
    }
}

fn reasons(listed: &[Notification]) -> Vec<(MessageId, Option<&str>)> {
    listed.iter().map(|item| (item.id, item.suppressed_reason.as_deref())).collect()
}

#[tokio::test]
async fn servers_ask_about_each_notification_once_between_them() {
    let scene = Scene::new().await;
    let other = scene.database.services_on(&host()).0;
    for _ in 0..20 {
        scene.send().await;
    }

    let listed = scene.looked_after(&[&scene.services, &other], 20).await;

    assert!(listed.iter().all(|item| item.suppressed_reason.is_some()));
    assert_eq!(scene.calls(&scene.services).await + scene.calls(&other).await, 20);
}

#[tokio::test]
async fn plugins_are_asked_again_where_an_answer_was_lost_and_in_the_end_no_more() {
    let scene = Scene::new().await;
    let often = scene.send().await;
    assert_eq!(scene.lose().await, 1);
    let seldom = scene.send().await;
    for _ in 0..2 {
        assert_eq!(scene.lose().await, 2);
    }

    let listed = scene.looked_after(&[&scene.services], 2).await;

    assert_eq!(reasons(&listed), [(seldom, Some("enough")), (often, None)]);
    assert_eq!(scene.calls(&scene.services).await, 1);
}

#[tokio::test]
async fn a_notification_goes_out_where_its_plugin_was_disabled_meanwhile() {
    let scene = Scene::new().await;
    let id = scene.send().await;
    assert_eq!(scene.listed().await.len(), 0);
    scene.services.plugins.disable(&scene.alice, "guest").await.unwrap();

    let listed = scene.looked_after(&[&scene.services], 1).await;

    assert_eq!(reasons(&listed), [(id, None)]);
}

#[tokio::test]
async fn what_is_deleted_or_hidden_before_it_is_decided_leaves_nothing_behind() {
    let scene = Scene::new().await;
    let (deleted, hidden) = (scene.send().await, scene.send().await);
    let messages = &scene.services.messages;
    messages.delete(&scene.alice, deleted, None).await.unwrap();
    messages.delete(&scene.bob, hidden, None).await.unwrap();
    scene.send().await;

    scene.looked_after(&[&scene.services], 1).await;

    let left: Vec<(i64,)> = scene.database.rows("select count(*) from notifications").await;
    assert_eq!(left, [(1,)]);
    assert_eq!(scene.calls(&scene.services).await, 1);
}
