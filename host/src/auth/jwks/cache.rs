use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use time::OffsetDateTime;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::JwksSettings;
use super::download::Downloader;
use super::set::JwkSet;
use crate::{Error, Result};

/// The fetched sets, by address: orgs with one address share a fetch, and only operators add
/// addresses, so that nothing needs to be evicted.
pub(in crate::auth) struct JwksCache {
    settings: JwksSettings,
    downloader: Arc<Downloader>,
    entries: DashMap<String, Arc<Entry>>,
}

#[derive(Default)]
struct Entry {
    fetched: ArcSwapOption<Fetched>,
    /// When a fetch was last begun. Whoever fetches holds the lock, so there is one at a time.
    last_try: Arc<Mutex<Option<OffsetDateTime>>>,
}

struct Fetched {
    set: Arc<JwkSet>,
    at: OffsetDateTime,
}

impl JwksCache {
    pub(in crate::auth) fn new(settings: JwksSettings) -> Self {
        let downloader = Arc::new(Downloader::new(settings.clone()));
        Self { settings, downloader, entries: DashMap::new() }
    }

    /// The set as last fetched, however old.
    pub(in crate::auth) fn cached(&self, url: &str) -> Option<Arc<JwkSet>> {
        let entry = self.entries.get(url)?;
        entry.fetched.load().as_ref().map(|fetched| Arc::clone(&fetched.set))
    }

    /// The set, fetched if it is older than `max_age`, and up to `max_stale` old where that
    /// fails.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] where there is no such set.
    pub(in crate::auth) async fn load(
        &self,
        url: &str,
        now: OffsetDateTime,
    ) -> Result<Arc<JwkSet>> {
        let entry = self.entry(url);
        if let Some(set) = entry.younger_than(self.settings.max_age, now) {
            return Ok(set);
        }
        let turn = Arc::clone(&entry.last_try).lock_owned().await;
        if let Some(set) = entry.younger_than(self.settings.max_age, now) {
            return Ok(set);
        }
        self.fetch_if_due(&entry, turn, url, now).await;
        entry
            .younger_than(self.settings.max_stale, now)
            .ok_or_else(|| Error::unavailable("the JWK set cannot be fetched"))
    }

    /// A newer set than that one: fetched now, if the last fetch is not too recent.
    pub(in crate::auth) async fn newer_than(
        &self,
        known: &Arc<JwkSet>,
        url: &str,
        now: OffsetDateTime,
    ) -> Option<Arc<JwkSet>> {
        let entry = self.entry(url);
        let is_newer = |set: &Arc<JwkSet>| !Arc::ptr_eq(set, known);
        let turn = Arc::clone(&entry.last_try).lock_owned().await;
        // Somebody may have fetched it while this one waited for its turn.
        if let Some(set) = self.cached(url).filter(is_newer) {
            return Some(set);
        }
        self.fetch_if_due(&entry, turn, url, now).await;
        self.cached(url).filter(is_newer)
    }

    fn entry(&self, url: &str) -> Arc<Entry> {
        if let Some(entry) = self.entries.get(url) {
            return Arc::clone(&entry);
        }
        Arc::clone(&self.entries.entry(url.to_owned()).or_default())
    }

    async fn fetch_if_due(
        &self,
        entry: &Arc<Entry>,
        mut turn: OwnedMutexGuard<Option<OffsetDateTime>>,
        url: &str,
        now: OffsetDateTime,
    ) {
        let first = entry.fetched.load().is_none();
        let interval =
            if first { self.settings.first_interval } else { self.settings.min_interval };
        if turn.is_some_and(|last| age(last, now) < interval) {
            return;
        }
        *turn = Some(now);
        let (entry, downloader) = (Arc::clone(entry), Arc::clone(&self.downloader));
        let url = url.to_owned();
        // A task of its own: a caller who hangs up must not undo the fetch for the others.
        let fetch = tokio::spawn(async move {
            match downloader.fetch(&url).await {
                Ok(set) => {
                    entry.fetched.store(Some(Arc::new(Fetched { set: Arc::new(set), at: now })));
                }
                Err(error) => {
                    // A query may hold what the issuer gave this server alone.
                    let page = url.split('?').next();
                    tracing::warn!(jwks.url = page, error, "JWK set not fetched");
                }
            }
            drop(turn);
        });
        // It fails only by a panic, which has been reported, and then there is no new set.
        let _ = fetch.await;
    }
}

impl Entry {
    fn younger_than(&self, limit: Duration, now: OffsetDateTime) -> Option<Arc<JwkSet>> {
        let fetched = self.fetched.load();
        let fetched = fetched.as_ref()?;
        (age(fetched.at, now) < limit).then(|| Arc::clone(&fetched.set))
    }
}

/// A clock that was set back must not keep a set young.
fn age(then: OffsetDateTime, now: OffsetDateTime) -> Duration {
    (now - then).unsigned_abs()
}
