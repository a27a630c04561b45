//! What waits for one socket. Durable events are never dropped: a socket that does not keep
//! up is cut, reconnects and syncs.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::Duration,
};

use serde_json::value::RawValue;
use socketioxide::{
    SendError, SocketError, extract::AckSender, handler::FromMessageParts, socket::Socket,
};
use socketioxide_core::{Str, Value};

/// One thing to send, its JSON made once for all its sockets.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    Event { name: &'static str, data: Arc<RawValue> },
    Ack { id: i64, data: Arc<RawValue> },
}

impl Packet {
    fn bytes(&self) -> usize {
        let (Self::Event { data, .. } | Self::Ack { data, .. }) = self;
        data.get().len()
    }
}

/// Whether a socket takes packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its CONNECT is not answered yet.
    Opening,
    Open,
    /// Its buffer was full: a task empties the queue as there is room.
    Draining,
    Gone,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// The caller has to start [`Outbox::step`]s.
    Drain,
    /// Too much is waiting: the socket must be cut.
    Overflow,
}

/// How far the emptying of a queue has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing waits.
    Done,
    /// Some went, more waits.
    Moved,
    /// There was no room.
    Stuck,
}

#[derive(Debug)]
pub(super) struct Outbox {
    phase: Phase,
    queue: VecDeque<Packet>,
    queued_bytes: usize,
    max_queued_bytes: usize,
}

impl Outbox {
    pub(super) fn new(max_queued_bytes: usize) -> Self {
        Self { phase: Phase::Opening, queue: VecDeque::new(), queued_bytes: 0, max_queued_bytes }
    }

    pub(super) fn push(&mut self, socket: &Weak<Socket>, packet: Packet) -> Outcome {
        match self.phase {
            Phase::Gone => Outcome::Taken,
            Phase::Opening | Phase::Draining => self.queue(packet),
            Phase::Open => match send(socket, &packet) {
                Ok(()) => Outcome::Taken,
                Err(Failure::Gone) => self.end(),
                Err(Failure::Full) => {
                    self.phase = Phase::Draining;
                    match self.queue(packet) {
                        Outcome::Taken => Outcome::Drain,
                        other => other,
                    }
                }
            },
        }
    }

    fn queue(&mut self, packet: Packet) -> Outcome {
        self.queued_bytes += packet.bytes();
        self.queue.push_back(packet);
        if self.queued_bytes > self.max_queued_bytes {
            self.end();
            return Outcome::Overflow;
        }
        Outcome::Taken
    }

    /// The CONNECT is answered: what came meanwhile may go. True: start [`Outbox::step`]s.
    pub(super) fn open(&mut self) -> bool {
        if self.phase != Phase::Opening {
            return false;
        }
        self.phase = if self.queue.is_empty() { Phase::Open } else { Phase::Draining };
        self.phase == Phase::Draining
    }

    /// Sends what there is room for.
    pub(super) fn step(&mut self, socket: &Weak<Socket>) -> Step {
        let before = self.queue.len();
        while let Some(packet) = self.queue.front() {
            match send(socket, packet) {
                Ok(()) => {
                    self.queued_bytes -= packet.bytes();
                    self.queue.pop_front();
                }
                Err(Failure::Full) if self.queue.len() < before => return Step::Moved,
                Err(Failure::Full) => return Step::Stuck,
                Err(Failure::Gone) => {
                    self.end();
                    return Step::Done;
                }
            }
        }
        self.queue = VecDeque::new();
        if self.phase == Phase::Draining {
            self.phase = Phase::Open;
        }
        Step::Done
    }

    pub(super) fn is_gone(&self) -> bool {
        self.phase == Phase::Gone
    }

    /// Whether the socket never came to be open.
    pub(super) fn is_opening(&self) -> bool {
        self.phase == Phase::Opening
    }

    /// Takes no more, and forgets what waits.
    pub(super) fn end(&mut self) -> Outcome {
        self.phase = Phase::Gone;
        self.queue = VecDeque::new();
        self.queued_bytes = 0;
        Outcome::Taken
    }
}

/// How long to wait for room in a socket's buffer, the first time and at most.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(2);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(100);

enum Failure {
    Full,
    Gone,
}

fn send(socket: &Weak<Socket>, packet: &Packet) -> Result<(), Failure> {
    let socket = socket.upgrade().ok_or(Failure::Gone)?;
    let sent = match packet {
        Packet::Event { name, data } => socket.emit(name, &**data),
        Packet::Ack { id, data } => {
            let mut nothing = Value::Str(Str::from(""), None);
            let Ok(ack) = AckSender::from_message_parts(&socket, &mut nothing, &Some(*id));
            ack.send(&**data)
        }
    };
    match sent {
        Ok(()) => Ok(()),
        Err(SendError::Socket(SocketError::InternalChannelFull)) => Err(Failure::Full),
        Err(SendError::Socket(SocketError::Closed)) => Err(Failure::Gone),
        Err(SendError::Serialize(error)) => {
            // The JSON was made by us and is valid; there is nothing to send again.
            tracing::error!(%error, "packet could not be encoded");
            Ok(())
        }
    }
}
