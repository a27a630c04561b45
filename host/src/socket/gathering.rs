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

    /// What waits for the end of an org's pause, to be told before it.
    pub(super) fn take(&mut self, org_id: OrgId) -> Vec<Told> {
        self.waiting.get_mut(&org_id).map(std::mem::take).unwrap_or_default()
    }

    /// The orgs of which something waits.
    pub(super) fn orgs(&self) -> Vec<OrgId> {
        self.waiting.keys().copied().collect()
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

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_hours(1);
    const SHORT: Duration = Duration::from_millis(5);

    fn told(name: &'static str) -> Told {
        Told { name, data: Json::Null }
    }

    fn names(told: &[Told]) -> Vec<&'static str> {
        told.iter().map(|told| told.name).collect()
    }

    #[test]
    fn without_a_pause_nothing_waits() {
        let mut gathering = Gathering::new(Duration::ZERO, 8);
        let org = OrgId::new();

        for name in ["one", "two", "three"] {
            assert_eq!(names(&gathering.add(org, told(name))), [name]);
        }
    }

    #[test]
    fn as_many_as_are_told_at_once_do_not_wait() {
        for (at_once, waiting) in [(0, 0), (1, 0), (3, 2)] {
            let mut gathering = Gathering::new(LONG, at_once);
            let org = OrgId::new();
            assert_eq!(names(&gathering.add(org, told("first"))), ["first"]);

            for _ in 0..waiting {
                assert!(gathering.add(org, told("next")).is_empty());
            }
            assert_eq!(gathering.add(org, told("last")).len(), waiting + 1);
        }
    }

    #[tokio::test]
    async fn what_waits_is_told_in_its_order_when_the_pause_ends() {
        let mut gathering = Gathering::new(SHORT, 8);
        let [org, other] = [OrgId::new(), OrgId::new()];
        assert_eq!(names(&gathering.add(org, told("one"))), ["one"]);
        assert!(gathering.add(org, told("two")).is_empty());
        assert!(gathering.add(org, told("three")).is_empty());
        assert_eq!(names(&gathering.add(other, told("theirs"))), ["theirs"]);

        let (told_org, waited) = gathering.next().await;

        assert_eq!((told_org, names(&waited)), (org, vec!["two", "three"]));
        // Pauses in which nothing came end by themselves.
        assert!(timeout(SHORT * 20, gathering.next()).await.is_err());
        assert!(gathering.orgs().is_empty());
        assert_eq!(names(&gathering.add(org, told("four"))), ["four"]);
    }

    #[test]
    fn what_is_taken_is_not_told_again() {
        let mut gathering = Gathering::new(LONG, 3);
        let org = OrgId::new();
        drop(gathering.add(org, told("one")));
        drop(gathering.add(org, told("two")));

        assert_eq!(names(&gathering.take(org)), ["two"]);
        assert!(gathering.take(org).is_empty());
        assert!(gathering.take(OrgId::new()).is_empty());
        assert!(gathering.add(org, told("three")).is_empty());
    }
}
