//! Connections to Postgres, the warm ones first.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{
    Connection, PgConnection, PgPool, Postgres, SqlSafeStr, Transaction, pool::PoolConnection,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::DbError;

/// A pool, and those of its connections that were given back in order.
///
/// The pool alone hands its connections out in turn, so that each statement meets another process
/// of Postgres, whose caches are cold; and it asks Postgres about each that it gets back, which is
/// one round trip more. What is given back by [`Taken::done`] needs neither.
///
/// A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    /// How many may be in use; what the pool still looks after is not counted.
    places: Arc<Semaphore>,
    /// How long one is waited for.
    patience: Duration,
    /// The latest last.
    ready: Mutex<Vec<Ready>>,
    /// How many wait for the pool, which does not know of those above.
    waiting: AtomicU32,
}

#[derive(Debug)]
struct Ready {
    conn: PoolConnection<Postgres>,
    /// When it came from the pool.
    from_pool: Instant,
    /// When it was given back.
    since: Instant,
}

/// A connection in use. Dropped, it goes back to the pool, which looks after what was left undone
/// on it.
pub(super) struct Taken {
    conn: Doubtful,
    from_pool: Instant,
    from: Connections,
    place: OwnedSemaphorePermit,
}

/// A connection; dropped while it is in doubt, it is closed, and the pool makes room for another
/// at once: to ask about it might take as long as TCP does to give up.
struct Doubtful {
    /// Always there, but while it is dropped or moved out.
    conn: Option<PoolConnection<Postgres>>,
    is_in_doubt: bool,
}

impl Connections {
    /// One that nobody has used for so long is tried first: Postgres may have been away.
    pub(super) const TESTED_AFTER: Duration = Duration::from_millis(250);
    /// After so long in use or idle a connection is the pool's again, which closes it in its time.
    const KEPT_FOR: Duration = Duration::from_mins(10);
    /// Of the patience, for one that does not answer: there may be another.
    const TEST: u32 = 8;

    /// `most`: how many may be in use at a time.
    pub(super) fn new(pool: PgPool, most: u32, patience: Duration) -> Self {
        let places = Arc::new(Semaphore::new(most as usize));
        let (ready, waiting) = (Mutex::default(), AtomicU32::new(0));
        Self(Arc::new(Inner { pool, places, patience, ready, waiting }))
    }

    /// The pool itself, for what keeps a connection for good or runs before all others.
    pub(super) fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// Waits for a free one as long as the setting says.
    pub(super) async fn take(&self) -> Result<Taken, DbError> {
        if let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() {
            if let Some((conn, from_pool)) = self.take_fresh() {
                return Ok(self.taken(conn, from_pool, place));
            }
            // Boxed, so that the quick way does not carry it along.
            return Box::pin(self.in_time(self.take_tested(place))).await;
        }
        Box::pin(self.in_time(async {
            let place = Arc::clone(&self.0.places).acquire_owned().await;
            let place = place.map_err(|_| DbError::PoolClosed)?;
            match self.take_fresh() {
                Some((conn, from_pool)) => Ok(self.taken(conn, from_pool, place)),
                None => self.take_tested(place).await,
            }
        }))
        .await
    }

    async fn in_time(
        &self,
        taking: impl Future<Output = Result<Taken, DbError>>,
    ) -> Result<Taken, DbError> {
        timeout(self.0.patience, taking).await.unwrap_or(Err(DbError::PoolTimedOut))
    }

    fn taken(
        &self,
        conn: PoolConnection<Postgres>,
        from_pool: Instant,
        place: OwnedSemaphorePermit,
    ) -> Taken {
        let conn = Doubtful { conn: Some(conn), is_in_doubt: false };
        Taken { conn, from_pool, from: self.clone(), place }
    }

    fn take_fresh(&self) -> Option<(PoolConnection<Postgres>, Instant)> {
        let mut ready = self.ready();
        let is_fresh = ready.last()?.since.elapsed() <= Self::TESTED_AFTER;
        let Ready { conn, from_pool, .. } = is_fresh.then(|| ready.pop()).flatten()?;
        Some((conn, from_pool))
    }

