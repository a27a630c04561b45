//! Notes what plugins refused, for admins to read: behind the answer, and bounded.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use time::OffsetDateTime;
use tokio::sync::mpsc;

use super::listeners::Listeners;
use crate::{
    db::{
        Db, DbError,
        refusals::{self, RefusalRow},
    },
    domain::{Caller, Decision, Happening, MessageId, OrgId, Origin, Rejection, UserId},
};

/// Whom a refused draft was for, and which message a refused edit was to change.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub recipient: UserId,
    pub message: Option<MessageId>,
    /// Which plugin sent it, if one did.
    pub origin: Option<Origin>,
}

#[derive(Clone)]
pub struct Refusals {
    queue: mpsc::Sender<(OrgId, RefusalRow)>,
    dropped: Arc<AtomicU64>,
    listeners: Listeners,
}

impl Refusals {
    /// Refusals in one statement.
    const BATCH: usize = 256;

    /// Starts the task; it ends when the last `Refusals` is dropped.
    pub fn start(db: Db, capacity: usize, listeners: Listeners) -> Self {
        let (queue, mut waiting) = mpsc::channel(capacity.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        let count = dropped.clone();
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(Self::BATCH);
            while waiting.recv_many(&mut batch, Self::BATCH).await > 0 {
                count.fetch_add(store(&db, batch.drain(..)).await, Ordering::Relaxed);
                let dropped = count.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    tracing::warn!(dropped, "refusals were not noted");
                }
            }
        });
        Self { queue, dropped, listeners }
    }

    /// Takes note without waiting; where too many wait, this one is only counted.
    pub(super) fn note(
        &self,
        caller: &Caller,
        target: Target,
        rejection: &Rejection,
        decision: Option<Decision>,
    ) {
        let row = RefusalRow {
            id: rejection.id,
            sender_id: caller.user.id,
            recipient_id: target.recipient,
            message_id: target.message,
            reason: rejection.reason.clone(),
            decision: decision.unwrap_or_default(),
            created_at: OffsetDateTime::now_utc(),
        };
        let rejected = Happening::Rejected {
            sender: row.sender_id,
            recipient: row.recipient_id,
            code: row.reason.clone(),
        };
        self.listeners.mention(caller.org.id, &rejected, target.origin);
        if self.queue.try_send((caller.org.id, row)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Each org's alone, so that none loses what another's connections had no room for; how many
/// could not be noted.
async fn store(db: &Db, batch: impl Iterator<Item = (OrgId, RefusalRow)>) -> u64 {
    let mut by_org: HashMap<OrgId, Vec<RefusalRow>> = HashMap::new();
    for (org_id, row) in batch {
        by_org.entry(org_id).or_default().push(row);
    }
    let mut lost = 0;
    for (org_id, rows) in by_org {
        if let Err(error) = insert(db, org_id, &rows).await {
            lost += rows.len() as u64;
            tracing::warn!(%error, org.id = %org_id, "refusals could not be noted");
        }
    }
    lost
}

async fn insert(db: &Db, org_id: OrgId, rows: &[RefusalRow]) -> Result<(), DbError> {
    let mut handle = db.org(org_id).await?;
    refusals::insert_all(&mut handle.conn(), rows).await
}
