//! Who is online: sockets counted per person.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use dashmap::DashMap;
use time::OffsetDateTime;

use super::{listeners::Listeners, people::People};
use crate::{
    Result,
    db::{Db, threads, users},
    domain::{Caller, Email, Happening, Org, OrgId, PresenceScope, User, UserId},
    events::{Audience, Event, Events},
};

#[derive(Debug)]
struct Online {
    user: Arc<User>,
    sockets: u32,
    since: OffsetDateTime,
    /// Counts comings and goings, so that a late farewell sees that it is too late.
    turn: u64,
}

/// What somebody may know of another's presence; `None`: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct PresenceView {
    pub online: Option<bool>,
    pub last_seen: Option<OffsetDateTime>,
}

/// One line of the list of people online.
#[derive(Clone, Debug)]
pub struct OnlineUser {
    pub user: Arc<User>,
    pub since: OffsetDateTime,
}

#[derive(Clone)]
pub struct Presence {
    db: Db,
    people: People,
    events: Events,
    listeners: Listeners,
    /// How long somebody whose last socket went stays online: a page reload is no farewell.
    grace: Duration,
    orgs: Arc<DashMap<OrgId, HashMap<UserId, Online>>>,
}

impl Presence {
    /// The most people that one answer lists.
    pub const PAGE: usize = 1000;

    pub(super) fn new(
        db: Db,
        people: People,
        events: Events,
        listeners: Listeners,
        grace: Duration,
    ) -> Self {
        Self { db, people, events, listeners, grace, orgs: Arc::default() }
    }

    /// One more socket of a person; whether it is their first, to be told with
    /// [`Presence::tell_online`].
    pub fn count(&self, caller: &Caller) -> bool {
        let mut org = self.orgs.entry(caller.org.id).or_default();
        let online = org.entry(caller.user.id).or_insert_with(|| Online {
            user: caller.user.clone(),
            sockets: 0,
            since: OffsetDateTime::now_utc(),
            turn: 0,
        });
        online.sockets += 1;
        online.turn += 1;
        online.turn == 1
    }

    /// Plugins hear of it whatever people may see of each other.
    async fn mention(&self, caller: &Caller) {
        let (org_id, user) = (caller.org.id, caller.user.id);
        if self.listeners.ready(org_id).await.is_ok() {
            self.listeners.mention(org_id, &Happening::UserOnline { user }, None);
        }
    }

    /// Whether a socket of theirs is open here. Unlike those who count as online, whoever closed
    /// the last one a moment ago has none.
    pub fn has_socket(&self, org_id: OrgId, user: UserId) -> bool {
        let org = self.orgs.get(&org_id);
        org.is_some_and(|org| org.get(&user).is_some_and(|online| online.sockets > 0))
    }

    pub async fn tell_online(&self, caller: &Caller) {
        if let Some(audience) = self.audience(&caller.org, caller.user.id).await {
            let (org_id, user) = (caller.org.id, caller.user.clone());
            self.events.publish_lossy(Event::Online { org_id, user, audience });
        }
        self.mention(caller).await;
    }

    /// One socket less; whoever has none left goes offline after the grace.
    pub fn disconnected(&self, caller: &Caller) {
        let turn = {
            let Some(mut org) = self.orgs.get_mut(&caller.org.id) else { return };
            let Some(online) = org.get_mut(&caller.user.id) else { return };
            online.sockets = online.sockets.saturating_sub(1);
            online.turn += 1;
            if online.sockets > 0 {
                return;
            }
            online.turn
        };
        let (presence, caller) = (self.clone(), caller.clone());
        tokio::spawn(async move {
            let last_seen = OffsetDateTime::now_utc();
            tokio::time::sleep(presence.grace).await;
            // Boxed: large as a future, and many wait for the grace when a network fails.
            Box::pin(presence.gone(&caller, turn, last_seen)).await;
        });
    }

