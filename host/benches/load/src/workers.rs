//! Clients that each do one thing after another, as fast as they are answered.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    task::{JoinHandle, spawn_local},
    time::{sleep, timeout},
};

use crate::{
    latency::{Errors, Latency, rounded},
    processes::Snapshot,
    target::Target,
};

/// What all clients of a run share.
pub struct Run {
    latency: RefCell<Latency>,
    errors: RefCell<Errors>,
    is_measured: Cell<bool>,
    is_over: Cell<bool>,
}

impl Run {
    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    pub fn succeeded(&self, since: Instant) {
        if self.is_measured.get() {
            self.latency.borrow_mut().add(since.elapsed());
        }
    }

    /// A pause follows, so that a server that is down is not asked without end.
    pub async fn failed(&self, what: impl Into<String>) {
        self.errors.borrow_mut().add(what);
        sleep(Duration::from_millis(20)).await;
    }
}

/// Runs so many clients over the warm-up and the time that is measured.
pub async fn run<F>(target: &Target, clients: usize, client: impl Fn(usize, Rc<Run>) -> F) -> Value
where
    F: Future<Output = ()> + 'static,
{
    let run = Rc::new(Run {
        latency: RefCell::new(Latency::default()),
        errors: RefCell::default(),
        is_measured: Cell::new(false),
        is_over: Cell::new(false),
    });
    let clients: Vec<JoinHandle<()>> =
        (0..clients).map(|number| spawn_local(client(number, Rc::clone(&run)))).collect();
    sleep(target.warm_up()).await;
    let before = Snapshot::take(&target.pids);
    run.is_measured.set(true);
    sleep(target.measured()).await;
    run.is_measured.set(false);
    let after = Snapshot::take(&target.pids);
    run.is_over.set(true);
    for client in clients {
        let _ = timeout(Duration::from_secs(10), client).await;
    }
    let latency = run.latency.borrow();
    json!({
        "perSecond": rounded(latency.count() as f64 / after.secs_since(&before)),
        "latency": latency.json(),
        "errors": run.errors.borrow().json(),
        "cpu": after.used_since(&before, latency.count()),
    })
}
