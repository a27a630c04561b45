//! `sendMessage`: what one socket sends to one peer is stored in the order in which it came.
//!
//! Each peer has a queue of its own, emptied by one task: a send is checked and handed to
//! the writer before the next one is looked at, and nobody waits for anybody's commit.

use std::{
    collections::{VecDeque, hash_map::Entry},
    sync::{Arc, PoisonError},
    time::Duration,
};

use serde_json::json;
use tokio::time::timeout;

use super::{access::Access, conn::Conn, incoming::Incoming};
use crate::{
    Error, Result,
    domain::Caller,
    service::{SendCommand, Sent, Services, Via},
    wire::{MessageView, parse_send},
};

const EVENT: &str = "sendMessage";

/// A send that waits for its turn.
pub(super) struct Job {
    caller: Caller,
    command: SendCommand,
    ack: Option<i64>,
    /// How long checking it, and then storing it, may take.
    patience: Duration,
}

/// Takes a send in; runs in the order in which a socket's events arrive.
pub(super) fn receive(conn: &Arc<Conn>, access: &Access, event: Incoming) {
    let services = &access.services;
    let patience = access.hub.settings.patience;
    let caller = conn.caller();
    if let Err(error) = conn.begin_send(caller.org.settings.limits.pending_sends_per_socket) {
        conn.answer(EVENT, event.ack, Err::<(), _>(error));
        return;
    }
    let ack = event.ack;
    match read(services, &caller, event) {
        Ok(command) => enqueue(conn, services, Job { caller, command, ack, patience }),
        Err(error) => {
            conn.end_send();
            conn.answer(EVENT, ack, Err::<(), _>(error));
        }
    }
}

fn read(services: &Services, caller: &Caller, event: Incoming) -> Result<SendCommand> {
    services.sending.admit(caller)?;
    let data =
        event.data.ok_or_else(|| Error::Malformed("the event's data must be JSON".into()))?;
    parse_send(data, None)
}

fn enqueue(conn: &Arc<Conn>, services: &Services, job: Job) {
    let peer = job.command.to.key().to_owned();
    let mut queues = conn.sends.lock().unwrap_or_else(PoisonError::into_inner);
    match queues.entry(peer.clone()) {
        Entry::Occupied(mut queue) => queue.get_mut().push_back(job),
        Entry::Vacant(free) => {
            free.insert(VecDeque::new());
            tokio::spawn(work(conn.clone(), services.clone(), peer, job));
        }
    }
}

/// Works through the sends to one peer, one after another, until none waits.
async fn work(conn: Arc<Conn>, services: Services, peer: String, first: Job) {
    let mut next = Some(first);
    while let Some(job) = next {
        Box::pin(prepare(&conn, &services, job)).await;
        let mut queues = conn.sends.lock().unwrap_or_else(PoisonError::into_inner);
        next = queues.get_mut(&peer).and_then(VecDeque::pop_front);
        if next.is_none() {
            queues.remove(&peer);
        }
    }
}

/// Gives a send its place in the order; its answer comes when it is stored.
async fn prepare(conn: &Arc<Conn>, services: &Services, job: Job) {
    let Job { caller, command, ack, patience } = job;
    let prepared = services.sending.prepare(&caller, Via::Socket(conn.key), command);
    let prepared = timeout(patience, prepared).await.unwrap_or(Err(Error::Unavailable(None)));
    let conn = conn.clone();
    match prepared {
        Err(error) => answer(&conn, ack, Err(error)),
        Ok(prepared) => {
            let services = services.clone();
            tokio::spawn(async move {
                let sent = timeout(patience, services.sending.finish(prepared)).await;
                answer(&conn, ack, sent.unwrap_or(Err(Error::Unavailable(None))));
            });
        }
    }
}

fn answer(conn: &Arc<Conn>, ack: Option<i64>, result: Result<Sent>) {
    conn.end_send();
    let view = |sent: Sent| json!({ "ok": true, "message": MessageView::from(&sent.letter) });
    conn.answer(EVENT, ack, result.map(view));
}
