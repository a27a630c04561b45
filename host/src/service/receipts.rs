//! Keeps decision receipts: behind the answer, and bounded in number and bytes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    db::{
        Db, DbError,
        receipts::{self, NewReceipt},
    },
    domain::{
        Caller, ConfigRecord, EntryId, Judgement, MessageId, OrgId, Receipt, ThreadId, UserId,
    },
};

/// How receipts are kept; each field is a setting of the server.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptSettings {
    /// Receipts that may wait to be stored, and their bytes; past either they are dropped.
    pub queue: usize,
    pub queue_bytes: u32,
    /// The newest that are kept of one message.
    pub per_message: u32,
    /// How long the first one waits for others to be stored with it.
    pub gather: Duration,
}

#[derive(Clone)]
pub struct Receipts {
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    dropped: Arc<AtomicU64>,
}

/// The receipts of a draft whose end is not known yet. Dropped, it leaves none.
pub struct Unsettled {
    receipts: Receipts,
    org_id: OrgId,
    /// One for each time that plugins were asked.
    asked: Vec<Receipt>,
}

struct Waiting {
    org_id: OrgId,
    row: NewReceipt,
    configs: Vec<Arc<ConfigRecord>>,
    /// Given back when it is stored.
    room: OwnedSemaphorePermit,
}

/// Which draft was judged.
#[derive(Clone, Copy)]
pub(super) struct Judged {
    pub recipient: UserId,
    pub is_edit: bool,
    pub attempt: u32,
}

impl Receipts {
    /// The most receipts in one transaction.
    const BATCH: usize = 256;

