use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
};

use serde::Serialize;
use serde_json::{json, value::RawValue};
use socketioxide::{TransportType, socket::Socket};
use time::OffsetDateTime;

use super::{
    hub::Hub,
    outbox::{FIRST_PAUSE, LONGEST_PAUSE, Outbox, Outcome, Packet, Step},
    sends::Job,
    transport::Cut,
};
use crate::{
    Error, Result,
    domain::{Caller, KeyId, Org, User},
    events::SocketKey,
    service::Session,
    wire::Problem,
};

/// One connected socket and whose it is.
pub(super) struct Conn {
    pub(super) key: SocketKey,
    /// Weak, because the socket's handlers hold this.
    socket: Weak<Socket>,
    sid: String,
    first_cut: Option<Cut>,
    hub: Weak<Hub>,
    pass: Mutex<Pass>,
    outbox: Mutex<Outbox>,
    /// The sends that wait behind another one to the same peer, by the peer's e-mail.
    pub(super) sends: Mutex<HashMap<String, VecDeque<Job>>>,
    pub(super) pending_sends: AtomicU32,
    /// The exp of which the bearer has been told.
    told_expiring: AtomicI64,
    watch: AtomicU64,
    counted: Mutex<Counted>,
    /// One sync at a time: a page may be large.
    pub(super) syncing: tokio::sync::Mutex<()>,
}

/// Whether a socket counts for its person's presence. A socket may be gone before its
/// connect handler has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    New,
    In,
    Out,
}

/// What keeps a socket open.
#[derive(Clone)]
pub(super) struct Pass {
    pub(super) caller: Caller,
    pub(super) key_id: KeyId,
    pub(super) subject: Arc<str>,
    pub(super) issuer: Arc<str>,
}

impl From<&Session> for Pass {
    fn from(session: &Session) -> Self {
        Self {
            caller: session.caller.clone(),
            key_id: session.key_id,
            subject: session.subject.clone(),
            issuer: session.issuer.clone(),
        }
    }
}

