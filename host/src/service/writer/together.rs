//! Messages with which plugins want something stored: each in a transaction of its own.

use super::{Stored, Task, Waiting, refuse, rows::row};
use crate::db::batch::{self, Together};

impl Task {
    /// Lanes give such a message alone; with company, each is stored by itself all the same.
    pub(super) async fn store_together(&self, batch: Vec<Waiting>) {
        for waiting in batch {
            let row = row(&waiting);
            let staged = &waiting.job.staged;
            let stored = self.patiently(|| batch::insert_together(&self.db, &row, staged)).await;
            let placed = match stored {
                Ok(Together::Stored(placed)) => Some(placed),
                Ok(Together::Duplicate) => None,
                Ok(Together::Conflict) => {
                    let _ = waiting
                        .done
                        .send(Ok(Stored::Conflict(waiting.job.claim, waiting.job.receipts)));
                    continue;
                }
                Err(error) => {
                    refuse(vec![waiting], error);
                    continue;
                }
            };
            self.announce(vec![waiting], vec![row], vec![placed]).await;
        }
    }
}
