//! How much one person or socket may do: token buckets, and counts in a sliding window.
//!
//! Limits are an org's settings and may change between two requests, so that each
//! request brings the limit it is held to.

use std::{
    collections::VecDeque,
    hash::Hash,
    time::{Duration, Instant},
};

use dashmap::DashMap;

use crate::{
    Error, Result,
    domain::{OrgId, OrgLimits, UserId},
    events::SocketKey,
};

/// What a limit is on, as its error names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    Sends,
    Connects,
    Reads,
}

/// So many at once, and so many back in a second. A burst of 0 means no limit.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    per_second: f64,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    /// Takes one token, or says how long until there is one.
    fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let elapsed = now.duration_since(self.filled_at).as_secs_f64();
        self.filled_at = now;
        self.tokens = (self.tokens + elapsed * rate.per_second).min(f64::from(rate.burst));
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let missing = (1.0 - self.tokens) / rate.per_second.max(1e-6);
        Err(Duration::from_secs_f64(missing.min(86_400.0)))
    }
}

#[derive(Debug)]
struct Buckets<K: Eq + Hash>(DashMap<K, Bucket>);

impl<K: Eq + Hash> Buckets<K> {
    fn new() -> Self {
        Self(DashMap::new())
    }

    fn take(&self, key: K, rate: Rate, now: Instant) -> Result<(), Duration> {
        if rate.burst == 0 {
            return Ok(());
        }
        let full = || Bucket { tokens: f64::from(rate.burst), filled_at: now };
        self.0.entry(key).or_insert_with(full).take(rate, now)
    }

    /// Drops what has not been touched for so long that it is full again.
    fn sweep(&self, now: Instant) {
        self.0.retain(|_, bucket| now.duration_since(bucket.filled_at) < Limits::IDLE);
    }
}

/// At most `limit` in any `span`.
#[derive(Debug)]
struct Windows(DashMap<UserId, VecDeque<Instant>>, Duration);

impl Windows {
    fn new(span: Duration) -> Self {
        Self(DashMap::new(), span)
    }

    fn take(&self, user: UserId, limit: u32, now: Instant) -> Result<(), Duration> {
        if limit == 0 {
            return Ok(());
        }
        let mut times = self.0.entry(user).or_default();
        while times.front().is_some_and(|first| now.duration_since(*first) >= self.1) {
            times.pop_front();
        }
        if times.len() < limit as usize {
            times.push_back(now);
            return Ok(());
        }
        // A lowered limit may leave more than it allows: wait for the one that frees a place.
        let blocking = times[times.len() - limit as usize];
        Err(self.1.saturating_sub(now.duration_since(blocking)))
    }

    fn sweep(&self, now: Instant) {
        self.0
            .retain(|_, times| times.back().is_some_and(|last| now.duration_since(*last) < self.1));
    }
}

/// The counters of this process.
#[derive(Debug)]
pub struct Limits {
    people: Buckets<(Of, UserId)>,
    sockets: Buckets<SocketKey>,
    outgoing: Buckets<OrgId>,
    /// Events that plugins are told as well as can be.
    sampled: Buckets<OrgId>,
    sends: Windows,
    /// By each org's bot.
    bots: Windows,
    new_peers: Windows,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            people: Buckets::new(),
            sockets: Buckets::new(),
            outgoing: Buckets::new(),
            sampled: Buckets::new(),
            sends: Windows::new(Duration::from_mins(1)),
            bots: Windows::new(Duration::from_mins(1)),
            new_peers: Windows::new(Self::DAY),
        }
    }
}

impl Limits {
    const IDLE: Duration = Duration::from_mins(10);
    pub const DAY: Duration = Duration::from_hours(24);

    /// One send or edit of a person.
    pub fn send(&self, user: UserId, limits: &OrgLimits) -> Result<()> {
        let now = Instant::now();
        let rate = Rate { burst: limits.send_burst, per_second: limits.send_per_second.into() };
        self.people
            .take((Of::Sends, user), rate, now)
            .and_then(|()| self.sends.take(user, limits.send_per_minute, now))
            .map_err(|retry_after| Error::RateLimited { what: "messages", retry_after })
    }

    pub fn connect(&self, user: UserId, limits: &OrgLimits) -> Result<()> {
        let rate = Rate {
            burst: limits.connect_burst,
            per_second: f64::from(limits.connect_per_minute) / 60.0,
        };
        self.people
            .take((Of::Connects, user), rate, Instant::now())
            .map_err(|retry_after| Error::RateLimited { what: "connects", retry_after })
    }