    /// Starts the task; it ends when the last `Receipts` is dropped, and all are stored.
    pub(super) fn start(db: Db, settings: ReceiptSettings) -> (Self, JoinHandle<()>) {
        let (queue, waiting) = mpsc::channel(settings.queue.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        let task = Task {
            db,
            per_message: settings.per_message.max(1).into(),
            gather: settings.gather,
            dropped: dropped.clone(),
            named: HashMap::new(),
        };
        let task = tokio::spawn(task.run(waiting));
        let room = Arc::new(Semaphore::new(settings.queue_bytes as usize));
        (Self { queue, room, dropped }, task)
    }

    /// Takes the receipt out of a judgement and adds it to those of earlier times.
    pub(super) fn add(
        &self,
        before: &mut Option<Unsettled>,
        caller: &Caller,
        judged: Judged,
        judgement: &mut Judgement,
    ) {
        let runs = std::mem::take(&mut judgement.runs);
        if caller.org.settings.receipt_days == 0 {
            return;
        }
        let thread_id = ThreadId::of(caller.user.id, judged.recipient);
        let what = (judged.is_edit, judged.attempt);
        let Some(receipt) = Receipt::new(thread_id, what, &judgement.steps, runs) else { return };
        let unsettled = before.get_or_insert_with(|| Unsettled {
            receipts: self.clone(),
            org_id: caller.org.id,
            asked: Vec::new(),
        });
        unsettled.asked.push(receipt);
    }

    /// Without waiting; where too much waits, this one is only counted.
    fn keep(&self, org_id: OrgId, receipt: Receipt, named: (Option<MessageId>, Option<EntryId>)) {
        let (message_id, request_id) = named;
        let form = "words and numbers have a JSON form";
        let calls = serde_json::to_vec(&receipt.calls).expect(form);
        let content = serde_json::to_vec(&receipt.contents).expect(form);
        let bytes = u32::try_from(calls.len() + content.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes);
        let sent = room.is_ok_and(|room| {
            let row = NewReceipt {
                id: receipt.id,
                thread_id: receipt.thread_id,
                message_id,
                request_id,
                is_edit: receipt.is_edit,
                attempt: i32::try_from(receipt.attempt).unwrap_or(i32::MAX),
                calls,
                content,
                shown: receipt.shown,
                created_at: OffsetDateTime::now_utc(),
            };
            let waiting = Waiting { org_id, row, configs: receipt.configs, room };
            self.queue.try_send(waiting).is_ok()
        });
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Unsettled {
    /// The draft is stored, or the message is the one that was asked about again.
    pub(super) fn stored(self, id: MessageId) {
        self.keep(Some(id), None);
    }

    /// The draft is refused; `message`: it was to change that one.
    pub(super) fn refused(self, request: EntryId, message: Option<MessageId>) {
        self.keep(message, Some(request));
    }

    fn keep(self, message: Option<MessageId>, request: Option<EntryId>) {
        for receipt in self.asked {
            self.receipts.keep(self.org_id, receipt, (message, request));
        }
    }
}

/// Until there are enough for a transaction, or nobody is left to send any.
async fn fill(batch: &mut Vec<Waiting>, waiting: &mut mpsc::Receiver<Waiting>) {
    while batch.len() < Receipts::BATCH {
        let left = Receipts::BATCH - batch.len();
        if waiting.recv_many(batch, left).await == 0 {
            return;
        }
    }
}

struct Task {
    db: Db,
    per_message: i64,
    gather: Duration,
    dropped: Arc<AtomicU64>,
    /// The configurations that were stored, or marked as used, of late.
    named: HashMap<(OrgId, String), Instant>,
}

impl Task {
    /// Well below the day that a mark holds for.
    const NAMED_FOR: Duration = Duration::from_hours(1);

    async fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::with_capacity(Receipts::BATCH);
        while waiting.recv_many(&mut batch, Receipts::BATCH).await > 0 {
            // Nobody waits for a receipt, and a transaction for each would cost what a message does.
            let _ = timeout(self.gather, fill(&mut batch, &mut waiting)).await;
            self.named.retain(|_, since| since.elapsed() < Self::NAMED_FOR);
            self.store(batch.drain(..)).await;
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                tracing::warn!(dropped, "decision receipts were not kept");
            }
        }
    }

    /// Each org's alone, so that none loses what another's connections had no room for.
    async fn store(&mut self, batch: impl Iterator<Item = Waiting>) {
        let mut by_org: HashMap<OrgId, Vec<Waiting>> = HashMap::new();
        for waiting in batch {
            by_org.entry(waiting.org_id).or_default().push(waiting);
        }
        for (org_id, waiting) in by_org {
            let lost = waiting.len() as u64;
            if let Err(error) = self.insert(org_id, waiting).await {
                self.dropped.fetch_add(lost, Ordering::Relaxed);
                tracing::warn!(%error, org.id = %org_id, "decision receipts could not be kept");
            }
        }
    }

    async fn insert(&mut self, org_id: OrgId, waiting: Vec<Waiting>) -> Result<(), DbError> {
        let (mut rows, mut configs, mut room) = (Vec::new(), Vec::new(), Vec::new());
        for waiting in waiting {
            rows.push(waiting.row);
            configs.extend(waiting.configs);
            room.push(waiting.room);
        }
        configs.sort_unstable_by(|a, b| a.sha256.cmp(&b.sha256));
        configs.dedup_by(|a, b| a.sha256 == b.sha256);
        configs.retain(|config| !self.named.contains_key(&(org_id, config.sha256.clone())));
        // What a new message has is its first, and needs no room.
        let again = rows.iter().filter(|row| row.is_edit || row.attempt > 1);
        let again: Vec<MessageId> = again.filter_map(|row| row.message_id).collect();
        let mut tx = self.db.begin_unpromised(org_id).await?;
        let conn = &mut tx.conn();
        if !configs.is_empty() {
            receipts::insert_configs(conn, &configs).await?;
        }
        receipts::insert_all(conn, &rows).await?;
        if !again.is_empty() {
            receipts::trim(conn, &again, self.per_message).await?;
        }
        tx.commit().await?;
        let now = Instant::now();
        self.named.extend(configs.into_iter().map(|c| ((org_id, c.sha256.clone()), now)));
        Ok(())
    }
}
