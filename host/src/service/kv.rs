//! What plugins keep from call to call.

use crate::{
    Result,
    db::{Db, DbError, kv},
    domain::{
        Increment, Installed, KvEntry, KvError, KvKey, KvLimits, KvLook, KvWrite, OrgId,
        StagedWrites,
    },
};

/// One key-value store for each plugin of each org.
///
/// Where a method takes [`StagedWrites`], they are those of the running call, if its writes are
/// to commit with a message; without them a write acts at once.
#[derive(Clone)]
pub struct Kv {
    db: Db,
    limits: KvLimits,
}

impl Kv {
    /// Expired entries removed in one transaction.
    const SWEEP_ROWS: i64 = 1000;

    pub fn new(db: Db, limits: KvLimits) -> Self {
        Self { db, limits }
    }

    /// For a call whose writes are to wait for its message; `db::kv::commit` stores them.
    pub fn stage(&self, plugin: Installed) -> StagedWrites {
        StagedWrites::new(plugin.plugin_id, self.limits)
    }

    pub async fn find(
        &self,
        plugin: Installed,
        key: &KvKey,
        staged: Option<&mut StagedWrites>,
    ) -> Result<Option<KvEntry>, KvError> {
        if let Some(own) = staged.as_ref().and_then(|staged| staged.find(key)) {
            return Ok(own);
        }
        let look = self.look(plugin, key).await?;
        if let Some(staged) = staged {
            staged.learn(key, &look, true);
        }
        Ok(look.entry)
    }

    /// Sets or deletes a key; answers its revision, 0 where it is gone. The revision of a
    /// staged write is good within the call alone.
    pub async fn write(
        &self,
        plugin: Installed,
        key: &KvKey,
        write: KvWrite,
        staged: Option<&mut StagedWrites>,
    ) -> Result<u64, KvError> {
        self.limits.check(&write)?;
        let Some(staged) = staged else {
            return self.write_now(plugin, key, &write).await;
        };
        if !staged.knows(key) {
            let look = self.look(plugin, key).await?;
            staged.learn(key, &look, false);
        }
        staged.stage(key, write)
    }

    /// Adds to a counter, which begins at 0. It acts at once, also in a call whose message is
    /// then refused.
    pub async fn increment(
        &self,
        plugin: Installed,
        key: &KvKey,
        step: Increment,
        staged: Option<&mut StagedWrites>,
    ) -> Result<i64, KvError> {
        self.limits.check_ttl(step.ttl_seconds)?;
        if staged.as_ref().is_some_and(|staged| staged.find(key).is_some()) {
            return Err(KvError::Invalid(
                "this call has written the key, which waits for its message; an increment cannot"
                    .into(),
            ));
        }
        let (value, revision) = match self.count(plugin, key, step.delta).await? {
            Some(counted) => counted,
            None => self.begin_counter(plugin, key, step).await?,
        };
        if let Some(staged) = staged {
            staged.incremented(key, revision);
        }
        Ok(value)
    }

    /// Removes what has expired in an org.
    pub async fn sweep(&self, org_id: OrgId) -> Result<()> {
        let mut handle = self.db.org_for_plugin(org_id).await?;
        let plugins = kv::list_expired(&mut handle.conn()).await?;
        handle.done();
        for plugin_id in plugins {
            loop {
                let mut tx = self.db.begin_for_plugin(org_id).await?;
                let gone = kv::sweep(&mut tx.conn(), plugin_id, Self::SWEEP_ROWS).await?;
                tx.commit().await?;
                if gone < Self::SWEEP_ROWS.unsigned_abs() {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn look(&self, plugin: Installed, key: &KvKey) -> Result<KvLook, KvError> {
        let look = async {
            let mut handle = self.db.org_for_plugin(plugin.org_id).await?;
            let look = kv::look(&mut handle.conn(), plugin.plugin_id, key).await?;
            handle.done();
            Ok(look)
        };
        look.await.map_err(|error| unavailable(plugin, &error))
    }

    async fn write_now(
        &self,
        plugin: Installed,
        key: &KvKey,
        write: &KvWrite,
    ) -> Result<u64, KvError> {
        let write = async {
            let mut tx = self.db.begin_for_plugin(plugin.org_id).await?;
            let conn = &mut tx.conn();
            let written = kv::write(conn, plugin.plugin_id, key, write, &self.limits).await?;
            if written.is_ok() {
                tx.commit().await?;
            }
            Ok(written)
        };
        write.await.map_err(|error| unavailable(plugin, &error))?
    }

    async fn count(
        &self,
        plugin: Installed,
        key: &KvKey,
        delta: i64,
    ) -> Result<Option<(i64, u64)>, KvError> {
        let count = async {
            let mut handle = self.db.org_for_plugin(plugin.org_id).await?;
            let count = kv::increment(&mut handle.conn(), plugin.plugin_id, key, delta).await?;
            handle.done();
            Ok(count)
        };
        count.await.map_err(|error| unavailable(plugin, &error))
    }

    async fn begin_counter(
        &self,
        plugin: Installed,
        key: &KvKey,
        step: Increment,
    ) -> Result<(i64, u64), KvError> {
        let begin = async {
            let mut tx = self.db.begin_for_plugin(plugin.org_id).await?;
            let conn = &mut tx.conn();
            let begun = kv::begin_counter(conn, plugin.plugin_id, key, step, &self.limits).await?;
            if begun.is_ok() {
                tx.commit().await?;
            }
            Ok(begun)
        };
        begin.await.map_err(|error| unavailable(plugin, &error))?
    }
}

fn unavailable(plugin: Installed, error: &DbError) -> KvError {
    let Installed { org_id, plugin_id } = plugin;
    tracing::warn!(%error, org.id = %org_id, plugin.id = %plugin_id, "a plugin's store cannot be reached");
    KvError::Unavailable
}
