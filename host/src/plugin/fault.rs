use std::{
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::io::Errno;
use wasmtime::{PoolConcurrencyLimitError, Trap, component::ResourceTableError};
use wasmtime_wasi::I32Exit;

use super::{
    services::Unserved,
    store::{OverCalls, OverMemory, OverTime},
};

/// Why a plugin gave no usable answer. The texts are for the log: they never hold what a message
/// or a guest said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it took too long")]
    TimedOut,
    #[error("it wanted more memory than it may have")]
    OutOfMemory,
    #[error("it trapped: {0}")]
    Trapped(String),
    #[error("its answer is invalid: {0}")]
    InvalidAnswer(String),
    #[error("too many calls were running")]
    Busy,
    /// The plugin says so itself.
    #[error("it could not decide")]
    Declined,
    /// It failed again and again, so it was not asked.
    #[error("it failed too often of late")]
    BreakerOpen,
    #[error("it asked the server for too much")]
    TooManyCalls,
    /// What it asked the server for could not be had.
    #[error("the server could not answer it")]
    Unserved,
    /// This server could not compile what it once accepted.
    #[error("it cannot be loaded here")]
    Unloadable,
}

impl Fault {
    /// Whether the plugin itself is to blame, and not the load of the server or the state of
    /// something behind it.
    pub(super) fn is_its_own(&self) -> bool {
        !matches!(self, Self::Busy | Self::BreakerOpen | Self::Unserved | Self::Unloadable)
    }

    /// The stable word for logs and counters.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Trapped(_) => "trapped",
            Self::InvalidAnswer(_) => "invalid_answer",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::BreakerOpen => "breaker_open",
            Self::TooManyCalls => "too_many_calls",
            Self::Unserved => "unserved",
            Self::Unloadable => "unloadable",
        }
    }
}

impl From<wasmtime::Error> for Fault {
    fn from(error: wasmtime::Error) -> Self {
        if error.is::<OverMemory>() {
            Self::OutOfMemory
        } else if error.is::<OverTime>() {
            Self::TimedOut
        } else if error.is::<OverCalls>() {
            Self::TooManyCalls
        } else if error.is::<Unserved>() {
            Self::Unserved
        } else if error.is::<PoolConcurrencyLimitError>() {
            Self::Busy
        } else if error.is::<Errno>() || error.is::<io::Error>() {
            // Of the system, which has no memory left.
            Self::Unserved
        } else if let Some(trap) = error.downcast_ref::<Trap>() {
            Self::Trapped(trap.to_string())
        } else if let Some(I32Exit(code)) = error.downcast_ref() {
            Self::Trapped(format!("it ended itself, with exit code {code}"))
        } else if let Some(misuse) = error.downcast_ref::<ResourceTableError>() {
            Self::Trapped(format!("{misuse}"))
        } else {
            // What the engine says of an answer it cannot read names types and sizes only.
            Self::InvalidAnswer(error.root_cause().to_string())
        }
    }
}

/// Decides which faults of one installation are worth a line, so that a plugin which fails on
/// every message does not flood the log.
#[derive(Debug, Default)]
pub(super) struct FaultLog(Mutex<Option<Lines>>);

#[derive(Debug)]
struct Lines {
    last: Instant,
    skipped: u64,
}

impl FaultLog {
    /// At most one line in this time.
    const PAUSE: Duration = Duration::from_secs(10);

    /// `Some`: write a line, and say how many were left out before it.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.as_mut() {
            Some(lines) if now.duration_since(lines.last) < Self::PAUSE => {
                lines.skipped += 1;
                None
            }
            _ => {
                let skipped = lines.as_ref().map_or(0, |lines| lines.skipped);
                *lines = Some(Lines { last: now, skipped: 0 });
                Some(skipped)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_faults_is_one_line_and_a_count() {
        let log = FaultLog::default();
        let start = Instant::now();

        assert_eq!(log.admit(start), Some(0));
        for _ in 0..1000 {
            assert_eq!(log.admit(start + Duration::from_secs(1)), None);
        }
        assert_eq!(log.admit(start + FaultLog::PAUSE), Some(1000));
    }
}
