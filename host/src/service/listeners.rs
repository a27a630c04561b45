//! Who is told of what happened: puts it down for the plugins that listen, in the transaction in
//! which it happens, and says that there is something to tell.

use std::{collections::HashMap, sync::Arc};

use dashmap::DashSet;
use tokio::sync::{Notify, mpsc};

use super::{due_events::EventSettings, limits::Limits, plugins::Plugins};
use crate::{
    Result,
    db::{
        Db, DbError, OrgConn,
        batch::{self, Fate},
        plugin_events::{self, NewEvent},
        plugin_messages,
    },
    domain::{EventKind, Happening, MessageId, OrgId, Origin, PluginId},
    plugin::Untold,
};

/// A clone is the same.
#[derive(Clone)]
pub struct Listeners {
    plugins: Plugins,
    limits: Arc<Limits>,
    settings: EventSettings,
    nudges: Arc<Nudges>,
    mentions: mpsc::Sender<NewEvent>,
}

/// The orgs in which something new is to be told.
#[derive(Default)]
struct Nudges {
    orgs: DashSet<OrgId>,
    come: Notify,
}

impl Nudges {
    fn add(&self, org_id: OrgId) {
        self.orgs.insert(org_id);
        self.come.notify_one();
    }
}

/// What plugins have to do with a message that is being stored, and what follows once it is.
pub struct News {
    row: batch::News,
    listeners: Listeners,
}

impl News {
    pub(super) fn row(&self) -> batch::News {
        self.row.clone()
    }

    /// After the commit. `untold`: there was no room for it.
    pub(super) fn stored(self, org_id: OrgId, untold: bool) {
        if untold {
            self.listeners.count_crowded(org_id, &self.row.listeners);
        } else {
            self.listeners.nudge(org_id);
        }
    }
}

impl Listeners {
    /// Events stored in one statement that are told as well as can be.
    const BATCH: usize = 256;

