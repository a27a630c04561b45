//! Sockets end with their tokens.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::StreamExt;
use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_util::time::DelayQueue;

use super::{conn::Conn, hub::Hub};

/// How long before a token ends its bearer is told.
const NOTICE: Duration = Duration::from_mins(1);
/// How long a CONNECT may take to be answered before its socket is forgotten.
const OPENING: Duration = Duration::from_mins(1);
/// The longest time between two looks at a socket: the timer takes no delay of years, and
/// what is gone is forgotten soon.
const STRIDE: Duration = Duration::from_mins(1);
/// The timer goes by whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(10);

/// The way to the task that watches the clock.
pub(super) struct Expiry(mpsc::UnboundedSender<(Watch, Duration)>);

/// A socket to look at. A newer watch of the same socket takes its place.
struct Watch {
    conn: Weak<Conn>,
    number: u64,
}

impl Expiry {
    pub(super) fn start(hub: Weak<Hub>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(hub, receiver));
        Self(sender)
    }

    /// Watches a socket whose token is new.
    pub(super) fn watch(&self, conn: &Arc<Conn>) {
        self.look_after(conn, Duration::ZERO);
    }

    /// Forgets a socket whose CONNECT never came to be answered.
    pub(super) fn watch_opening(&self, conn: &Arc<Conn>) {
        self.look_after(conn, OPENING);
    }

    fn look_after(&self, conn: &Arc<Conn>, after: Duration) {
        let watch = Watch { conn: Arc::downgrade(conn), number: conn.next_watch() };
        // An error means that the runtime is going down.
        let _ = self.0.send((watch, after));
    }
}

async fn run(hub: Weak<Hub>, mut watches: mpsc::UnboundedReceiver<(Watch, Duration)>) {
    let mut queue: DelayQueue<Watch> = DelayQueue::new();
    loop {
        tokio::select! {
            watch = watches.recv() => match watch {
                Some((watch, after)) => { queue.insert(watch, after.min(STRIDE)); }
                None => return,
            },
            Some(due) = queue.next(), if !queue.is_empty() => {
                let watch = due.into_inner();
                let (Some(conn), Some(hub)) = (watch.conn.upgrade(), hub.upgrade()) else { continue };
                if conn.is_watched_by(watch.number) && let Some(after) = look(&hub, &conn) {
                    queue.insert(watch, after.min(STRIDE));
                }
            }
        }
    }
}

/// Does what is due, and says when to look again.
fn look(hub: &Hub, conn: &Arc<Conn>) -> Option<Duration> {
    if conn.is_opening() {
        hub.remove(conn);
        return None;
    }
    let expires_at = conn.expires_at();
    let left = Duration::try_from(expires_at - OffsetDateTime::now_utc()).unwrap_or_default();
    if left < ROUNDING {
        conn.disconnect();
        return None;
    }
    if left > NOTICE {
        return Some(left.saturating_sub(NOTICE));
    }
    if conn.tell_expiring(expires_at) {
        conn.send_event("tokenExpiring", &json!({ "exp": expires_at.unix_timestamp() }));
    }
    Some(left)
}
