//! Tells plugins of what happened: at once where this server has stored it, else when it is found.

mod bot;
mod scene;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio::{
    sync::Semaphore,
    task::{self, JoinSet},
    time::Instant,
};

use self::{bot::Correspondent, scene::Shown};
use super::{
    limits::Limits, listeners::Listeners, people::People, plugins::Plugins, registry::Registry,
    sending::Sending,
};
use crate::{
    Result,
    db::{
        Db,
        plugin_events::{self, DueEvent},
    },
    domain::{Happening, Org, OrgId},
    plugin::{Fault, OnEvent, Untold},
};

/// How plugins are told of events; each field is a setting of the server.
#[derive(Clone, Copy, Debug)]
pub struct EventSettings {
    /// How often a server looks for what is due.
    pub poll: Duration,
    /// Events told at a time: over all orgs, and of one org.
    pub at_once: usize,
    pub at_once_per_org: usize,
    /// How long no other server tells what one has taken on.
    pub lease: Duration,
    /// How often a plugin that fails is told of an event.
    pub attempts: u32,
    /// The first pause and the longest; each is three times the one before.
    pub retry: Duration,
    pub retry_most: Duration,
    /// Events of an org that may wait.
    pub waiting_per_org: u32,
    /// Of an org's events that are told as well as can be: at once, and back in a second.
    pub sampled_burst: u32,
    pub sampled_per_second: u32,
    /// How many of these may wait to be stored.
    pub sampled_queue: usize,
    /// Messages that a plugin may send in one call.
    pub messages_per_call: u32,
    /// How many messages of plugins may follow on each other.
    pub most_depth: i16,
}

impl EventSettings {
    pub(super) fn most_waiting(&self) -> i64 {
        self.waiting_per_org.into()
    }

    fn pause(&self, attempts: i32) -> Duration {
        pause(attempts, self.retry, self.retry_most)
    }
}

/// How long a plugin is left alone after so many attempts.
fn pause(attempts: i32, first: Duration, most: Duration) -> Duration {
    let growth = 3_u32.saturating_pow(u32::try_from(attempts - 1).unwrap_or(0));
    first.saturating_mul(growth).min(most)
}

#[derive(Clone)]
pub struct DueEvents {
    db: Db,
    registry: Registry,
    people: People,
    plugins: Plugins,
    sending: Sending,
    listeners: Listeners,
    limits: Arc<Limits>,
    settings: EventSettings,
    /// Places for calls of all orgs.
    places: Arc<Semaphore>,
}

/// The orgs whose plugins are being told, each by a task of its own, so that a slow one holds up
/// nobody else. The tasks end with this.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    orgs: HashMap<task::Id, (OrgId, String)>,
    /// Something came while the org's task was at work, which may have missed it.
    again: HashSet<OrgId>,
}

impl DueEvents {
    /// How soon it is told again where the server, not the plugin, was not ready.
    const SOON: Duration = Duration::from_secs(1);

