//! Notifications about which plugins decide: asked about beside the sends, and told when it is
//! their time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use time::OffsetDateTime;
use tokio::{
    sync::{Notify as Bell, OwnedSemaphorePermit, Semaphore},
    task::{Id, JoinSet},
    time::{MissedTickBehavior, interval},
};

use super::{
    notifications, people::People, plugins::Plugins, presence::Presence, registry::Registry,
    telling::Telling,
};
use crate::{
    Result,
    db::{
        Db, messages,
        notifying::{self, Claim},
    },
    domain::{Delivery, Message, NotificationEvents, Notified, Org, OrgSlug},
    events::Event,
    plugin::{OnNotify, Standing},
};

/// How notifications about which plugins decide are looked after.
#[derive(Clone, Copy, Debug)]
pub struct NotifySettings {
    /// How often a server looks for what is due, beside what it has just stored itself.
    pub interval: Duration,
    /// How long a server may take over one, beyond the time of its plugins, before another does.
    pub lease: Duration,
    /// How often plugins are asked about one whose answer gets lost.
    pub attempts: u32,
    /// How many are under way at once: over all orgs, and of one.
    pub at_once: usize,
    pub at_once_per_org: usize,
}

#[derive(Clone)]
pub struct Notifying {
    db: Db,
    registry: Registry,
    people: People,
    plugins: Plugins,
    presence: Presence,
    telling: Telling,
    settings: NotifySettings,
    places: Arc<Semaphore>,
}

/// What [`Notifying`] is made of.
pub(super) struct Parts {
    pub(super) db: Db,
    pub(super) registry: Registry,
    pub(super) people: People,
    pub(super) plugins: Plugins,
    pub(super) presence: Presence,
    pub(super) telling: Telling,
    pub(super) settings: NotifySettings,
}

