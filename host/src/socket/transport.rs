//! The TCP connections below the sockets, so that one that does not read can be cut.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use dashmap::DashMap;
use futures_util::task::AtomicWaker;

/// Cuts one TCP connection. A clone cuts the same one.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<CutState>);

#[derive(Debug, Default)]
struct CutState {
    done: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Cut {
    /// Ends the connection, whatever it waits for.
    pub fn cut(&self) {
        self.0.done.store(true, Ordering::Release);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    /// Whether the connection is cut; if not, its reader is woken when it is.
    pub fn poll_read(&self, context: &std::task::Context<'_>) -> bool {
        self.0.reader.register(context.waker());
        self.0.done.load(Ordering::Acquire)
    }

    /// The same for its writer.
    pub fn poll_write(&self, context: &std::task::Context<'_>) -> bool {
        self.0.writer.register(context.waker());
        self.0.done.load(Ordering::Acquire)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Which connection carries which Engine.IO session now: an upgrade to WebSocket comes on
/// another connection than the first request. At most one session a connection is kept.
#[derive(Clone, Debug, Default)]
pub struct Transports(Arc<DashMap<String, Cut>>);

impl Transports {
    /// Long enough for a session id, too short to be of use for anything else.
    const MAX_SID_BYTES: usize = 32;

    /// Remembers that a connection carries a session, until the guard is dropped.
    pub fn attach(&self, sid: &str, cut: &Cut) -> Option<Attached> {
        if sid.len() > Self::MAX_SID_BYTES {
            return None;
        }
        self.0.insert(sid.to_owned(), cut.clone());
        Some(Attached { transports: self.clone(), sid: sid.to_owned(), cut: cut.clone() })
    }

    /// Cuts every connection that carries a session.
    pub fn cut_all(&self) {
        for line in self.0.iter() {
            line.cut();
        }
    }

    /// Cuts the connection that carries a session, if it is known.
    pub(super) fn cut(&self, sid: &str) {
        if let Some(cut) = self.0.get(sid) {
            cut.cut();
        }
    }
}

/// A connection that carries a session.
#[derive(Debug)]
pub struct Attached {
    transports: Transports,
    sid: String,
    cut: Cut,
}

impl Attached {
    pub fn carries(&self, sid: &str) -> bool {
        self.sid == sid
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.transports.0.remove_if(&self.sid, |_, cut| cut.is(&self.cut));
    }
}
