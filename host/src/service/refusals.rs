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

use crate::{
    db::{
        Db, DbError,
        refusals::{self, RefusalRow},
    },
    domain::{Caller, Decision, EntryId, MessageId, OrgId, Rejection, UserId},
};

/// Whom a refused draft was for, and which message a refused edit was to change.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub recipient: UserId,
    pub message: Option<MessageId>,
}

#[derive(Clone)]
pub struct Refusals {
    queue: mpsc::Sender<(OrgId, RefusalRow)>,
    dropped: Arc<AtomicU64>,
}

impl Refusals {
    /// Refusals in one statement.
    const BATCH: usize = 256;

    /// Starts the task; it ends when the last `Refusals` is dropped.
    pub fn start(db: Db, capacity: usize) -> Self {
        let (queue, mut waiting) = mpsc::channel(capacity.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        let count = dropped.clone();
        tokio::spawn(async move {
            let mut batch = Vec::with_capacity(Self::BATCH);
            while waiting.recv_many(&mut batch, Self::BATCH).await > 0 {
                let noted = batch.len();
                if let Err(error) = store(&db, batch.drain(..)).await {
                    count.fetch_add(noted as u64, Ordering::Relaxed);
                    tracing::warn!(%error, "refusals could not be noted");
                }
                let dropped = count.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    tracing::warn!(dropped, "refusals were not noted");
                }
            }
        });
        Self { queue, dropped }
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
            id: EntryId::new(),
            sender_id: caller.user.id,
            recipient_id: target.recipient,
            message_id: target.message,
            reason: rejection.reason.clone(),
            decision: decision.unwrap_or_default(),
            created_at: OffsetDateTime::now_utc(),
        };
        if self.queue.try_send((caller.org.id, row)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn store(db: &Db, batch: impl Iterator<Item = (OrgId, RefusalRow)>) -> Result<(), DbError> {
    let mut by_org: HashMap<OrgId, Vec<RefusalRow>> = HashMap::new();
    for (org_id, row) in batch {
        by_org.entry(org_id).or_default().push(row);
    }
    for (org_id, rows) in by_org {
        let mut handle = db.org(org_id).await?;
        refusals::insert_all(&mut handle.conn(), &rows).await?;
    }
    Ok(())
}