    /// Starts the task that stores what may be left out; it ends when the last of these is
    /// dropped.
    pub(super) fn start(
        db: &Db,
        plugins: &Plugins,
        limits: &Arc<Limits>,
        settings: EventSettings,
    ) -> Self {
        let (mentions, mut waiting) = mpsc::channel(settings.sampled_queue.max(1));
        let nudges = Arc::<Nudges>::default();
        let keeper =
            Keeper { db: db.clone(), plugins: plugins.clone(), settings, nudges: nudges.clone() };
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(Self::BATCH);
            while waiting.recv_many(&mut batch, Self::BATCH).await > 0 {
                keeper.store(batch.drain(..)).await;
            }
        });
        Self { plugins: plugins.clone(), limits: limits.clone(), settings, nudges, mentions }
    }

    /// Makes sure that an org's plugins are in place. To be called before the transaction in
    /// which something is recorded: it may take its time.
    pub(super) async fn ready(&self, org_id: OrgId) -> Result<()> {
        self.plugins.require_ready(org_id).await
    }

    /// Puts down what happens in this transaction, for each plugin that listens and did not send
    /// the message itself.
    pub(super) async fn record(
        &self,
        conn: &mut OrgConn<'_>,
        org_id: OrgId,
        happenings: &[Happening],
    ) -> Result<()> {
        let heard = |happening: &&Happening| !self.of(org_id, happening.kind()).is_empty();
        let happenings: Vec<&Happening> = happenings.iter().filter(heard).collect();
        if happenings.is_empty() {
            return Ok(());
        }
        let ids: Vec<MessageId> = happenings.iter().flat_map(|it| it.messages()).copied().collect();
        let origins = plugin_messages::map(conn, &ids).await?;
        let events: Vec<NewEvent> = happenings
            .into_iter()
            .flat_map(|happening| self.events(org_id, happening, &origins))
            .collect();
        if !events.is_empty()
            && !plugin_events::insert(conn, &events, self.settings.most_waiting()).await?
        {
            let untold: Vec<PluginId> = events.iter().map(|event| event.plugin_id).collect();
            self.count_crowded(org_id, &untold);
        }
        Ok(())
    }

    /// One event for each plugin that may hear of it.
    fn events(
        &self,
        org_id: OrgId,
        happening: &Happening,
        origins: &HashMap<MessageId, Origin>,
    ) -> Vec<NewEvent> {
        let depths = happening.messages().iter().filter_map(|id| origins.get(id));
        let depth = depths.map(|origin| origin.depth).max().unwrap_or(0);
        let events = self.of(org_id, happening.kind()).into_iter().filter_map(|plugin_id| {
            let own = |id| origins.get(&id).is_some_and(|from| from.plugin_id == plugin_id);
            let what = happening.without(own)?;
            Some(NewEvent { org_id, plugin_id, what, depth })
        });
        events.collect()
    }

    /// What is to be stored with a message beside it; `None`: nothing. The org's plugins have
    /// been asked about it, so they are in place.
    pub(super) fn news(&self, org_id: OrgId, fate: &Fate, origin: Option<Origin>) -> Option<News> {
        let mut listeners = match fate {
            Fate::Sent => self.of(org_id, EventKind::Sent),
            Fate::Held(_) => self.of(org_id, EventKind::Held),
            Fate::Shadowed => Vec::new(),
        };
        listeners.retain(|plugin| origin.is_none_or(|origin| origin.plugin_id != *plugin));
        if listeners.is_empty() && origin.is_none() {
            return None;
        }
        let row = batch::News { origin, listeners, most_waiting: self.settings.most_waiting() };
        Some(News { row, listeners: self.clone() })
    }

    /// Takes note, without waiting, of what plugins are told as well as can be: past the org's
    /// rate it is only counted.
    pub(super) fn mention(&self, org_id: OrgId, what: &Happening, origin: Option<Origin>) {
        let mut listeners = self.of(org_id, what.kind());
        listeners.retain(|plugin| origin.is_none_or(|origin| origin.plugin_id != *plugin));
        if listeners.is_empty() {
            return;
        }
        let EventSettings { sampled_burst, sampled_per_second, .. } = self.settings;
        let admitted = self.limits.sampled(org_id, sampled_burst, sampled_per_second);
        for plugin_id in listeners {
            let depth = origin.map_or(0, |origin| origin.depth);
            let event = NewEvent { org_id, plugin_id, what: what.clone(), depth };
            if !admitted || self.mentions.try_send(event).is_err() {
                self.plugins.count_untold(org_id, plugin_id, Untold::Sampled);
            }
        }
    }

    /// After a commit in which something may have been recorded.
    pub(super) fn nudge(&self, org_id: OrgId) {
        if self.plugins.listens(org_id) {
            self.nudges.add(org_id);
        }
    }

    /// Waits until something new is to be told, and answers where.
    pub(super) async fn nudged(&self) -> Vec<OrgId> {
        self.nudges.come.notified().await;
        let orgs: Vec<OrgId> = self.nudges.orgs.iter().map(|org| *org).collect();
        for org in &orgs {
            self.nudges.orgs.remove(org);
        }
        orgs
    }

    fn of(&self, org_id: OrgId, kind: EventKind) -> Vec<PluginId> {
        self.plugins.listeners(org_id, kind)
    }

    fn count_crowded(&self, org_id: OrgId, plugins: &[PluginId]) {
        for plugin in plugins {
            self.plugins.count_untold(org_id, *plugin, Untold::Crowded);
        }
    }
}

/// Stores what was mentioned, aside from whoever mentioned it.
struct Keeper {
    db: Db,
    plugins: Plugins,
    settings: EventSettings,
    nudges: Arc<Nudges>,
}

impl Keeper {
    async fn store(&self, batch: impl Iterator<Item = NewEvent>) {
        let mut by_org: HashMap<OrgId, Vec<NewEvent>> = HashMap::new();
        for event in batch {
            by_org.entry(event.org_id).or_default().push(event);
        }
        for (org_id, events) in by_org {
            match self.insert(org_id, &events).await {
                Ok(true) => self.nudges.add(org_id),
                Ok(false) => self.count(&events, Untold::Crowded),
                Err(error) => {
                    self.count(&events, Untold::Sampled);
                    tracing::warn!(%error, org.id = %org_id, "events for plugins could not be stored");
                }
            }
        }
    }

    async fn insert(&self, org_id: OrgId, events: &[NewEvent]) -> Result<bool, DbError> {
        let mut handle = self.db.org(org_id).await?;
        let most = self.settings.most_waiting();
        let stored = plugin_events::insert(&mut handle.conn(), events, most).await?;
        handle.done();
        Ok(stored)
    }

    fn count(&self, events: &[NewEvent], why: Untold) {
        for event in events {
            self.plugins.count_untold(event.org_id, event.plugin_id, why);
        }
    }
}