    async fn take_tested(&self, place: OwnedSemaphorePermit) -> Result<Taken, DbError> {
        while let Some(Ready { conn, from_pool, since }) = self.pop() {
            if since.elapsed().max(from_pool.elapsed()) > Self::KEPT_FOR {
                continue;
            }
            let mut conn = Doubtful { conn: Some(conn), is_in_doubt: true };
            match timeout(self.0.patience / Self::TEST, conn.ping()).await {
                Ok(Ok(())) => {
                    conn.is_in_doubt = false;
                    return Ok(Taken { conn, from_pool, from: self.clone(), place });
                }
                Ok(Err(_)) => {}
                // The others may be as slow, and need not be closed for it.
                Err(_) => break,
            }
        }
        let _waits = Waits::of(&self.0.waiting);
        Ok(self.taken(self.0.pool.acquire().await?, Instant::now(), place))
    }

    fn pop(&self) -> Option<Ready> {
        self.ready().pop()
    }

    fn ready(&self) -> MutexGuard<'_, Vec<Ready>> {
        self.0.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that are in use are given back.
    pub(super) async fn close(&self) {
        self.0.places.close();
        self.ready().clear();
        self.0.pool.close().await;
    }
}

impl Taken {
    /// Gives it back in order: every statement was answered, if by an error, and no transaction is
    /// open.
    pub(super) fn done(mut self) {
        let now = Instant::now();
        let mut ready = self.from.ready();
        if now.duration_since(self.from_pool) > Connections::KEPT_FOR
            || self.from.0.places.is_closed()
            || self.from.0.waiting.load(Ordering::Relaxed) > 0
        {
            return;
        }
        let Some(conn) = self.conn.conn.take() else { return };
        ready.push(Ready { conn, from_pool: self.from_pool, since: now });
        // What nobody has needed for long is the pool's again, which closes it in the end.
        let is_idle = now.duration_since(ready[0].since) > Connections::KEPT_FOR;
        let idle = is_idle.then(|| ready.remove(0));
        drop(ready);
        drop(idle);
    }

    /// Begins a transaction. If nobody waits for that any more, what has become of it is not
    /// known, and the connection is closed: sqlx would give it to the next one as it is.
    pub(super) async fn begin(&mut self) -> Result<Transaction<'_, Postgres>, DbError> {
        let Doubtful { conn, is_in_doubt } = &mut self.conn;
        let conn = conn.as_mut().ok_or(DbError::PoolClosed)?;
        *is_in_doubt = true;
        let begun = conn.begin().await;
        *is_in_doubt = false;
        begun
    }

    /// The same for a transaction that has the connection for itself; what comes with it is to be
    /// kept as long.
    pub(super) async fn into_transaction(
        mut self,
        statement: &'static str,
    ) -> Result<(Transaction<'static, Postgres>, OwnedSemaphorePermit), DbError> {
        let conn = self.conn.conn.take().ok_or(DbError::PoolClosed)?;
        // A task of its own, so that it is ended, and then rolled back, if nobody waits any more.
        let begin = Transaction::begin(conn, Some(statement.into_sql_str()));
        let tx = tokio::spawn(begin).await.map_err(|_| DbError::WorkerCrashed)??;
        Ok((tx, self.place))
    }
}

/// Somebody who waits for the pool.
struct Waits<'a>(&'a AtomicU32);

impl<'a> Waits<'a> {
    fn of(waiting: &'a AtomicU32) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Doubtful {
    fn drop(&mut self) {
        if self.is_in_doubt
            && let Some(conn) = self.conn.take()
        {
            drop(conn.detach());
        }
    }
}

impl Deref for Doubtful {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.conn.as_ref().expect(Self::THERE)
    }
}

impl DerefMut for Doubtful {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.conn.as_mut().expect(Self::THERE)
    }
}

impl Doubtful {
    const THERE: &str = "it is there until it is dropped or moved out";
}

impl Deref for Taken {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.conn
    }
}

impl DerefMut for Taken {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.conn
    }
}
