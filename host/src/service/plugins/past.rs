//! What candidates read that only rehearse: what is really there, for those on trial as it is
//! now, for a backtest as it was, as far as that can be known.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt, future::BoxFuture};

use super::guests::{Guests, unserved};
use crate::{
    db::history::{Part, Place},
    domain::{Installed, KvEntry, KvError, KvKey, Message, OrgId, UserProfile},
    plugin::{Asker, Earlier, HostServices, Reads, Unserved},
};

impl Reads for Guests {
    fn previous(&self, org: OrgId, asker: Asker) -> BoxFuture<'_, Result<Vec<Earlier>, Unserved>> {
        HostServices::previous(self, org, asker)
    }

    fn find_person(
        &self,
        org: OrgId,
        email: String,
    ) -> BoxFuture<'_, Result<Option<UserProfile>, Unserved>> {
        HostServices::find_person(self, org, email)
    }

    fn find_entry<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
    ) -> BoxFuture<'a, Result<Option<KvEntry>, KvError>> {
        HostServices::find_entry(self, plugin, key, None)
    }
}

/// The same for a candidate that is asked about stored messages, one after another.
pub(super) struct Past {
    guests: Arc<Guests>,
    /// Of the message that it is being asked about.
    place: Mutex<Option<Place>>,
}

impl Past {
    pub(super) fn new(guests: Arc<Guests>) -> Self {
        Self { guests, place: Mutex::new(None) }
    }

    /// From now on it is asked about that message.
    pub(super) fn go_to(&self, message: &Message) {
        let place = message.seq.map_or(Place::Unplaced(message.id), Place::Seq);
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    fn part(&self) -> Part {
        let place = *self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.map_or(Part::Newest, Part::Before)
    }
}

impl Reads for Past {
    fn previous(&self, org: OrgId, asker: Asker) -> BoxFuture<'_, Result<Vec<Earlier>, Unserved>> {
        let part = self.part();
        async move {
            let earlier = self.guests.list_previous(org, asker, part).await;
            earlier.map_err(|error| unserved(org, &error))
        }
        .boxed()
    }

    fn find_person(
        &self,
        org: OrgId,
        email: String,
    ) -> BoxFuture<'_, Result<Option<UserProfile>, Unserved>> {
        Reads::find_person(&*self.guests, org, email)
    }

    fn find_entry<'a>(
        &'a self,
        plugin: Installed,
        key: &'a KvKey,
    ) -> BoxFuture<'a, Result<Option<KvEntry>, KvError>> {
        Reads::find_entry(&*self.guests, plugin, key)
    }
}
