//! The one task that stores messages: whatever waits, in one statement or few.

mod rows;
mod together;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{mpsc, oneshot, watch};

use self::rows::{row, stored_message};
use super::{
    in_flight::Claim,
    lanes::{Lanes, Person, Waits},
    listeners::News,
    nudges::Notify,
    receipts::Unsettled,
    terms::no_room,
};
use crate::{
    Error, Result,
    db::{
        self, Db, DbError,
        batch::{self, Fate, NewMessage, Placed},
        held::{self, Quota, Waiting as Held},
    },
    domain::{ClientId, Decision, Draft, Message, MessageId, OrgId, StagedWrites, User, UserId},
    events::{Event, Events, Exchange, SocketKey},
};

/// How much the writer takes on.
#[derive(Clone, Copy, Debug)]
pub struct WriterLimits {
    /// Messages that may wait; past it sends are answered 503.
    pub queue: usize,
    /// Messages in one statement.
    pub batch: usize,
    /// How long a batch may take before its senders are told that it is unknown.
    pub patience: Duration,
}

/// A draft with all that its announcement needs.
pub struct Job {
    pub org_id: OrgId,
    pub draft: Draft,
    pub fate: Fate,
    /// How plugins decided; `None` where none was asked.
    pub decision: Option<Decision>,
    /// Of each time that plugins were asked; kept once the message is stored.
    pub receipts: Option<Unsettled>,
    /// What plugins want stored with the message.
    pub staged: Vec<StagedWrites>,
    pub sender: Arc<User>,
    pub recipient: Arc<User>,
    /// What the message replies to, as the recipient sees it.
    pub recipient_reply_to: Option<MessageId>,
    pub origin: Option<SocketKey>,
    /// How the recipient is told, beside the message itself.
    pub notify: Notify,
    /// Ends with the job: a retry of the same client id waits for that.
    pub claim: Option<Claim>,
    /// `None`: no plugin sends it, and none is to be told of it.
    pub news: Option<News>,
}

/// What became of a draft.
pub enum Stored {
    New(Arc<Message>),
    /// The sender had already stored this client id.
    Duplicate,
    /// What a plugin had read for its decision has changed: nothing is stored, and the plugins
    /// are to be asked again, still under the claim.
    Conflict(Option<Claim>, Option<Unsettled>),
}

/// A place in the writer's queue: the answer comes after the commit.
pub struct Pending(oneshot::Receiver<Result<Stored>>);

impl Pending {
    pub async fn stored(&mut self) -> Result<Stored> {
        (&mut self.0).await.unwrap_or_else(|_| Err(Error::Unavailable(None)))
    }
}

struct Waiting {
    job: Job,
    done: oneshot::Sender<Result<Stored>>,
}

#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Waiting>,
    begun: Arc<AtomicU64>,
    announced: watch::Receiver<u64>,
}

/// How far the writer has come, for whoever tells of what happened to messages.
#[derive(Clone)]
pub struct Progress(watch::Receiver<u64>);

impl Progress {
    /// Waits until so many batches have been announced, or the writer has ended.
    pub async fn announced(&self, batches: u64) {
        let _ = self.0.clone().wait_for(|announced| *announced >= batches).await;
    }
}

impl Writer {
    /// Starts the task; it ends, with nothing left waiting, when the last `Writer` is dropped.
    pub fn start(
        db: Db,
        events: Events,
        limits: WriterLimits,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, receiver) = mpsc::channel(limits.queue);
        let (announcing, announced) = watch::channel(0);
        let begun = Arc::new(AtomicU64::new(0));
        let task = Task { db, events, limits, begun: begun.clone(), announcing };
        (Self { queue, begun, announced }, tokio::spawn(task.run(receiver)))
    }

    /// How many batches have been begun: whatever is stored by now is in one of them.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    pub fn progress(&self) -> Progress {
        Progress(self.announced.clone())
    }

    /// Takes a place in the queue, without waiting: the order of calls is the order of messages.
    pub fn enqueue(&self, job: Job) -> Result<Pending> {
        let (done, answer) = oneshot::channel();
        self.queue.try_send(Waiting { job, done }).map_err(|_| Error::Unavailable(None))?;
        Ok(Pending(answer))
    }
}

