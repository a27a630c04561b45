//! Sends under a client id that are on their way: a retry waits for the first one's end,
//! so that it finds it stored and no hook is asked twice.

use std::sync::Arc;

use dashmap::{DashMap, Entry};
use tokio::sync::Notify;

use crate::domain::{ClientId, OrgId, UserId};

type Key = (OrgId, UserId, ClientId);

#[derive(Clone, Debug, Default)]
pub(super) struct InFlight(Arc<DashMap<Key, Arc<Notify>>>);

/// Held while a send is on its way.
#[derive(Debug)]
pub struct Claim {
    in_flight: InFlight,
    key: Key,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some((_, ended)) = self.in_flight.0.remove(&self.key) {
            ended.notify_waiters();
        }
    }
}

impl InFlight {
    /// Waits until nobody else is sending under this client id.
    pub(super) async fn claim(&self, org_id: OrgId, sender: UserId, client_id: &ClientId) -> Claim {
        let key = (org_id, sender, client_id.clone());
        loop {
            let other = match self.0.entry(key.clone()) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Arc::default());
                    return Claim { in_flight: self.clone(), key };
                }
                Entry::Occupied(occupied) => occupied.get().clone(),
            };
            let ended = other.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            // It may have ended before we began to listen.
            let still_there = self.0.get(&key).is_some_and(|now| Arc::ptr_eq(&now, &other));
            if still_there {
                ended.await;
            }
        }
    }
}
