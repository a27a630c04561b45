//! Sending a message: check, ask, write, announce.

mod queued;
mod via;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use quick_cache::sync::Cache;
use time::OffsetDateTime;

use super::{
    holding::Holding,
    in_flight::{Claim, InFlight},
    limits::Limits,
    listeners::Listeners,
    people::People,
    plugins::{Heard, Plugins},
    receipts::{Judged, Receipts, Unsettled},
    refusals::{Refusals, Target},
    writer::{Job, Pending, Writer},
};
use crate::{
    Error, Result,
    db::{Db, batch::Fate, messages, threads},
    domain::{
        Body, BodyLimits, Caller, ClientId, Decision, Draft, Email, Judgement, Message, MessageId,
        OrgId, Outcome, ThreadId, User, UserId,
    },
    plugin::BeforeSend,
};

use queued::hash;
pub use via::Via;

/// A send as its request says it; its body is not held to any limit yet.
#[derive(Clone, Debug)]
pub struct SendCommand {
    pub to: Email,
    pub body: Body,
    pub reply_to: Option<MessageId>,
    pub client_id: Option<ClientId>,
}

/// A message with the two people it is between.
#[derive(Clone, Debug)]
pub struct Letter {
    pub message: Arc<Message>,
    pub sender: Arc<User>,
    pub recipient: Arc<User>,
}

impl Letter {
    /// A message between the caller and a peer, whichever of them sent it.
    pub(super) fn between(caller: &Caller, peer: Arc<User>, message: Message) -> Self {
        let me = caller.user.clone();
        let (sender, recipient) = if message.sender_id == me.id { (me, peer) } else { (peer, me) };
        Self { message: Arc::new(message), sender, recipient }
    }
}

/// The answer to a send.
pub struct Sent {
    pub letter: Letter,
    /// False for the repeat of a client id: this is the first message.
    pub is_new: bool,
}

/// A send that has been checked and has its place in the order; the rest is waiting.
pub enum Prepared {
    Queued(Queued),
    Repeated(Sent),
}

/// A send in the writer's queue.
pub struct Queued {
    pending: Pending,
    caller: Caller,
    via: Via,
    recipient: Arc<User>,
    draft: DraftKey,
    /// To ask the plugins again, where they may have read what has changed by now.
    again: Option<Box<SendCommand>>,
    /// What candidates on trial are to be asked once it is stored.
    heard: Option<Box<Heard>>,
}

/// A request to send, and its hold on its client id.
struct Asked {
    command: SendCommand,
    request_hash: [u8; 32],
    claim: Option<Claim>,
    /// 2: plugins are asked once more.
    attempt: u32,
    /// Of the first time that they were asked.
    receipts: Option<Unsettled>,
}

/// What it takes to find the first message of a client id.
struct DraftKey {
    client_id: Option<ClientId>,
    request_hash: [u8; 32],
}

#[derive(Clone)]
pub struct Sending {
    db: Db,
    people: People,
    plugins: Plugins,
    limits: Arc<Limits>,
    writer: Writer,
    holding: Holding,
    refusals: Refusals,
    receipts: Receipts,
    listeners: Listeners,
    in_flight: InFlight,
    /// Threads that exist, or whose opener has been charged for them.
    threads: Arc<Cache<(OrgId, ThreadId), ()>>,
}

/// What sending shares with other use cases.
pub(super) struct Parts {
    pub db: Db,
    pub people: People,
    pub plugins: Plugins,
    pub limits: Arc<Limits>,
    pub writer: Writer,
    pub holding: Holding,
    pub refusals: Refusals,
    pub receipts: Receipts,
    pub listeners: Listeners,
}

