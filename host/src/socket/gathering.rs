//! Comings and goings that a whole org is told, a few at a time: each write to each socket costs
//! far more than one more event in it.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde_json::{Value as Json, json};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep_until};

use crate::{
    domain::{OrgId, User},
    wire::time_text,
};

/// That somebody came or went.
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) data: Json,
}

impl Told {
    pub(super) fn online(user: &User) -> Self {
        Self { name: "userOnline", data: json!({ "email": user.email.as_str() }) }
    }

    pub(super) fn offline(user: &User, last_seen: OffsetDateTime) -> Self {
        let data = json!({ "email": user.email.as_str(), "lastSeen": time_text(last_seen) });
        Self { name: "userOffline", data }
    }
}

/// What waits to be told, by org.
pub(super) struct Gathering {
    /// How long an org hears nothing after it was told something; none: nothing waits.
    pause: Duration,
    /// So many do not wait for the end of it.
    most: usize,
    waiting: HashMap<OrgId, Vec<Told>>,
    /// When the pauses of the orgs above end, in that order.
    pauses: VecDeque<(Instant, OrgId)>,
}

impl Gathering {
    pub(super) fn new(pause: Duration, most: usize) -> Self {
        Self { pause, most, waiting: HashMap::new(), pauses: VecDeque::new() }
    }

    /// Takes in an event; what is to be told now, in its order.
    pub(super) fn add(&mut self, org_id: OrgId, told: Told) -> Vec<Told> {
        if let Some(waiting) = self.waiting.get_mut(&org_id) {
            waiting.push(told);
            let is_full = waiting.len() >= self.most;
            return if is_full { std::mem::take(waiting) } else { Vec::new() };
        }
        if !self.pause.is_zero() {
            self.begin_pause(org_id);
        }
        vec![told]
    }

    fn begin_pause(&mut self, org_id: OrgId) {
        self.waiting.insert(org_id, Vec::new());
        self.pauses.push_back((Instant::now() + self.pause, org_id));
    }

    /// Waits for the end of the next pause; what its org is to be told now.
    pub(super) async fn next(&mut self) -> (OrgId, Vec<Told>) {
        loop {
            let Some((end, org_id)) = self.pauses.front().copied() else {
                return std::future::pending().await;
            };
            sleep_until(end).await;
            self.pauses.pop_front();
            let told = self.waiting.remove(&org_id).unwrap_or_default();
            if !told.is_empty() {
                self.begin_pause(org_id);
                return (org_id, told);
            }
        }
    }
}
