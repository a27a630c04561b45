//! Keeps Postgres running until it is told to stop.

use std::fs;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cluster::Cluster;
use super::launch::{EndsWith, Run, launch};
use super::leftovers;
use super::stop_signal::StopSignal;
use super::{EmbeddedError, Notice};

/// The wait before a restart; doubles each time until Postgres has run for a while.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// Postgres that ran this long did not end because of its start.
const STEADY: Duration = Duration::from_secs(10);
/// How long a checkpoint may take when stopping; past it, recovery does that work.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running Postgres and the thread that waits for its end.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Shared>,
    /// None once stopped.
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    pid: AtomicU32,
    lifeline: Mutex<Option<ChildStdin>>,
    /// We want Postgres to stop.
    stop: StopSignal,
    /// It has.
    stopped: StopSignal,
}

impl Watch {
    /// Starts Postgres; returns when it takes connections.
    pub(super) fn start(cluster: Cluster) -> Result<Self, EmbeddedError> {
        let stop = StopSignal::default();
        let mut run = launch(&cluster, EndsWith::ThisProcess, &stop)?;
        let shared = Arc::new(Shared {
            pid: AtomicU32::new(run.pid),
            lifeline: Mutex::new(run.lifeline.take()),
            stop,
            stopped: StopSignal::default(),
            cluster,
        });
        let watched = Arc::clone(&shared);
        let thread = Builder::new().name("postgres-watch".to_owned()).spawn(move || {
            watched.keep_running(run);
            watched.stopped.raise();
        });
        // Where there is no thread, dropping the lifeline stops Postgres.
        let thread = thread.map_err(EmbeddedError::io(&shared.cluster.home.base))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.shared.pid.load(Ordering::Relaxed)
    }

    /// Returns when Postgres has ended.
    pub(super) fn stop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let shared = &self.shared;
        // The order matters: the thread looks at the signal before it keeps a new lifeline.
        shared.stop.raise();
        drop(shared.lifeline().take());
        if !shared.stopped.sleep(STOP_LIMIT) {
            leftovers::send(self.pid(), Signal::QUIT);
            (shared.cluster.notify)(&Notice::SlowStop);
        }
        // It fails only if the thread panicked, and then there is nothing left to wait for.
        let _ = thread.join();
        // The one in the temp directory would be litter. It stays if anything is in it.
        let _ = fs::remove_dir(&shared.cluster.sockets);
    }
}

impl Shared {
    fn lifeline(&self) -> MutexGuard<'_, Option<ChildStdin>> {
        // Nothing panics while holding it.
        self.lifeline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_running(&self, first: Run) {
        let mut run = first;
        let mut retry_in = FIRST_RETRY;
        loop {
            let began = Instant::now();
            let Ok(status) = run.child.wait() else { return };
            if self.stop.is_raised() {
                return;
            }
            let ended = Instant::now();
            if began.elapsed() > STEADY {
                retry_in = FIRST_RETRY;
            }
            self.tell(&Notice::Ended { status, retry_in });
            let Some(next) = self.restart(&mut retry_in) else {
                return;
            };
            self.tell(&Notice::Restarted { pid: next.pid, after: ended.elapsed() });
            run = next;
        }
    }

    /// Tries until Postgres runs again; `None` when told to stop.
    fn restart(&self, retry_in: &mut Duration) -> Option<Run> {
        loop {
            if self.stop.sleep(*retry_in) {
                return None;
            }
            *retry_in = (*retry_in * 2).min(LAST_RETRY);
            match launch(&self.cluster, EndsWith::ThisProcess, &self.stop) {
                Ok(run) => return Some(self.adopt(run)),
                Err(EmbeddedError::Stopped) => return None,
                Err(error) => self.tell(&Notice::RestartFailed { error, retry_in: *retry_in }),
            }
        }
    }

    fn adopt(&self, mut run: Run) -> Run {
        self.pid.store(run.pid, Ordering::Relaxed);
        let mut lifeline = self.lifeline();
        *lifeline = run.lifeline.take();
        if self.stop.is_raised() {
            // `stop` has already dropped the last one, so this one is ours to drop.
            *lifeline = None;
        }
        run
    }

    fn tell(&self, notice: &Notice) {
        (self.cluster.notify)(notice);
    }
}
