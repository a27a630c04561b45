//! All SQL. One file per table; each function is one statement or one small group of
//! statements that only make sense together.

pub mod audit;
pub mod batch;
pub mod canaries;
pub mod changes;
mod connections;
pub mod content_types;
pub mod due;
pub mod flags;
pub mod held;
pub mod history;
pub mod keys;
pub mod kv;
pub mod messages;
pub mod notices;
pub mod notifications;
pub mod notifying;
pub mod orgs;
pub mod persons;
pub mod plugin_events;
pub mod plugin_messages;
pub mod plugins;
pub mod reading;
pub mod receipts;
pub mod refusals;
pub mod releases;
pub mod runs;
pub mod secrets;
pub mod senders;
pub mod threads;
pub mod users;

use std::{str::FromStr, sync::Arc, time::Duration};

use dashmap::DashMap;
use sqlx::{
    Connection, PgConnection, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::connections::{Connections, Taken};
use crate::domain::OrgId;

pub use sqlx::Error as DbError;

/// The schema, embedded so that the binary can bring its database up to date.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// How the server uses its database.
#[derive(Clone, Debug)]
pub struct PoolLimits {
    pub connections: u32,
    /// How many of them one org may hold at a time.
    pub connections_per_org: usize,
    /// How many of them plugins may hold at a time: all together, and those of one org.
    pub connections_for_plugins: usize,
    pub connections_for_plugins_per_org: usize,
    /// How long a request waits for a free connection.
    pub acquire: Duration,
    /// How long one statement may take; Postgres ends it, and so does the client if Postgres hangs.
    pub statement: Duration,
}

#[derive(Clone, Debug)]
pub struct Db {
    connections: Connections,
    /// The writer's own.
    batches: Connections,
    limits: Arc<PoolLimits>,
    /// How many connections each org holds: none may have them all.
    shares: Shares,
    /// The same for what guests ask of us, which must not starve the orgs' own requests.
    plugin_shares: Shares,
    plugin_places: Arc<Semaphore>,
}

type Shares = Arc<DashMap<OrgId, Arc<Semaphore>>>;

/// What is held with a connection: a place of the org's, and for a guest one of all guests'.
struct Share {
    _org: OwnedSemaphorePermit,
    _plugins: Option<OwnedSemaphorePermit>,
}

/// A connection bound to one org. Every query function takes one, so that a query
/// without an org does not compile; the writer's batch alone carries an org a row.
pub struct OrgConn<'c> {
    org_id: OrgId,
    conn: &'c mut PgConnection,
}

/// A pooled connection for the statements of one org.
pub struct OrgHandle {
    org_id: OrgId,
    conn: Taken,
    _share: Share,
}

/// A transaction of one org. Dropping it without [`OrgTx::commit`] rolls back.
pub struct OrgTx {
    org_id: OrgId,
    tx: Transaction<'static, Postgres>,
    _place: OwnedSemaphorePermit,
    _share: Share,
}

impl Db {
    /// As many batches as the writer stores side by side, and one more where one hangs.
    const BATCH_CONNECTIONS: u32 = 5;
    /// Of the others, one that hears of changes.
    const LISTENERS: u32 = 1;

