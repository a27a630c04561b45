//! Keeps decision receipts: behind the answer, and bounded in number and bytes.

use std::{
    collections::HashMap,
    convert::Infallible,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use dashmap::DashMap;
use time::OffsetDateTime;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};

use crate::{
    db::{
        Db, DbError,
        receipts::{self, NewReceipt, Packed},
    },
    domain::{
        Caller, ConfigRecord, EntryId, Judgement, MessageId, OrgId, Receipt, Step, ThreadId, UserId,
    },
    plugin::Hooks,
};

/// How receipts are kept; each field is a setting of the server.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptSettings {
    /// Receipts of one org that may wait to be stored, and the bytes of all orgs' together, of
    /// which one gets a quarter; past any of these they are dropped.
    pub queue: usize,
    pub queue_bytes: u32,
    /// The newest that are kept of one message.
    pub per_message: u32,
    /// How long the first one waits for others to be stored with it.
    pub gather: Duration,
    /// How long who misses one waits at most for those that are queued.
    pub patience: Duration,
}

/// A clone is the same.
#[derive(Clone)]
pub struct Receipts(Arc<Queues>);

/// Each org has a queue and a task of its own, so that none waits for another's.
struct Queues {
    orgs: DashMap<OrgId, Queue>,
    /// Bytes of all orgs' receipts that may wait.
    room: Arc<Semaphore>,
    /// The most bytes of one org, and the most receipts.
    org_bytes: usize,
    queue: usize,
    patience: Duration,
    keeper: Keeper,
    /// For a word in a plugin's lines where it gave no answer.
    hooks: Hooks,
}

struct Queue {
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
}

enum Item {
    Receipt(Box<Waiting>),
    /// Told once all before it is stored; what waits with it is not gathered any longer.
    Mark(oneshot::Sender<()>),
}

/// The receipts of a draft whose end is not known yet, and the faults of its plugins. Dropped, it
/// leaves nothing.
pub struct Unsettled {
    receipts: Receipts,
    org_id: OrgId,
    /// One for each time that plugins were asked; none where the org wants none.
    asked: Vec<Asked>,
    /// Of plugins that gave no answer.
    faults: Vec<Step>,
}

/// One receipt, as it will be stored, but for what became of its draft.
struct Asked {
    row: NewReceipt,
    configs: Vec<Arc<ConfigRecord>>,
}

struct Waiting {
    asked: Asked,
    /// Given back when it is stored: the org's, and everybody's.
    room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
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
    /// Orgs whose receipts are stored at a time.
    const ORGS_AT_ONCE: usize = 4;
    /// What one org may take of `queue_bytes`: a quarter.
    const ORG_SHARE: usize = 4;

    /// What comes second is closed when the last `Receipts` is dropped and all is stored.
    pub(super) fn start(
        db: Db,
        hooks: Hooks,
        settings: ReceiptSettings,
    ) -> (Self, mpsc::Receiver<Infallible>) {
        let (alive, stored) = mpsc::channel(1);
        let bytes = settings.queue_bytes as usize;
        let queues = Queues {
            orgs: DashMap::new(),
            room: Arc::new(Semaphore::new(bytes)),
            org_bytes: bytes / Self::ORG_SHARE,
            queue: settings.queue.max(1),
            patience: settings.patience,
            keeper: Keeper {
                db,
                per_message: settings.per_message.max(1).into(),
                gather: settings.gather,
                turns: Arc::new(Semaphore::new(Self::ORGS_AT_ONCE)),
                dropped: Arc::default(),
                _alive: alive,
            },
            hooks,
        };
        (Self(Arc::new(queues)), stored)
    }

    /// Takes the receipt out of a judgement and adds it to those of earlier times. It is made
    /// ready here, where the request is: what it leads to is told by the writer, for which all
    /// others wait.
    pub(super) fn add(
        &self,
        before: &mut Option<Unsettled>,
        caller: &Caller,
        judged: Judged,
        judgement: &mut Judgement,
    ) {
        let runs = mem::take(&mut judgement.runs);
        let faults = judgement.steps.iter().filter(|step| step.fault.is_some());
        let faults: Vec<Step> = faults.cloned().collect();
        let receipt = if caller.org.settings.receipt_days == 0 {
            None
        } else {
            let thread_id = ThreadId::of(caller.user.id, judged.recipient);
            let what = (judged.is_edit, judged.attempt);
            Receipt::new(thread_id, what, &judgement.steps, runs).map(Asked::from)
        };
        if receipt.is_none() && faults.is_empty() {
            return;
        }
        let unsettled = before.get_or_insert_with(|| Unsettled {
            receipts: self.clone(),
            org_id: caller.org.id,
            asked: Vec::new(),
            faults: Vec::new(),
        });
        unsettled.asked.extend(receipt);
        unsettled.faults.extend(faults);
    }

    /// Waits until what this server has queued of an org is stored, or was lost; for as long as
    /// it has the patience.
    pub(super) async fn settled(&self, org_id: OrgId) {
        let items = self.0.orgs.get(&org_id).map(|queue| queue.items.clone());
        // None: nothing of this org was ever queued.
        let Some(items) = items else { return };
        let (mark, passed) = oneshot::channel();
        let passing = async {
            if items.send(Item::Mark(mark)).await.is_ok() {
                let _ = passed.await;
            }
        };
        let _ = timeout(self.0.patience, passing).await;
    }

