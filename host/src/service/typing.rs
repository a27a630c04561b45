use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::{DashMap, Entry};

use super::people::{People, PersonRef};
use crate::{
    Result,
    domain::{Caller, UserId},
    events::{Event, Events},
};

/// Tells peers that somebody is typing, at most one in 2 s a pair.
#[derive(Clone)]
pub struct Typing {
    people: People,
    events: Events,
    told: Arc<DashMap<(UserId, UserId), Instant>>,
}

impl Typing {
    const PAUSE: Duration = Duration::from_secs(2);

    pub fn new(people: People, events: Events) -> Self {
        Self { people, events, told: Arc::default() }
    }

    /// To somebody unknown, or to oneself, nothing is told, and nobody learns which.
    pub async fn tell(&self, caller: &Caller, peer: &PersonRef) -> Result<()> {
        let Some(peer) = self.people.find(caller.org.id, peer).await? else { return Ok(()) };
        if peer.id == caller.user.id || !self.is_due((caller.user.id, peer.id)) {
            return Ok(());
        }
        self.events.publish_lossy(Event::Typing {
            org_id: caller.org.id,
            from: caller.user.clone(),
            to: peer.id,
        });
        Ok(())
    }

    fn is_due(&self, pair: (UserId, UserId)) -> bool {
        let now = Instant::now();
        match self.told.entry(pair) {
            Entry::Occupied(last) if now.duration_since(*last.get()) < Self::PAUSE => false,
            entry => {
                entry.insert(now);
                true
            }
        }
    }

    /// Forgets pairs that may be told again; call now and then.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.told.retain(|_, last| now.duration_since(*last) < Self::PAUSE);
    }
}
