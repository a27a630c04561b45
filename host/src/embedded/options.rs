//! What a caller may choose, and what it is told while Postgres runs.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::EmbeddedError;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Holds everything of one cluster. Its parents must be enterable for the user that
    /// Postgres runs as, see [`EmbeddedError::CannotEnter`].
    pub directory: PathBuf,
    pub durability: Durability,
    /// Where to look after `PG_BIN_DIR`, `PATH` and the usual places of the system: directories
    /// with `postgres` and `initdb`, or those that `tools/postgres-binaries.sh` fetched into.
    pub binaries: Vec<PathBuf>,
    /// Postgres settings, such as `("max_connections", "300")`. They win over ours.
    pub settings: Vec<(String, String)>,
    /// Is told what happens while Postgres is watched, from the watching thread.
    pub notify: fn(&Notice),
}

impl Options {
    /// Full durability, no other settings, and nobody is told anything.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            durability: Durability::Full,
            binaries: Vec::new(),
            settings: Vec::new(),
            notify: |_| {},
        }
    }
}

/// What survives a crash.
///
/// There is no `synchronous_commit = off`: it loses thousands of acknowledged rows when
/// Postgres is killed, and here an ack means stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// What was committed is there after a crash of Postgres, of the machine, of the power.
    Full,
    /// For tests: fsync is off. Killed processes lose nothing, a crash of the machine can
    /// destroy the cluster.
    None,
}

/// Something that the operator should see; its text is one line.
#[derive(Debug)]
pub enum Notice {
    /// Postgres is up, but works on something, likely recovery, and takes no connections yet.
    SlowStart { log: PathBuf },
    /// Postgres ended and nobody asked it to.
    Ended { status: ExitStatus, retry_in: Duration },
    /// It could not be started again, and will be tried again.
    RestartFailed { error: EmbeddedError, retry_in: Duration },
    /// It takes connections again.
    Restarted { pid: u32, after: Duration },
    /// It did not stop in time, so the next start will recover first.
    SlowStop,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SlowStart { log } => {
                write!(f, "Postgres is still starting, see {}", log.display())
            }
            Self::Ended { status, retry_in } => {
                write!(f, "Postgres ended ({status}); starting it again in {retry_in:?}")
            }
            Self::RestartFailed { error, retry_in } => {
                write!(f, "Postgres could not be restarted, trying again in {retry_in:?}: {error}")
            }
            Self::Restarted { pid, after } => {
                write!(f, "Postgres is back as process {pid} after {after:?}")
            }
            Self::SlowStop => f.write_str("Postgres did not stop in time; made it stop at once"),
        }
    }
}