struct Task {
    db: Db,
    events: Events,
    limits: WriterLimits,
    begun: Arc<AtomicU64>,
    announcing: watch::Sender<u64>,
}

impl Task {
    async fn run(self, mut queue: mpsc::Receiver<Waiting>) {
        let mut lanes = Lanes::new(self.limits.batch);
        let mut storing = FuturesUnordered::new();
        let task = &self;
        let mut is_open = true;
        while is_open || !lanes.is_idle() {
            tokio::select! {
                biased;
                Some(number) = storing.next() => {
                    self.announcing.send_replace(lanes.end(number));
                }
                next = queue.recv(), if is_open && lanes.room() > 0 => match next {
                    Some(waiting) => lanes.wait(waiting),
                    None => is_open = false,
                },
            }
            while lanes.room() > 0
                && let Ok(waiting) = queue.try_recv()
            {
                lanes.wait(waiting);
            }
            while let Some((number, batch)) = lanes.next() {
                task.begun.store(lanes.begun(), Ordering::Release);
                storing.push(async move {
                    // Boxed: large as a future, and one a batch.
                    Box::pin(task.store(batch)).await;
                    number
                });
            }
        }
    }

    async fn store(&self, batch: Vec<Waiting>) {
        let holds = |waiting: &Waiting| matches!(waiting.job.fate, Fate::Held(_));
        // Boxed, so that batches which hold nothing do not carry it along.
        let batch =
            if batch.iter().any(holds) { Box::pin(self.with_room(batch)).await } else { batch };
        if batch.is_empty() {
            return;
        }
        if batch.iter().any(|waiting| !waiting.job.staged.is_empty()) {
            // Boxed, like the above.
            return Box::pin(self.store_together(batch)).await;
        }
        let rows: Vec<NewMessage> = batch.iter().map(row).collect();
        match self.insert(&rows).await {
            Ok(placed) => self.announce(batch, rows, placed).await,
            Err(error) if batch.len() == 1 || db::is_unavailable(&error) => refuse(batch, error),
            Err(error) => {
                // One row breaks the whole statement: alone, each answers for itself.
                tracing::warn!(%error, rows = batch.len(), "batch failed; storing its rows one by one");
                let mut alone = batch.into_iter().zip(rows);
                while let Some((waiting, row)) = alone.next() {
                    match self.insert(std::slice::from_ref(&row)).await {
                        Ok(placed) => self.announce(vec![waiting], vec![row], placed).await,
                        Err(error) if db::is_unavailable(&error) => {
                            // Nor will it take the others.
                            let rest = alone.map(|(waiting, _)| waiting);
                            return refuse(std::iter::once(waiting).chain(rest).collect(), error);
                        }
                        Err(error) => refuse(vec![waiting], error),
                    }
                }
            }
        }
    }

    /// Leaves out what would be held beyond a quota. Counted here, where sends come one after
    /// another, so that many at once do not slip past it.
    async fn with_room(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let mut room = Vec::with_capacity(batch.len());
        let mut counted: HashMap<(OrgId, UserId), Held> = HashMap::new();
        let mut of_org: HashMap<OrgId, i64> = HashMap::new();
        for waiting in batch {
            let Fate::Held(new) = &waiting.job.fate else {
                room.push(waiting);
                continue;
            };
            let (org_id, sender) = (waiting.job.org_id, waiting.job.draft.sender_id);
            let key = (org_id, sender);
            if let Entry::Vacant(place) = counted.entry(key) {
                match self.count_held(org_id, sender, new.quota).await {
                    Ok(held) => drop(place.insert(held)),
                    Err(error) => {
                        refuse(vec![waiting], error);
                        continue;
                    }
                }
            }
            let Some(held) = counted.get_mut(&key) else { continue };
            let of_org = of_org.entry(org_id).or_insert(held.of_org);
            if new.quota.admits(held.of_sender, *of_org) {
                held.of_sender += 1;
                *of_org += 1;
                room.push(waiting);
            } else {
                let _ = waiting.done.send(Err(no_room(new.hold.cause)));
            }
        }
        room
    }