    /// Without waiting; where too much waits, this one is only counted.
    fn keep(&self, org_id: OrgId, asked: Asked) {
        if self.0.push(org_id, asked).is_none() {
            self.0.keeper.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl From<Receipt> for Asked {
    fn from(receipt: Receipt) -> Self {
        let row = NewReceipt {
            id: receipt.id,
            thread_id: receipt.thread_id,
            message_id: None,
            request_id: None,
            is_edit: receipt.is_edit,
            attempt: i32::try_from(receipt.attempt).unwrap_or(i32::MAX),
            calls: Packed::calls(&receipt.calls),
            content: Packed::contents(&receipt.contents),
            shown: receipt.shown,
            created_at: OffsetDateTime::now_utc(),
        };
        Self { row, configs: receipt.configs }
    }
}

impl Queues {
    /// `None`: there is no room for it.
    fn push(&self, org_id: OrgId, asked: Asked) -> Option<()> {
        let bytes =
            u32::try_from(asked.row.calls.stored_len() + asked.row.content.stored_len()).ok()?;
        let queue = self.orgs.entry(org_id).or_insert_with(|| self.open(org_id));
        let own = Arc::clone(&queue.room).try_acquire_many_owned(bytes).ok()?;
        let shared = Arc::clone(&self.room).try_acquire_many_owned(bytes).ok()?;
        let waiting = Waiting { asked, room: (own, shared) };
        queue.items.try_send(Item::Receipt(Box::new(waiting))).ok()
    }

    fn open(&self, org_id: OrgId) -> Queue {
        let (items, queue) = mpsc::channel(self.queue);
        let task = Task { org_id, keeper: self.keeper.clone(), named: HashMap::new() };
        tokio::spawn(task.run(queue));
        Queue { items, room: Arc::new(Semaphore::new(self.org_bytes)) }
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
        if !self.faults.is_empty() {
            let message = message.map(|id| format!("message {id}"));
            let request = request.map(|id| format!("request {id}"));
            let about = message.into_iter().chain(request).collect::<Vec<_>>().join(", ");
            for step in &self.faults {
                self.receipts.0.hooks.note_fault(self.org_id, step, &about);
            }
        }
        for mut asked in self.asked {
            asked.row.message_id = message;
            asked.row.request_id = request;
            self.receipts.keep(self.org_id, asked);
        }
    }
}

/// Until there are enough for a transaction, somebody waits for one of them, or nobody is left
/// to send any.
async fn fill(batch: &mut Vec<Item>, items: &mut mpsc::Receiver<Item>) {
    let is_mark = |item: &Item| matches!(item, Item::Mark(_));
    while batch.len() < Receipts::BATCH && !batch.iter().any(is_mark) {
        let left = Receipts::BATCH - batch.len();
        if items.recv_many(batch, left).await == 0 {
            return;
        }
    }
}

/// What all tasks need.
#[derive(Clone)]
struct Keeper {
    db: Db,
    per_message: i64,
    gather: Duration,
    turns: Arc<Semaphore>,
    dropped: Arc<AtomicU64>,
    /// Never sent to: it says that somebody may still store.
    _alive: mpsc::Sender<Infallible>,
}

/// Stores the receipts of one org.
struct Task {
    org_id: OrgId,
    keeper: Keeper,
    /// The configurations that were stored, or marked as used, of late.
    named: HashMap<String, Instant>,
}

impl Task {
    /// Well below the day that a mark holds for.
    const NAMED_FOR: Duration = Duration::from_hours(1);

    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        let mut batch = Vec::new();
        while items.recv_many(&mut batch, Receipts::BATCH).await > 0 {
            // A transaction for each would cost what a message does.
            let _ = timeout(self.keeper.gather, fill(&mut batch, &mut items)).await;
            self.named.retain(|_, since| since.elapsed() < Self::NAMED_FOR);
            let (mut receipts, mut marks) = (Vec::new(), Vec::new());
            for item in batch.drain(..) {
                match item {
                    Item::Receipt(waiting) => receipts.push(*waiting),
                    Item::Mark(mark) => marks.push(mark),
                }
            }
            if !receipts.is_empty() {
                self.store(receipts).await;
            }
            for mark in marks {
                // Who waited for it may have gone.
                let _ = mark.send(());
            }
            let dropped = self.keeper.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                tracing::warn!(dropped, "decision receipts were not kept");
            }
        }
    }

    async fn store(&mut self, batch: Vec<Waiting>) {
        // Nobody closes it.
        let _turn = Arc::clone(&self.keeper.turns).acquire_owned().await;
        let lost = batch.len() as u64;
        if let Err(error) = self.insert(batch).await {
            self.keeper.dropped.fetch_add(lost, Ordering::Relaxed);
            tracing::warn!(%error, org.id = %self.org_id, "decision receipts could not be kept");
        }
    }

    async fn insert(&mut self, waiting: Vec<Waiting>) -> Result<(), DbError> {
        let (mut rows, mut configs, mut room) = (Vec::new(), Vec::new(), Vec::new());
        for waiting in waiting {
            rows.push(waiting.asked.row);
            configs.extend(waiting.asked.configs);
            room.push(waiting.room);
        }
        configs.sort_unstable_by(|a, b| a.sha256.cmp(&b.sha256));
        configs.dedup_by(|a, b| a.sha256 == b.sha256);
        configs.retain(|config| !self.named.contains_key(&config.sha256));
        // What a new message has is its first, and needs no room.
        let again = rows.iter().filter(|row| row.is_edit || row.attempt > 1);
        let again: Vec<MessageId> = again.filter_map(|row| row.message_id).collect();
        let mut tx = self.keeper.db.begin_unpromised(self.org_id).await?;
        let conn = &mut tx.conn();
        if !configs.is_empty() {
            receipts::insert_configs(conn, &configs).await?;
        }
        receipts::insert_all(conn, &rows).await?;
        if !again.is_empty() {
            receipts::trim(conn, &again, self.keeper.per_message).await?;
        }
        tx.commit().await?;
        let now = Instant::now();
        self.named.extend(configs.into_iter().map(|config| (config.sha256.clone(), now)));
        Ok(())
    }
}
