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

/// The timer goes by whole milliseconds.
const ROUNDING: Duration = Duration::from_millis(10);

/// The way to the task that watches the clock.
pub(super) struct Expiry(mpsc::UnboundedSender<Watch>);

struct Watch {
    conn: Weak<Conn>,
    after: Duration,
}

impl Expiry {
    pub(super) fn start(hub: Weak<Hub>) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(run(hub, receiver));
        Self(sender)
    }

    /// Watches a socket whose token is new.
    pub(super) fn watch(&self, conn: &Arc<Conn>) {
        let left = left(conn);
        self.look_after(conn, left.saturating_sub(NOTICE));
        self.look_after(conn, left);
    }

    /// Forgets a socket whose CONNECT never came to be answered.
    pub(super) fn watch_opening(&self, conn: &Arc<Conn>) {
        self.look_after(conn, OPENING);
    }

    fn look_after(&self, conn: &Arc<Conn>, after: Duration) {
        // An error means that the server is stopping.
        let _ = self.0.send(Watch { conn: Arc::downgrade(conn), after });
    }
}

async fn run(hub: Weak<Hub>, mut watches: mpsc::UnboundedReceiver<Watch>) {
    let mut queue: DelayQueue<Weak<Conn>> = DelayQueue::new();
    loop {
        tokio::select! {
            watch = watches.recv() => match watch {
                Some(watch) => { queue.insert(watch.conn, watch.after); }
                None => return,
            },
            Some(due) = queue.next(), if !queue.is_empty() => {
                if let (Some(conn), Some(hub)) = (due.into_inner().upgrade(), hub.upgrade()) {
                    look(&hub, &conn);
                }
            }
        }
    }
}

fn look(hub: &Hub, conn: &Arc<Conn>) {
    if conn.is_opening() {
        hub.remove(conn);
        return;
    }
    let left = left(conn);
    if left < ROUNDING {
        conn.disconnect();
    } else if left <= NOTICE {
        conn.send_event("tokenExpiring", &json!({ "exp": conn.expires_at().unix_timestamp() }));
    }
}

fn left(conn: &Conn) -> Duration {
    Duration::try_from(conn.expires_at() - OffsetDateTime::now_utc()).unwrap_or(Duration::ZERO)
}