impl Sending {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { db, people, plugins, limits, writer, holding, refusals, receipts, listeners } =
            parts;
        let threads = Arc::new(Cache::new(500_000));
        let in_flight = InFlight::default();
        Self {
            db,
            people,
            plugins,
            limits,
            writer,
            holding,
            refusals,
            receipts,
            listeners,
            in_flight,
            threads,
        }
    }

    /// Takes one send from the caller's allowance; comes before the request is read.
    pub fn admit(&self, caller: &Caller) -> Result<()> {
        self.limits.send(caller.user.id, &caller.org.settings.limits)
    }

    /// Sends a message and waits until it is stored.
    pub async fn send(&self, caller: &Caller, via: Via, command: SendCommand) -> Result<Sent> {
        self.finish(self.prepare(caller, via, command).await?).await
    }

    /// All of a send up to its place in the writer's queue. Calls that come one after
    /// another are stored in that order.
    pub async fn prepare(
        &self,
        caller: &Caller,
        via: Via,
        command: SendCommand,
    ) -> Result<Prepared> {
        let request_hash = hash(&command);
        let Some(client_id) = command.client_id.clone() else {
            let asked = Asked { command, request_hash, claim: None, attempt: 1, receipts: None };
            return self.judge(caller, via, asked).await;
        };
        let claim = self.in_flight.claim(caller.org.id, caller.user.id, &client_id).await;
        // No plugin is asked twice about one message. Where none is asked, the writer finds the
        // first message by itself.
        let is_judged = self.plugins.judges(caller.org.id).await?;
        // Boxed, because its future is large and mostly not needed.
        let find_first = || Box::pin(self.find_first(caller, &client_id, &request_hash));
        if is_judged && let Some(first) = find_first().await? {
            return Ok(Prepared::Repeated(first));
        }
        let asked = Asked { command, request_hash, claim: Some(claim), attempt: 1, receipts: None };
        match self.judge(caller, via, asked).await {
            // What has been stored is answered like the first time, whatever has changed since.
            Err(error) if !is_judged => {
                let first = find_first().await?;
                first.map(Prepared::Repeated).ok_or(error)
            }
            prepared => prepared,
        }
    }

    /// Checks a send, asks the plugins and takes a place in the queue.
    async fn judge(&self, caller: &Caller, via: Via, asked: Asked) -> Result<Prepared> {
        let Asked { command, request_hash, claim, attempt, mut receipts } = asked;
        let limits = BodyLimits::from(&caller.org.settings);
        command.body.check(&limits)?;
        let (recipient, recipient_reply_to) = self.check(caller, &command).await?;
        // Outside any transaction: a slow plugin must not hold a connection.
        let ask = BeforeSend {
            caller,
            to: &recipient,
            body: &command.body,
            reply_to: command.reply_to,
            previous: None,
            door: via.door(),
            attempt,
            now: OffsetDateTime::now_utc(),
            limits: &limits,
        };
        let mut judgement = self.plugins.judge(&ask).await?;
        let judged = Judged { recipient: recipient.id, is_edit: false, attempt };
        self.receipts.add(&mut receipts, caller, judged, &mut judgement);
        let heard = self.plugins.hear(&ask, &mut judgement).map(Box::new);
        let decision = judgement.decision();
        let staged = judgement.take_staged();
        let may_conflict = !staged.is_empty() && attempt == 1;
        let again = may_conflict.then(|| Box::new(command.clone()));
        let (body, fate) =
            self.fate((caller, via), recipient.id, (judgement, &decision), &mut receipts)?;
        let draft = Draft {
            sender_id: caller.user.id,
            recipient_id: recipient.id,
            body,
            reply_to: command.reply_to,
            client_id: command.client_id.clone(),
            request_hash,
        };
        let key = DraftKey { client_id: command.client_id, request_hash };
        let news = self.listeners.news(caller.org.id, &fate, via.origin());
        let pending = self.writer.enqueue(Job {
            org_id: caller.org.id,
            draft,
            fate,
            decision,
            receipts,
            staged,
            sender: caller.user.clone(),
            recipient: recipient.clone(),
            recipient_reply_to,
            origin: via.socket(),
            notify: self.plugins.notify(&caller.org).await?,
            claim,
            news,
        })?;
        let caller = caller.clone();
        Ok(Prepared::Queued(Queued { pending, caller, via, recipient, draft: key, again, heard }))
    }

    /// What becomes of a draft that plugins have judged; of one that they refused, a note.
    fn fate(
        &self,
        (caller, via): (&Caller, Via),
        recipient: UserId,
        (judgement, decision): (Judgement, &Option<Decision>),
        receipts: &mut Option<Unsettled>,
    ) -> Result<(Body, Fate)> {
        let fate = match judgement.outcome {
            Outcome::Send => Fate::Sent,
            Outcome::Shadow => Fate::Shadowed,
            Outcome::Hold(hold) => Fate::Held(Box::new(self.holding.new_hold(caller, via, hold))),
            Outcome::Reject(rejection) => {
                let target = Target { recipient, message: None, origin: via.origin() };
                self.refusals.note(caller, target, &rejection, decision.clone());
                if let Some(receipts) = receipts.take() {
                    receipts.refused(rejection.id, None);
                }
                return Err(Error::Rejected(rejection));
            }
        };
        Ok((judgement.body, fate))
    }

    /// The recipient, and what they see that the message replies to.
    async fn check(
        &self,
        caller: &Caller,
        command: &SendCommand,
    ) -> Result<(Arc<User>, Option<MessageId>)> {
        if command.to == caller.user.email {
            return Err(Error::invalid("to", "must be somebody else"));
        }
        let recipient = match self.people.find_recipient(&caller.org, &command.to).await? {
            Some(recipient) if recipient.id == caller.user.id => {
                return Err(Error::invalid("to", "must be somebody else"));
            }
            Some(recipient) => recipient,
            // Boxed, like the look at a reply: rare, and large as a future.
            None => Box::pin(self.meet(caller, &command.to)).await?,
        };
        let thread_id = ThreadId::of(caller.user.id, recipient.id);
        self.check_new_peer(caller, thread_id).await?;
        let Some(reply_to) = command.reply_to else { return Ok((recipient, None)) };
        let reply = Box::pin(self.load_reply(caller, thread_id, reply_to)).await?;
        let as_received = Some(reply_to).filter(|_| reply.visible_to(recipient.id));
        Ok((recipient, as_received))
    }

    /// Makes a place for somebody whom nobody in the org has met.
    async fn meet(&self, caller: &Caller, to: &Email) -> Result<Arc<User>> {
        // Charged before anything is made for somebody unknown.
        self.charge_new_peer(caller).await?;
        let recipient = self.people.make_waiting(&caller.org, to).await?;
        let thread_id = ThreadId::of(caller.user.id, recipient.id);
        self.threads.insert((caller.org.id, thread_id), ());
        Ok(recipient)
    }

    /// What a message replies to: of the same thread, and visible to the caller.
    async fn load_reply(
        &self,
        caller: &Caller,
        thread_id: ThreadId,
        reply_to: MessageId,
    ) -> Result<Message> {
        let mut handle = self.db.org(caller.org.id).await?;
        let reply = messages::find(&mut handle.conn(), caller.user.id, reply_to).await?;
        handle.done();
        reply.filter(|reply| reply.thread_id == thread_id).ok_or_else(|| {
            Error::invalid("replyTo", "must be a message of this thread that you can see")
        })
    }

    /// Holds whoever writes to somebody for the first time to the day's allowance.
    async fn check_new_peer(&self, caller: &Caller, thread_id: ThreadId) -> Result<()> {
        let key = (caller.org.id, thread_id);
        let limit = caller.org.settings.limits.new_peers_per_day;
        // The bot has a limit of its own, and writes to people who are known.
        let is_free = limit == 0 || caller.user.email.is_reserved();
        if is_free || self.threads.contains_key(&key) {
            return Ok(());
        }
        let charge = async {
            let mut handle = self.db.org(caller.org.id).await?;
            let exists = threads::exists(&mut handle.conn(), caller.user.id, thread_id).await?;
            handle.done();
            if exists { Ok(()) } else { self.charge_new_peer(caller).await }
        };
        Box::pin(charge).await?;
        // Paid for: what follows to the same person, before this one is stored, is free.
        self.threads.insert(key, ());
        Ok(())
    }

    async fn charge_new_peer(&self, caller: &Caller) -> Result<()> {
        let (user, limits) = (caller.user.id, &caller.org.settings.limits);
        if limits.new_peers_per_day > 0 && !self.limits.knows_new_peers(user) {
            let day_ago = OffsetDateTime::now_utc() - Limits::DAY;
            let most = i64::from(limits.new_peers_per_day);
            let mut handle = self.db.org(caller.org.id).await?;
            let opened =
                threads::list_opened_since(&mut handle.conn(), user, day_ago, most).await?;
            let age = |at: OffsetDateTime| {
                SystemTime::now().duration_since(at.into()).unwrap_or(Duration::ZERO)
            };
            self.limits.seed_new_peers(user, opened.into_iter().map(age));
        }
        self.limits.new_peer(user, limits)
    }

    /// The first message under a client id, if there is one; another request under it is a conflict.
    async fn find_first(
        &self,
        caller: &Caller,
        client_id: &ClientId,
        request_hash: &[u8; 32],
    ) -> Result<Option<Sent>> {
        let mut handle = self.db.org(caller.org.id).await?;
        let sender = caller.user.id;
        let found =
            messages::find_by_client_id(&mut handle.conn(), sender, client_id.as_str()).await?;
        let Some((id, stored_hash)) = found else {
            handle.done();
            return Ok(None);
        };
        if stored_hash != request_hash {
            return Err(Error::Conflict(
                "another request was sent under this clientId; take a new one".into(),
            ));
        }
        let message = messages::load_sent(&mut handle.conn(), sender, id).await?;
        handle.done();
        let recipient = self.people.load(caller.org.id, message.recipient_id).await?;
        let letter = Letter { message: Arc::new(message), sender: caller.user.clone(), recipient };
        Ok(Some(Sent { letter, is_new: false }))
    }
}