    async fn gone(&self, caller: &Caller, turn: u64, last_seen: OffsetDateTime) {
        let org_id = caller.org.id;
        let user = {
            let Some(mut org) = self.orgs.get_mut(&org_id) else { return };
            if org.get(&caller.user.id).is_none_or(|online| online.turn != turn) {
                return;
            }
            self.people.saw(org_id, &caller.user, last_seen);
            let Some(online) = org.remove(&caller.user.id) else { return };
            online.user
        };
        self.orgs.remove_if(&org_id, |_, people| people.is_empty());
        let audience = self.audience(&caller.org, user.id).await;
        let is_back = self.orgs.get(&org_id).is_some_and(|org| org.contains_key(&user.id));
        // Told before it is stored: the database may take its time, and they come back.
        if let Some(audience) = audience
            && !is_back
        {
            let user = user.clone();
            self.events.publish_lossy(Event::Offline { org_id, user, last_seen, audience });
        }
        if let Err(error) = self.store_last_seen(org_id, user.id, last_seen).await {
            tracing::warn!(%error, org.id = %org_id, "last seen could not be stored");
        }
    }

    async fn store_last_seen(&self, org_id: OrgId, id: UserId, at: OffsetDateTime) -> Result<()> {
        let mut handle = self.db.org(org_id).await?;
        users::update_last_seen(&mut handle.conn(), id, at).await?;
        handle.done();
        Ok(())
    }

    /// Who is told of a person; `None` where nobody is.
    async fn audience(&self, org: &Org, user: UserId) -> Option<Audience> {
        match org.settings.presence {
            PresenceScope::Org => Some(Audience::Org),
            PresenceScope::Off => None,
            PresenceScope::Peers => match self.knowing(org.id, user).await {
                Ok(peers) => Some(Audience::People(peers)),
                Err(error) => {
                    tracing::warn!(%error, org.id = %org.id, "presence could not be told");
                    None
                }
            },
        }
    }

    async fn knowing(&self, org_id: OrgId, user: UserId) -> Result<Vec<UserId>> {
        let mut handle = self.db.org(org_id).await?;
        let knowing = threads::list_knowing(&mut handle.conn(), user).await?;
        handle.done();
        Ok(knowing)
    }

    async fn peers(&self, org_id: OrgId, user: UserId) -> Result<Vec<UserId>> {
        let mut handle = self.db.org(org_id).await?;
        let peers = threads::list_peers(&mut handle.conn(), user).await?;
        handle.done();
        Ok(peers)
    }

    /// Who is online that the caller may see, the caller included, in the order of e-mails;
    /// `after` is the last one of the page before.
    pub async fn list(&self, caller: &Caller, after: Option<&Email>) -> Result<Vec<OnlineUser>> {
        let seen: Option<HashSet<UserId>> = match caller.org.settings.presence {
            PresenceScope::Org => None,
            PresenceScope::Off => Some([caller.user.id].into()),
            PresenceScope::Peers => {
                let peers = self.peers(caller.org.id, caller.user.id).await?;
                Some(peers.into_iter().chain([caller.user.id]).collect())
            }
        };
        let Some(org) = self.orgs.get(&caller.org.id) else { return Ok(Vec::new()) };
        let mut page: Vec<OnlineUser> = org
            .iter()
            .filter(|(id, _)| seen.as_ref().is_none_or(|seen| seen.contains(id)))
            .map(|(_, online)| OnlineUser { user: online.user.clone(), since: online.since })
            .filter(|online| after.is_none_or(|after| online.user.email.key() > after.key()))
            .collect();
        let order =
            |one: &OnlineUser, other: &OnlineUser| one.user.email.key().cmp(other.user.email.key());
        if page.len() > Self::PAGE {
            page.select_nth_unstable_by(Self::PAGE, order);
            page.truncate(Self::PAGE);
        }
        page.sort_by(order);
        Ok(page)
    }

    /// What the caller may know of people with whom they have a thread.
    pub fn of_peers(&self, org: &Org, peers: &[Arc<User>]) -> HashMap<UserId, PresenceView> {
        if org.settings.presence == PresenceScope::Off {
            return HashMap::new();
        }
        let people = self.orgs.get(&org.id);
        let view = |user: &Arc<User>| {
            let online = people.as_ref().is_some_and(|people| people.contains_key(&user.id));
            let view = PresenceView { online: Some(online), last_seen: user.last_seen_at };
            (user.id, view)
        };
        peers.iter().map(view).collect()
    }
}