impl Conn {
    pub(super) fn new(key: SocketKey, socket: &Arc<Socket>, pass: Pass, hub: &Arc<Hub>) -> Self {
        Self {
            key,
            socket: Arc::downgrade(socket),
            sid: socket.id.to_string(),
            first_cut: socket.req_parts().extensions.get::<Cut>().cloned(),
            hub: Arc::downgrade(hub),
            pass: Mutex::new(pass),
            outbox: Mutex::new(Outbox::new(hub.settings.max_queued_bytes)),
            sends: Mutex::default(),
            pending_sends: AtomicU32::new(0),
            told_expiring: AtomicI64::new(0),
            watch: AtomicU64::new(0),
            counted: Mutex::new(Counted::New),
            syncing: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn pass(&self) -> Pass {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn caller(&self) -> Caller {
        self.pass().caller
    }

    /// Whether its bearer is still to be told that this token ends.
    pub(super) fn tell_expiring(&self, expires_at: OffsetDateTime) -> bool {
        let exp = expires_at.unix_timestamp();
        self.told_expiring.swap(exp, Ordering::AcqRel) != exp
    }

    /// The number of a new watch over this socket's token.
    pub(super) fn next_watch(&self) -> u64 {
        self.watch.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(super) fn is_watched_by(&self, number: u64) -> bool {
        self.watch.load(Ordering::Acquire) == number
    }

    /// Counts the socket among its person's by calling `count`, unless it is gone already.
    pub(super) fn count_in<T>(&self, count: impl FnOnce() -> T) -> Option<T> {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if *counted != Counted::New {
            return None;
        }
        *counted = Counted::In;
        Some(count())
    }

    /// Whether the socket, now gone, had been counted.
    pub(super) fn count_out(&self) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *counted, Counted::Out) == Counted::In
    }

    pub(super) fn expires_at(&self) -> OffsetDateTime {
        self.pass.lock().unwrap_or_else(PoisonError::into_inner).caller.expires_at
    }

    /// Goes on under a newer token of the same person.
    pub(super) fn extend(&self, pass: Pass) {
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = pass;
    }

    /// Goes by an org's settings, and its person's e-mail, as they are now.
    pub(super) fn go_by(&self, org: &Arc<Org>, user: Option<&Arc<User>>) {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        pass.caller.org = org.clone();
        if let Some(user) = user {
            pass.caller.user = user.clone();
        }
    }

    /// Lets through what waited for the CONNECT to be answered.
    pub(super) fn open(self: &Arc<Self>) {
        let has_more = self.outbox.lock().unwrap_or_else(PoisonError::into_inner).open();
        if has_more {
            self.drain();
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).is_gone()
    }

    pub(super) fn is_opening(&self) -> bool {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).is_opening()
    }

    /// Sends something that must not be lost: if the socket does not keep up, it is cut.
    pub(super) fn send(self: &Arc<Self>, packet: Packet) {
        let outcome = {
            let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
            outbox.push(&self.socket, packet)
        };
        match outcome {
            Outcome::Taken => {}
            Outcome::Drain => self.drain(),
            Outcome::Overflow => {
                tracing::info!(socket.key = self.key.0, "socket does not keep up and is cut");
                self.cut();
            }
        }
    }

    /// Sends something that may be lost.
    pub(super) fn send_lossy(&self, name: &str, data: &RawValue) {
        if let Some(socket) = self.socket.upgrade() {
            let _ = socket.emit(name, data);
        }
    }

    /// Empties the queue as the socket's buffer has room.
    fn drain(self: &Arc<Self>) {
        let conn = self.clone();
        tokio::spawn(async move {
            let mut pause = FIRST_PAUSE;
            loop {
                let step = {
                    let mut outbox = conn.outbox.lock().unwrap_or_else(PoisonError::into_inner);
                    outbox.step(&conn.socket)
                };
                pause = match step {
                    Step::Done => return,
                    Step::Moved => FIRST_PAUSE,
                    Step::Stuck => (pause * 2).min(LONGEST_PAUSE),
                };
                tokio::time::sleep(pause).await;
            }
        });
    }

    /// Answers an event: by its ack, or where none was asked for, an error by `exception`.
    pub(super) fn answer<T: Serialize>(
        self: &Arc<Self>,
        event: &str,
        ack: Option<i64>,
        result: Result<T>,
    ) {
        match (ack, result) {
            (Some(id), Ok(value)) => self.send_ack(id, &value),
            (Some(id), Err(error)) => {
                self.send_ack(id, &json!({ "ok": false, "error": Problem::new(&error) }));
            }
            (None, Ok(_)) => {}
            (None, Err(error)) => {
                self.send_event(
                    "exception",
                    &json!({ "event": event, "error": Problem::new(&error) }),
                );
            }
        }
    }

    fn send_ack(self: &Arc<Self>, id: i64, value: &impl Serialize) {
        if let Some(data) = raw(value) {
            self.send(Packet::Ack { id, data });
        }
    }

    pub(super) fn send_event(self: &Arc<Self>, name: &'static str, value: &impl Serialize) {
        if let Some(data) = raw(value) {
            self.send(Packet::Event { name, data });
        }
    }

    /// Ends the socket with a word: its client does not reconnect by itself.
    pub(super) fn disconnect(self: &Arc<Self>) {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner).end();
        let Some(socket) = self.socket.upgrade() else { return };
        let is_websocket = matches!(socket.transport_type(), TransportType::Websocket);
        if socket.disconnect().is_err() {
            self.cut();
        } else if is_websocket {
            // A client that does not hang up by itself is hung up on.
            let conn = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                conn.cut_transport();
            });
        }
    }

    /// Ends the TCP connection: the client sees a broken line, reconnects and syncs.
    fn cut(self: &Arc<Self>) {
        self.cut_transport();
        let conn = self.clone();
        // A polling client has no line to cut; it is told as soon as there is room.
        tokio::spawn(async move {
            while let Some(socket) = conn.socket.upgrade() {
                if !socket.connected() || socket.disconnect().is_ok() {
                    return;
                }
                tokio::time::sleep(LONGEST_PAUSE).await;
            }
        });
    }

    fn cut_transport(&self) {
        if let Some(cut) = &self.first_cut {
            cut.cut();
        }
        if let Some(hub) = self.hub.upgrade() {
            hub.transports.cut(&self.sid);
        }
    }

    /// Takes a place among the sends that wait for their answer.
    pub(super) fn begin_send(&self, most: u32) -> Result<()> {
        let waiting = self.pending_sends.fetch_add(1, Ordering::AcqRel);
        if most > 0 && waiting >= most {
            self.end_send();
            return Err(Error::RateLimited {
                what: "sends waiting on this socket",
                retry_after: std::time::Duration::from_millis(100),
            });
        }
        Ok(())
    }

    pub(super) fn end_send(&self) {
        self.pending_sends.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The JSON of a value, made once.
pub(super) fn raw(value: &impl Serialize) -> Option<Arc<RawValue>> {
    match serde_json::value::to_raw_value(value) {
        Ok(data) => Some(data.into()),
        Err(error) => {
            tracing::error!(%error, "an event has no JSON form");
            None
        }
    }
}
