//! How much somebody has sent lately, for plugins that ask.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use moka::future::Cache;
use time::OffsetDateTime;

use crate::{
    Error, Result,
    db::{Db, senders},
    domain::{Caller, UserId},
};

/// New messages of each sender in 24 hours: what the database said within the last hour, and what
/// passed the plugins since. Other servers' messages are seen an hour late at most.
#[derive(Clone)]
pub(super) struct Senders {
    db: Db,
    counts: Cache<UserId, Arc<AtomicU32>>,
}

impl Senders {
    const WINDOW: Duration = Duration::from_hours(24);
    const FRESH: Duration = Duration::from_hours(1);

    pub(super) fn new(db: Db) -> Self {
        let counts = Cache::builder().max_capacity(100_000).time_to_live(Self::FRESH).build();
        Self { db, counts }
    }

    pub(super) async fn count(&self, caller: &Caller) -> Result<Arc<AtomicU32>> {
        let user = caller.user.id;
        if let Some(count) = self.counts.get(&user).await {
            return Ok(count);
        }
        let seed = async {
            let since = OffsetDateTime::now_utc() - Self::WINDOW;
            let mut handle = self.db.org(caller.org.id).await?;
            let sent = senders::count_recent(&mut handle.conn(), user, since).await?;
            Ok::<_, Error>(Arc::new(AtomicU32::new(u32::try_from(sent).unwrap_or(u32::MAX))))
        };
        // Boxed, because the future of a miss is large and a miss is rare.
        Box::pin(self.counts.try_get_with(user, seed))
            .await
            .map_err(|error: Arc<Error>| Error::unavailable(error))
    }

    /// One more message that the plugins let pass.
    pub(super) fn add(count: &AtomicU32) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}