    async fn count_held(
        &self,
        org_id: OrgId,
        sender: UserId,
        quota: Quota,
    ) -> Result<Held, DbError> {
        let counting = async {
            let mut handle = self.db.org(org_id).await?;
            let held = held::count_waiting(&mut handle.conn(), sender, quota).await?;
            handle.done();
            Ok(held)
        };
        tokio::time::timeout(self.limits.patience, counting)
            .await
            .unwrap_or(Err(DbError::PoolTimedOut))
    }

    /// One statement; a deadlock with a reader's transaction is tried again.
    async fn insert(&self, rows: &[NewMessage]) -> Result<Vec<Option<Placed>>, DbError> {
        self.patiently(|| batch::insert(&self.db, rows)).await
    }

    async fn patiently<T, F>(&self, store: impl Fn() -> F) -> Result<T, DbError>
    where
        F: Future<Output = Result<T, DbError>>,
    {
        let mut attempts = 0;
        loop {
            let done = tokio::time::timeout(self.limits.patience, store())
                .await
                .unwrap_or(Err(DbError::PoolTimedOut));
            match done {
                Err(error) if db::is_transient(&error) && attempts < 3 => attempts += 1,
                done => return done,
            }
        }
    }

    async fn announce(
        &self,
        batch: Vec<Waiting>,
        rows: Vec<NewMessage>,
        placed: Vec<Option<Placed>>,
    ) {
        for ((waiting, row), placed) in batch.into_iter().zip(rows).zip(placed) {
            let Waiting { job, done } = waiting;
            drop(job.claim);
            let Some(placed) = placed else {
                let _ = done.send(Ok(Stored::Duplicate));
                continue;
            };
            if let Some(news) = job.news {
                news.stored(job.org_id, placed.untold);
            }
            let message = Arc::new(stored_message(row, placed));
            if let Some(receipts) = job.receipts {
                receipts.stored(message.id);
            }
            // The answer first: the sender learns its own message before the peer's reply to it.
            let _ = done.send(Ok(Stored::New(message.clone())));
            self.events
                .publish(Event::MessageSent {
                    exchange: Exchange {
                        org_id: job.org_id,
                        message,
                        sender: job.sender,
                        recipient: job.recipient,
                        recipient_reply_to: job.recipient_reply_to,
                    },
                    sender_prev_seq: placed.sender_prev_seq,
                    recipient_prev_seq: placed.recipient_prev_seq,
                    origin: job.origin,
                    notify: job.notify.is_live(),
                })
                .await;
            job.notify.stored();
        }
    }
}

impl Waits for Waiting {
    /// Whoever repeats a client id goes with the next batch, which will find the first stored.
    type Key = (OrgId, UserId, ClientId);

    fn people(&self) -> [Person; 2] {
        let Job { org_id, draft, .. } = &self.job;
        [(*org_id, draft.sender_id), (*org_id, draft.recipient_id)]
    }

    fn key(&self) -> Option<Self::Key> {
        let Job { org_id, draft, .. } = &self.job;
        draft.client_id.clone().map(|id| (*org_id, draft.sender_id, id))
    }

    /// One conflict must not undo what others send.
    fn alone(&self) -> Option<OrgId> {
        (!self.job.staged.is_empty()).then_some(self.job.org_id)
    }
}

fn refuse(batch: Vec<Waiting>, error: DbError) {
    let unavailable = db::is_unavailable(&error) || db::is_transient(&error);
    tracing::error!(%error, messages = batch.len(), "messages could not be stored");
    let error = Arc::new(error);
    for waiting in batch {
        let source = error.clone();
        let _ = waiting.done.send(Err(if unavailable {
            Error::unavailable(source)
        } else {
            Error::internal(source)
        }));
    }
}