    /// A pool that connects when it is first used, so that a database that is away at
    /// start is waited for like one that goes away later.
    pub fn new(url: &str, limits: &PoolLimits) -> Result<Self, DbError> {
        let statement_ms = limits.statement.as_millis().to_string();
        let connect = PgConnectOptions::from_str(url)?.application_name("duologue").options([
            ("statement_timeout", statement_ms.as_str()),
            ("idle_in_transaction_session_timeout", "60000"),
            // Acknowledged is stored, whatever the server's own default.
            ("synchronous_commit", "on"),
            ("jit", "off"),
            // What is planned for one org is planned by statistics in which a new one does not
            // occur yet: Postgres takes it to be empty, and reads all of it by the wrong index.
            ("plan_cache_mode", "force_generic_plan"),
        ]);
        // The batch joins its own parts, whose sizes Postgres cannot guess: by nested loops a
        // batch of 256 takes seconds, by hashes milliseconds.
        let for_batches = connect.clone().options([("enable_nestloop", "off")]);
        let pool = |connections, connect| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(limits.acquire)
                // Would cost a round trip for each use.
                .test_before_acquire(false)
                .before_acquire(|conn, meta| Box::pin(Self::test_if_idle(conn, meta.idle_for)))
                .connect_lazy_with(connect)
        };
        let (batches, most) = (pool(Self::BATCH_CONNECTIONS, for_batches), Self::BATCH_CONNECTIONS);
        let batches = Connections::new(batches, most, limits.acquire);
        let most = limits.connections.saturating_sub(Self::LISTENERS).max(1);
        let connections =
            Connections::new(pool(most + Self::LISTENERS, connect), most, limits.acquire);
        Ok(Self {
            connections,
            batches,
            limits: Arc::new(limits.clone()),
            shares: Arc::default(),
            plugin_shares: Arc::default(),
            plugin_places: Arc::new(Semaphore::new(limits.connections_for_plugins)),
        })
    }

    async fn test_if_idle(conn: &mut PgConnection, idle_for: Duration) -> Result<bool, DbError> {
        if idle_for > Connections::TESTED_AFTER {
            conn.ping().await?;
        }
        Ok(true)
    }

    /// Brings the schema up to date. Several servers may call this at once.
    pub async fn migrate(&self) -> Result<(), sqlx::migrate::MigrateError> {
        MIGRATOR.run(self.connections.pool()).await
    }

    /// One round trip, to learn whether the database answers.
    pub async fn ping(&self) -> Result<(), DbError> {
        let mut conn = self.connections.take().await?;
        sqlx::query!("select 1 as one").fetch_one(&mut *conn).await?;
        conn.done();
        Ok(())
    }

    /// A connection for what concerns no org, or all of them.
    async fn any(&self) -> Result<Taken, DbError> {
        self.connections.take().await
    }

    pub async fn org(&self, org_id: OrgId) -> Result<OrgHandle, DbError> {
        self.handle(org_id, self.share(org_id).await?).await
    }

    pub async fn begin(&self, org_id: OrgId) -> Result<OrgTx, DbError> {
        self.transaction(org_id, self.share(org_id).await?, "begin").await
    }

    /// The same, but the commit does not wait for the disk: if Postgres' machine fails, what the
    /// last moments wrote may be gone, all of it or nothing. For what nobody was promised.
    pub async fn begin_unpromised(&self, org_id: OrgId) -> Result<OrgTx, DbError> {
        const BEGIN: &str = "begin; set local synchronous_commit = off";
        self.transaction(org_id, self.share(org_id).await?, BEGIN).await
    }

    /// The same for what a guest asks of us: out of the share of plugins.
    pub async fn org_for_plugin(&self, org_id: OrgId) -> Result<OrgHandle, DbError> {
        self.handle(org_id, self.plugin_share(org_id).await?).await
    }

    pub async fn begin_for_plugin(&self, org_id: OrgId) -> Result<OrgTx, DbError> {
        self.transaction(org_id, self.plugin_share(org_id).await?, "begin").await
    }

    async fn handle(&self, org_id: OrgId, share: Share) -> Result<OrgHandle, DbError> {
        Ok(OrgHandle { org_id, conn: self.connections.take().await?, _share: share })
    }

    async fn transaction(
        &self,
        org_id: OrgId,
        share: Share,
        begin: &'static str,
    ) -> Result<OrgTx, DbError> {
        let (tx, place) = self.connections.take().await?.into_transaction(begin).await?;
        Ok(OrgTx { org_id, tx, _place: place, _share: share })
    }

    /// Waits for one of the org's own places, as long as for a connection.
    async fn share(&self, org_id: OrgId) -> Result<Share, DbError> {
        let most = self.limits.connections_per_org;
        let org = self.place(place_of(&self.shares, org_id, most)).await?;
        Ok(Share { _org: org, _plugins: None })
    }

    async fn plugin_share(&self, org_id: OrgId) -> Result<Share, DbError> {
        let most = self.limits.connections_for_plugins_per_org;
        let org = self.place(place_of(&self.plugin_shares, org_id, most)).await?;
        let plugins = self.place(self.plugin_places.clone()).await?;
        Ok(Share { _org: org, _plugins: Some(plugins) })
    }

    async fn place(&self, places: Arc<Semaphore>) -> Result<OwnedSemaphorePermit, DbError> {
        let place = tokio::time::timeout(self.limits.acquire, places.acquire_owned()).await;
        place.map_err(|_| DbError::PoolTimedOut)?.map_err(|_| DbError::PoolClosed)
    }

    pub async fn close(&self) {
        self.batches.close().await;
        self.connections.close().await;
    }
}

fn place_of(shares: &Shares, org_id: OrgId, most: usize) -> Arc<Semaphore> {
    shares.entry(org_id).or_insert_with(|| Arc::new(Semaphore::new(most))).clone()
}

impl OrgHandle {
    pub fn conn(&mut self) -> OrgConn<'_> {
        OrgConn { org_id: self.org_id, conn: &mut self.conn }
    }

    /// Gives the connection back at once, where all statements on it have been answered. Dropped,
    /// Postgres is asked about it first: that is one round trip more, and for rare requests no
    /// matter.
    pub fn done(self) {
        self.conn.done();
    }
}

impl OrgTx {
    pub fn conn(&mut self) -> OrgConn<'_> {
        OrgConn { org_id: self.org_id, conn: &mut self.tx }
    }

    pub fn org_id(&self) -> OrgId {
        self.org_id
    }

    pub async fn commit(self) -> Result<(), DbError> {
        self.tx.commit().await
    }
}

/// Whether a failure says that the database is away or too busy, not that a request is wrong.
pub fn is_unavailable(error: &DbError) -> bool {
    match error {
        DbError::Io(_)
        | DbError::Tls(_)
        | DbError::Protocol(_)
        | DbError::PoolTimedOut
        | DbError::PoolClosed
        | DbError::WorkerCrashed => true,
        DbError::Database(database) => database.code().is_some_and(|code| {
            // Connection trouble, resources, operator intervention, system errors, read-only.
            ["08", "53", "57", "58"].contains(&&code[..2]) || code == "25006"
        }),
        _ => false,
    }
}

/// Whether the same statement may well succeed when it is sent again.
pub fn is_transient(error: &DbError) -> bool {
    // Deadlock, serialization failure.
    matches!(error, DbError::Database(database)
        if matches!(database.code().as_deref(), Some("40P01" | "40001")))
}

/// Whether a failure is the breach of the constraint of that name.
pub fn violates(error: &DbError, constraint: &str) -> bool {
    matches!(error, DbError::Database(database) if database.constraint() == Some(constraint))
}
