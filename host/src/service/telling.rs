//! Commits, and tells of what was committed: also where the request behind it is given up.

use tokio::sync::{mpsc, oneshot};

use super::{listeners::Listeners, writer::Writer};
use crate::{
    Error, Result,
    db::{DbError, OrgTx},
    events::{Event, Events},
};

/// What is to be told once all that was stored before has been told.
struct Told {
    after: u64,
    events: Vec<Event>,
}

/// Tells in the order of commits, behind the messages themselves. A clone is the same.
#[derive(Clone)]
pub(super) struct Telling {
    writer: Writer,
    queue: mpsc::UnboundedSender<Told>,
    listeners: Listeners,
}

impl Telling {
    pub(super) fn start(writer: Writer, events: Events, listeners: Listeners) -> Self {
        let (queue, mut told) = mpsc::unbounded_channel::<Told>();
        let progress = writer.progress();
        tokio::spawn(async move {
            while let Some(next) = told.recv().await {
                progress.announced(next.after).await;
                for event in next.events {
                    events.publish(event).await;
                }
            }
        });
        Self { writer, queue, listeners }
    }

    /// Commits, in a task that outlives its caller: who hangs up in mid-commit loses nobody
    /// an event. Answers as soon as the commit does.
    pub(super) async fn commit(&self, tx: OrgTx, events: Vec<Event>) -> Result<()> {
        let (done, answer) = oneshot::channel::<Result<(), DbError>>();
        let telling = self.clone();
        tokio::spawn(async move {
            let org_id = tx.org_id();
            let committed = tx.commit().await;
            if committed.is_ok() {
                telling.listeners.nudge(org_id);
                let after = telling.writer.begun();
                let _ = telling.queue.send(Told { after, events });
            }
            let _ = done.send(committed);
        });
        Ok(answer.await.map_err(|_| Error::Unavailable(None))??)
    }
}