    pub(super) fn new(
        (db, registry, people): (&Db, &Registry, &People),
        (plugins, sending, listeners, limits): (&Plugins, &Sending, &Listeners, &Arc<Limits>),
        settings: EventSettings,
    ) -> Self {
        Self {
            db: db.clone(),
            registry: registry.clone(),
            people: people.clone(),
            plugins: plugins.clone(),
            sending: sending.clone(),
            listeners: listeners.clone(),
            limits: limits.clone(),
            settings,
            places: Arc::new(Semaphore::new(settings.at_once)),
        }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(&self) {
        let mut running = Running::default();
        let mut next = Instant::now();
        loop {
            tokio::select! {
                Some(done) = running.tasks.join_next_with_id() => {
                    let id = done.map_or_else(|error| error.id(), |(id, ())| id);
                    if let Some((org, slug)) = running.orgs.remove(&id)
                        && running.again.remove(&org)
                    {
                        running.start(self, org, slug);
                    }
                }
                nudged = self.listeners.nudged() => {
                    for org in nudged {
                        if running.is_at_work(org) {
                            running.again.insert(org);
                        } else {
                            self.find_due(Some(org), &mut running).await;
                        }
                    }
                }
                () = tokio::time::sleep_until(next) => {
                    self.find_due(None, &mut running).await;
                    next = Instant::now() + self.settings.poll;
                }
            }
        }
    }

    async fn find_due(&self, org: Option<OrgId>, running: &mut Running) {
        match plugin_events::list_due_orgs(&self.db, org).await {
            Ok(due) => {
                for (org, slug) in due {
                    if !running.is_at_work(org) {
                        running.start(self, org, slug);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "events could not be looked for"),
        }
    }

    /// Tells all that is due now. Every server does; each event is taken on by one.
    pub async fn round(&self) -> Result<()> {
        for (_, slug) in plugin_events::list_due_orgs(&self.db, None).await? {
            self.tell_org(&slug).await?;
        }
        Ok(())
    }

    async fn tell_org(&self, slug: &str) -> Result<()> {
        let Some(state) = self.registry.find(slug).await? else { return Ok(()) };
        let org = &state.org;
        self.listeners.ready(org.id).await?;
        let most = i64::try_from(self.settings.at_once_per_org).unwrap_or(i64::MAX);
        loop {
            let mut handle = self.db.org(org.id).await?;
            let due = plugin_events::claim(&mut handle.conn(), self.settings.lease, most).await?;
            handle.done();
            if due.is_empty() {
                return Ok(());
            }
            stream::iter(due)
                .for_each_concurrent(None, async |event| {
                    // Boxed, because it is large as a future.
                    if let Err(error) = Box::pin(self.tell(org, &event)).await {
                        tracing::warn!(%error, org.id = %org.id, event.id = %event.id, "an event could not be told");
                    }
                })
                .await;
        }
    }

    async fn tell(&self, org: &Arc<Org>, event: &DueEvent) -> Result<()> {
        let Ok(happening) = Happening::deserialize(&event.what) else {
            // Of a newer server: one of those may take it on.
            return self.fail(org, event, "unknown").await;
        };
        if !self.plugins.listeners(org.id, happening.kind()).contains(&event.plugin_id) {
            return self.pass_over(org, event).await;
        }
        let Some(shown) = self.load_shown(org.id, happening).await? else {
            return self.done(org, event).await;
        };
        let heard = {
            let _place = self.places.acquire().await;
            self.plugins.on_event(&self.question(org, event, &shown)).await
        };
        match heard {
            Ok(()) => self.done(org, event).await,
            Err(Fault::Busy) => self.put_off(org, event, Self::SOON, true).await.map(drop),
            Err(fault) => self.fail(org, event, fault.as_str()).await,
        }
    }

    fn question<'a>(&self, org: &'a Arc<Org>, event: &DueEvent, shown: &'a Shown) -> OnEvent<'a> {
        let correspondent = Correspondent::new(self, org, event);
        OnEvent {
            org,
            plugin: event.plugin_id,
            id: event.id,
            at: event.at,
            attempt: u32::try_from(event.attempts).unwrap_or(u32::MAX),
            what: &shown.what,
            subject: shown.subject,
            asker: shown.asker,
            correspondence: Arc::new(correspondent),
        }
    }

    /// The plugin does not listen to it, as far as this server knows: what is stored decides.
    async fn pass_over(&self, org: &Org, event: &DueEvent) -> Result<()> {
        let mut handle = self.db.org(org.id).await?;
        plugin_events::delete_unheard(&mut handle.conn()).await?;
        handle.done();
        if self.put_off(org, event, Self::SOON, true).await? {
            self.plugins.refresh(org.id).await?;
        }
        Ok(())
    }

    async fn fail(&self, org: &Org, event: &DueEvent, fault: &str) -> Result<()> {
        if u32::try_from(event.attempts).is_ok_and(|attempts| attempts < self.settings.attempts) {
            let pause = self.settings.pause(event.attempts);
            return self.put_off(org, event, pause, false).await.map(drop);
        }
        self.plugins.count_untold(org.id, event.plugin_id, Untold::GivenUp);
        tracing::warn!(
            org.id = %org.id,
            plugin.id = %event.plugin_id,
            event.id = %event.id,
            fault,
            attempts = event.attempts,
            "plugin was not told of an event"
        );
        self.done(org, event).await
    }

    /// Whether it was still to be told.
    async fn put_off(
        &self,
        org: &Org,
        event: &DueEvent,
        pause: Duration,
        uncounted: bool,
    ) -> Result<bool> {
        let mut handle = self.db.org(org.id).await?;
        Ok(plugin_events::put_off(&mut handle.conn(), event, pause, uncounted).await?)
    }

    async fn done(&self, org: &Org, event: &DueEvent) -> Result<()> {
        let mut handle = self.db.org(org.id).await?;
        Ok(plugin_events::delete(&mut handle.conn(), event.id).await?)
    }
}

impl Running {
    fn is_at_work(&self, org: OrgId) -> bool {
        self.orgs.values().any(|(at_work, _)| *at_work == org)
    }

    fn start(&mut self, events: &DueEvents, org: OrgId, slug: String) {
        let (events, name) = (events.clone(), slug.clone());
        let task = self.tasks.spawn(async move {
            if let Err(error) = events.tell_org(&name).await {
                tracing::warn!(%error, org.id = %org, "an org's plugins could not be told of events");
            }
        });
        self.orgs.insert(task.id(), (org, slug));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn pauses_grow_threefold_and_come_to_about_a_day() {
        let events = Settings::parse(None).unwrap().events;
        assert_eq!(events.attempts, 12);

        let after = |attempts| pause(attempts, events.retry, events.retry_most).as_secs();
        let pauses: Vec<u64> = (1..12).map(after).collect();

        assert_eq!(pauses[..4], [3, 9, 27, 81]);
        assert_eq!(pauses.iter().sum::<u64>() / 3600, 20);
    }
}