impl Notifying {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { db, registry, people, plugins, presence, telling, settings } = parts;
        let places = Arc::new(Semaphore::new(settings.at_once));
        Self { db, registry, people, plugins, presence, telling, settings, places }
    }

    /// Runs until it is dropped, and with it all that it began: one task an org, so that one
    /// whose plugins are slow does not hold up others.
    pub async fn run(&self) {
        let nudges = self.plugins.nudges();
        let mut orgs = Orgs::new(self);
        let mut look = interval(self.settings.interval.max(Duration::from_millis(1)));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                waiting = nudges.take() => orgs.begin_all(waiting),
                _ = look.tick() => orgs.begin_all(self.list_due().await),
                Some(ended) = orgs.tasks.join_next_with_id() => {
                    orgs.end(ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
            }
        }
    }

    async fn list_due(&self) -> Vec<OrgSlug> {
        match notifying::list_due_orgs(&self.db).await {
            Ok(due) => due.iter().filter_map(|slug| OrgSlug::parse(slug).ok()).collect(),
            Err(error) => {
                tracing::debug!(%error, "notifications could not be looked after");
                Vec::new()
            }
        }
    }

    /// Until nothing of the org is due. The bell rings for what has become due meanwhile.
    async fn look_after(&self, slug: &OrgSlug, bell: &Bell) -> Result<()> {
        let Some(state) = self.registry.find(slug.as_str()).await? else { return Ok(()) };
        let org = &state.org;
        let mut under_way = JoinSet::new();
        loop {
            let places = self.places(under_way.len()).await;
            let claimed = self.claim(org, places.len()).await;
            let is_done = claimed.as_ref().map_or(true, Vec::is_empty);
            for (claim, place) in claimed.iter().flatten().copied().zip(places) {
                let (notifying, org) = (self.clone(), org.clone());
                under_way.spawn(async move {
                    notifying.take_on(&org, &claim).await;
                    drop(place);
                });
            }
            if is_done && under_way.is_empty() {
                return claimed.map(drop);
            }
            tokio::select! {
                Some(_) = under_way.join_next() => {}
                () = bell.notified() => {}
            }
        }
    }

    /// Waits for one place of the server's, and takes as many more as are free: what is claimed
    /// is begun at once. None, where the org has as many under way as it may.
    async fn places(&self, under_way: usize) -> Vec<OwnedSemaphorePermit> {
        let most = self.settings.at_once_per_org.saturating_sub(under_way);
        let mut places = Vec::with_capacity(most);
        if most > 0 {
            places.extend(self.places.clone().acquire_owned().await);
        }
        while places.len() < most
            && let Ok(place) = self.places.clone().try_acquire_owned()
        {
            places.push(place);
        }
        places
    }

    async fn claim(&self, org: &Org, most: usize) -> Result<Vec<Claim>> {
        if most == 0 {
            return Ok(Vec::new());
        }
        // What was only put off does not wait until plugins are compiled.
        if !self.plugins.is_ready(org.id) {
            let claims = self.claim_for(org, (self.settings.lease, false), most).await?;
            if !claims.is_empty() {
                return Ok(claims);
            }
        }
        // Compiled before anything is claimed: that may take longer than a lease.
        let lease = self.settings.lease + self.plugins.notify_patience(org.id).await?;
        self.claim_for(org, (lease, true), most).await
    }

    async fn claim_for(
        &self,
        org: &Org,
        which: (Duration, bool),
        most: usize,
    ) -> Result<Vec<Claim>> {
        let mut handle = self.db.org(org.id).await?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        Ok(notifying::claim(&mut handle.conn(), which, most).await?)
    }

    /// What fails here is taken on again when the lease has run out.
    async fn take_on(&self, org: &Arc<Org>, claim: &Claim) {
        if let Err(error) = Box::pin(self.notify(org, claim)).await {
            tracing::warn!(%error, org.id = %org.id, message.id = %claim.id, "a notification has to wait");
        }
    }

    async fn notify(&self, org: &Arc<Org>, claim: &Claim) -> Result<()> {
        let mut handle = self.db.org(org.id).await?;
        let conn = &mut handle.conn();
        let message = messages::list_any(conn, &[claim.id]).await?.pop();
        let is_there =
            |message: &Message| message.visible_to(claim.recipient) && !message.is_tombstone();
        // What was to be told later is of no use once the message is read.
        let is_late = |message: &Message| !claim.undecided && message.read_at.is_some();
        let Some(message) = message.filter(|it| is_there(it) && !is_late(it)) else {
            return Ok(notifying::discard(conn, claim).await?);
        };
        let decided =
            if claim.undecided { None } else { Some(notifying::load_decided(conn, claim).await?) };
        // Not held while plugins are asked.
        handle.done();
        let notified = match decided {
            Some(decided) => decided,
            None => self.ask(org, claim, &message).await?,
        };
        self.settle(org, claim, (&message, &notified)).await
    }

    async fn ask(&self, org: &Arc<Org>, claim: &Claim, message: &Message) -> Result<Notified> {
        let attempt = u32::try_from(claim.attempts).unwrap_or(u32::MAX);
        if attempt > self.settings.attempts {
            tracing::warn!(org.id = %org.id, message.id = %claim.id, "plugins are not asked about a notification any more: it goes out");
            return Ok(Notified::default());
        }
        let mut handle = self.db.org(org.id).await?;
        let sender = notifying::load_party(&mut handle.conn(), message.sender_id).await?;
        let recipient = notifying::load_party(&mut handle.conn(), message.recipient_id).await?;
        handle.done();
        let standing = Standing {
            online: self.presence.has_socket(org.id, message.recipient_id),
            last_seen_at: recipient.last_seen_at,
            unread: u32::try_from(recipient.unread).unwrap_or(0),
        };
        let ask = OnNotify {
            org,
            message,
            sender: &sender.profile,
            recipient: &recipient.profile,
            standing,
            attempt,
            now: OffsetDateTime::now_utc(),
        };
        self.plugins.on_notify(&ask).await
    }

    /// Stores what becomes of it, and tells open sockets where they are to be told.
    async fn settle(
        &self,
        org: &Org,
        claim: &Claim,
        (message, notified): (&Message, &Notified),
    ) -> Result<()> {
        let is_all = org.settings.notification_events == NotificationEvents::All;
        // One that was put off has been changed by that.
        let always = is_all || !claim.undecided;
        let is_told = message.read_at.is_none() && notified.tells_sockets(always);
        let sender = self.people.load(org.id, message.sender_id).await?;
        let mut tx = self.db.begin(org.id).await?;
        let conn = &mut tx.conn();
        if !notifying::settle(conn, claim, notified).await? {
            return Ok(());
        }
        let told = match notified.delivery {
            Delivery::Now if is_told => {
                notifications::find(conn, claim.recipient, (claim.id, sender)).await?
            }
            _ => None,
        };
        let event = told.map(|notification| Event::Notified {
            org_id: org.id,
            to: claim.recipient,
            notification: Box::new(notification),
        });
        self.telling.commit(tx, event.into_iter().collect()).await
    }
}

/// The orgs that are being looked after.
struct Orgs<'a> {
    notifying: &'a Notifying,
    tasks: JoinSet<()>,
    busy: HashMap<OrgSlug, (Id, Arc<Bell>)>,
    /// They are looked after once more: something may have become due as the task ended.
    again: HashSet<OrgSlug>,
}

impl<'a> Orgs<'a> {
    fn new(notifying: &'a Notifying) -> Self {
        Self { notifying, tasks: JoinSet::new(), busy: HashMap::new(), again: HashSet::new() }
    }

    fn begin_all(&mut self, orgs: impl IntoIterator<Item = OrgSlug>) {
        for org in orgs {
            self.begin(org);
        }
    }

    fn begin(&mut self, org: OrgSlug) {
        if let Some((_, bell)) = self.busy.get(&org) {
            bell.notify_one();
            self.again.insert(org);
            return;
        }
        let (notifying, slug) = (self.notifying.clone(), org.clone());
        let bell = Arc::new(Bell::new());
        let rings = Arc::clone(&bell);
        let task = self.tasks.spawn(async move {
            if let Err(error) = notifying.look_after(&slug, &rings).await {
                tracing::warn!(%error, org.slug = %slug, "an org's notifications could not be looked after");
            }
        });
        self.busy.insert(org, (task.id(), bell));
    }

    /// A task ended, were it by a panic.
    fn end(&mut self, id: Id) {
        let ended = self.busy.iter().find(|(_, (task, _))| *task == id);
        let Some(org) = ended.map(|(org, _)| org.clone()) else { return };
        self.busy.remove(&org);
        if self.again.remove(&org) {
            self.begin(org);
        }
    }
}
