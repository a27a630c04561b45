//! The JWK sets that operators pointed at: fetched, cached, and refreshed at a bounded rate.

mod address;
mod cache;
mod download;
mod set;

use std::time::Duration;

pub(super) use address::parse_address;
pub(super) use cache::JwksCache;

#[derive(Clone, Debug)]
pub struct JwksSettings {
    /// How long a fetched set is used without asking again. Default 10 min.
    pub max_age: Duration,
    /// How long a fetched set is used while asking again fails. Default 24 h.
    pub max_stale: Duration,
    /// The least time between two fetches of one address, whatever calls for them: an unknown
    /// `kid`, or age. Default 30 s.
    pub min_interval: Duration,
    /// The same while nothing was ever fetched, when every token waits for it. Default 5 s.
    pub first_interval: Duration,
    /// For a whole fetch. Default 5 s.
    pub timeout: Duration,
    /// The largest set that is read. Default 1 MiB.
    pub max_bytes: usize,
}

impl Default for JwksSettings {
    fn default() -> Self {
        Self {
            max_age: Duration::from_mins(10),
            max_stale: Duration::from_hours(24),
            min_interval: Duration::from_secs(30),
            first_interval: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            max_bytes: 1024 * 1024,
        }
    }
}
