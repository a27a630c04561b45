//! The open sockets: by person for what must arrive, by org for what concerns all.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::DashMap;

use super::{SocketSettings, conn::Conn, expiry::Expiry, transport::Transports};
use crate::{
    domain::{OrgId, UserId},
    events::SocketKey,
};

type Person = (OrgId, UserId);

pub(super) struct Hub {
    pub(super) transports: Transports,
    pub(super) settings: SocketSettings,
    pub(super) expiry: Expiry,
    people: DashMap<Person, HashMap<SocketKey, Arc<Conn>>>,
    next_key: AtomicU64,
}

impl Hub {
    pub(super) fn start(transports: Transports, settings: SocketSettings) -> Arc<Self> {
        Arc::new_cyclic(|hub| Self {
            transports,
            settings,
            expiry: Expiry::start(hub.clone()),
            people: DashMap::new(),
            next_key: AtomicU64::new(1),
        })
    }

    pub(super) fn new_key(&self) -> SocketKey {
        SocketKey(self.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// Adds a socket, unless its person has that many already. A `most` of 0 is no limit.
    pub(super) fn insert(&self, conn: &Arc<Conn>, most: u32) -> bool {
        let caller = conn.caller();
        let mut conns = self.people.entry((caller.org.id, caller.user.id)).or_default();
        if most > 0 && conns.len() >= most as usize {
            return false;
        }
        conns.insert(conn.key, conn.clone());
        true
    }

    pub(super) fn remove(&self, conn: &Conn) {
        let caller = conn.caller();
        let person = (caller.org.id, caller.user.id);
        if let Some(mut conns) = self.people.get_mut(&person) {
            conns.remove(&conn.key);
        }
        self.people.remove_if(&person, |_, conns| conns.is_empty());
    }

    /// The open sockets of a person.
    pub(super) fn of_person(&self, org_id: OrgId, user_id: UserId) -> Vec<Arc<Conn>> {
        let conns = self.people.get(&(org_id, user_id));
        conns.map(|conns| conns.values().cloned().collect()).unwrap_or_default()
    }

    /// The open sockets of an org, or all.
    pub(super) fn of_org(&self, org_id: Option<OrgId>) -> Vec<Arc<Conn>> {
        self.people
            .iter()
            .filter(|entry| org_id.is_none_or(|org_id| entry.key().0 == org_id))
            .flat_map(|entry| entry.value().values().cloned().collect::<Vec<_>>())
            .collect()
    }
}