    /// One REST call of a person that is no send or edit.
    pub fn read(&self, user: UserId, limits: &OrgLimits) -> Result<()> {
        let rate = Rate { burst: limits.read_burst, per_second: limits.read_per_second.into() };
        self.people
            .take((Of::Reads, user), rate, Instant::now())
            .map_err(|retry_after| Error::RateLimited { what: "requests", retry_after })
    }

    /// One event of a socket that is no send.
    pub fn event(&self, socket: SocketKey, limits: &OrgLimits) -> Result<()> {
        let rate = Rate { burst: limits.event_burst, per_second: limits.event_per_second.into() };
        self.sockets
            .take(socket, rate, Instant::now())
            .map_err(|retry_after| Error::RateLimited { what: "events", retry_after })
    }

    /// One request of an org's plugins to another server.
    pub fn outgoing(&self, org: OrgId, limits: &OrgLimits) -> Result<()> {
        let rate =
            Rate { burst: limits.outgoing_burst, per_second: limits.outgoing_per_second.into() };
        self.outgoing
            .take(org, rate, Instant::now())
            .map_err(|retry_after| Error::RateLimited { what: "outgoing requests", retry_after })
    }

    /// One message of an org's plugins, which its bot sends.
    pub fn bot(&self, bot: UserId, limits: &OrgLimits) -> Result<()> {
        self.bots
            .take(bot, limits.bot_per_minute, Instant::now())
            .map_err(|retry_after| Error::RateLimited { what: "messages of plugins", retry_after })
    }

    /// One event of an org that is told as well as can be; false: this one is not.
    pub fn sampled(&self, org: OrgId, burst: u32, per_second: u32) -> bool {
        let rate = Rate { burst, per_second: per_second.into() };
        self.sampled.take(org, rate, Instant::now()).is_ok()
    }

    pub fn forget_socket(&self, socket: SocketKey) {
        self.sockets.0.remove(&socket);
    }

    /// Whether the day's new peers of a person are known to this process.
    pub fn knows_new_peers(&self, user: UserId) -> bool {
        self.new_peers.0.contains_key(&user)
    }

    /// Takes over what the database knows: how long ago each new peer of the day was.
    pub fn seed_new_peers(&self, user: UserId, ages: impl Iterator<Item = Duration>) {
        let now = Instant::now();
        let mut times: Vec<Instant> = ages.filter_map(|age| now.checked_sub(age)).collect();
        times.sort();
        self.new_peers.0.entry(user).or_insert_with(|| times.into());
    }

    /// One person written to for the first time.
    pub fn new_peer(&self, user: UserId, limits: &OrgLimits) -> Result<()> {
        self.new_peers
            .take(user, limits.new_peers_per_day, Instant::now())
            .map_err(|retry_after| Error::RateLimited { what: "new people in a day", retry_after })
    }

    /// Forgets whoever has been idle; call now and then.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.people.sweep(now);
        self.sockets.sweep(now);
        self.outgoing.sweep(now);
        self.sampled.sweep(now);
        self.sends.sweep(now);
        self.bots.sweep(now);
        self.new_peers.sweep(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { burst: 3, per_second: 2.0 };
        let start = Instant::now();
        let mut bucket = Bucket { tokens: 3.0, filled_at: start };

        for _ in 0..3 {
            assert!(bucket.take(rate, start).is_ok());
        }
        let wait = bucket.take(rate, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert!(bucket.take(rate, start + wait).is_ok());
    }

    #[test]
    fn a_window_holds_over_any_span() {
        let windows = Windows::new(Duration::from_mins(1));
        let (user, start) = (UserId::new(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);

        assert!(windows.take(user, 2, at(0)).is_ok());
        assert!(windows.take(user, 2, at(50)).is_ok());
        assert_eq!(windows.take(user, 2, at(55)), Err(Duration::from_secs(5)));
        assert!(windows.take(user, 2, at(60)).is_ok());
        assert!(windows.take(user, 2, at(61)).is_err());
    }

    #[test]
    fn zero_switches_a_limit_off() {
        let limits = Limits::default();
        let off = OrgLimits { send_burst: 0, send_per_minute: 0, ..OrgLimits::default() };

        let user = UserId::new();
        assert!((0..1000).all(|_| limits.send(user, &off).is_ok()));
    }
}
