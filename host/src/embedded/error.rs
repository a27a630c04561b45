//! Why there is no Postgres, each time with what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// What keeps the embedded Postgres from running.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    #[error(
        "no Postgres found: `make run` fetches one, or `apt-get install postgresql`, \
         or set PG_BIN_DIR to a directory with `postgres` and `initdb`, or set DATABASE_URL"
    )]
    NoBinaries,

    #[error("PG_BIN_DIR is {}, which holds no `postgres` and `initdb` that can be run", .0.display())]
    BadBinDir(PathBuf),

    #[error(
        "{} was made by Postgres {wanted}, but only {found} is installed: install \
         postgresql-{wanted}, or dump it with the old version and load it into a new directory",
        data.display()
    )]
    OtherMajor { data: PathBuf, wanted: u32, found: String },

    #[error("{} is in use by another server; stop that one or set DATABASE_URL", .0.display())]
    InUse(PathBuf),

    #[error(
        "running as root, so Postgres runs as user {uid}, who cannot enter {}: \
         choose a directory elsewhere, or chmod o+x it",
        directory.display()
    )]
    CannotEnter { directory: PathBuf, uid: u32 },

    #[error(
        "Postgres refuses to run as root, and there is neither a `postgres` nor a `nobody` user: \
         add one, run as another user, or set DATABASE_URL"
    )]
    NoAccount,

    #[error("{} exists but is no Postgres cluster: move it away", .0.display())]
    NoCluster(PathBuf),

    #[error("{} is a link, or not ours alone (mode 0700): remove it", .0.display())]
    SocketsNotPrivate(PathBuf),

    #[error("still working in {}, though told to stop: {processes}; end them", data.display())]
    Occupied { data: PathBuf, processes: String },

    #[error("cannot tell which processes use {}: {reason}", data.display())]
    ProcessesUnknown { data: PathBuf, reason: String },

    #[error(
        "a shared server needs the `flock` command: install util-linux, or on macOS `brew install flock`"
    )]
    NoFlock,

    #[error("initdb failed: {0}")]
    Initdb(String),

    #[error("Postgres ended while starting ({status}): {log}")]
    Ended { status: ExitStatus, log: String },

    #[error("Postgres took no connections within {} s, see {}", limit.as_secs(), log.display())]
    NotReady { limit: Duration, log: PathBuf },

    #[error("told to stop while starting")]
    Stopped,

    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl EmbeddedError {
    /// For `map_err`: says which path the error is about.
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}
