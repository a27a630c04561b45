//! The Postgres that the server supervises itself where no `DATABASE_URL` is set.
//!
//! One directory holds one cluster (`data/`), its private socket (`s/`), its log and the lock
//! that keeps a second server out. Postgres runs as our child, listens on that socket only,
//! is started again when it ends by itself, and stops when this process ends, however it ends.
//! All calls block: call them where blocking is allowed.
//!
//! Made for and tested on Linux. On macOS, the processes that work in the cluster are found by
//! `lsof`, and [`Embedded::shared`] needs a `flock` command; neither was tried there. Windows is
//! not supported.
//!
//! | file | holds |
//! | --- | --- |
//! | `options` | what a caller may choose, and what it is told |
//! | `account` | the user that Postgres runs as |
//! | `binaries` | which installed Postgres to use |
//! | `cluster` | the directory: made, checked, remembered |
//! | `address` | the socket and the URL |
//! | `leftovers`, `processes`, `pid_file` | what a killed server left behind |
//! | `launch`, `settings`, `log_file` | one run of Postgres, from spawn to ready |
//! | `watch`, `stop_signal` | starts it again; stops it |
//! | `shared` | one server for many test processes |

mod account;
mod address;
mod binaries;
mod cluster;
mod default_directory;
mod error;
mod launch;
mod leftovers;
mod log_file;
mod options;
mod pid_file;
mod processes;
mod settings;
mod shared;
mod stop_signal;
mod watch;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use address::Address;
pub use default_directory::default_directory;
pub use error::EmbeddedError;
pub use options::{Durability, Notice, Options};

use account::Home;
use cluster::Cluster;
use pid_file::PidFile;
use watch::Watch;

/// A running Postgres. Dropping it stops it, see [`Embedded::stop`].
#[derive(Debug)]
pub struct Embedded {
    address: Address,
    directory: PathBuf,
    pid: u32,
    started_in: Duration,
    /// None where the server is shared: then nobody in particular owns it.
    watch: Option<Watch>,
    /// Held until Postgres has stopped, so that the next server never meets this one's.
    lock: File,
}

impl Embedded {
    /// Starts the one server of this directory; it is made where it does not exist.
    ///
    /// Takes some 50 ms, or about 1 s where the cluster must be made. After a crash it takes
    /// as long as recovery does, 10 minutes at most. A second process is refused with
    /// [`EmbeddedError::InUse`]. From here on Postgres is started again whenever it ends.
    pub fn start(options: &Options) -> Result<Self, EmbeddedError> {
        let began = Instant::now();
        let home = Home::open(&options.directory)?;
        let lock = lock_file(&home.file("host.lock"), &home)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EmbeddedError::InUse(home.base)),
            Err(TryLockError::Error(source)) => return Err(EmbeddedError::io(&home.base)(source)),
        }

        let cluster = Cluster::prepare(home, options, options.durability)?;
        let address = cluster.address();
        let directory = cluster.home.base.clone();
        let watch = Watch::start(cluster)?;
        let pid = watch.pid();
        Ok(Self { address, directory, pid, started_in: began.elapsed(), watch: Some(watch), lock })
    }

    /// Joins, or starts, the server that all test processes of a directory share.
    ///
    /// It runs with fsync off whatever the options say, keeps the settings of whoever started
    /// it, is not restarted when it is killed, and stops by itself 5 s after the last process
    /// that held it has ended or dropped it. Needs the `flock` command.
    pub fn shared(options: &Options) -> Result<Self, EmbeddedError> {
        shared::join(options)
    }

    /// Where the server of another process on this directory listens; `None` if none is up.
    ///
    /// For commands that run beside `serve`. Changes nothing on disk.
    pub fn running(directory: &Path) -> Option<Address> {
        let data = directory.canonicalize().ok()?.join("data");
        PidFile::read(&data).filter(PidFile::answers).map(|file| Address::new(file.sockets))
    }

    /// The URL of a database of this server; it stays the same when Postgres is restarted.
    pub fn url(&self, database: &str) -> String {
        self.address.url(database)
    }

    /// The process id of the postmaster, which changes when Postgres is restarted.
    pub fn pid(&self) -> u32 {
        self.watch.as_ref().map_or(self.pid, Watch::pid)
    }

    /// How long the first start took, from the call until Postgres took connections.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The directory as given in the options, without links.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends all connections, writes a checkpoint and stops. A second call does nothing, and so
    /// does a call on a shared server.
    ///
    /// Blocks for some 20 ms, more where much must be written; after 30 s Postgres is told to
    /// leave its checkpoint to the recovery of the next start. Nothing committed is lost.
    pub fn stop(&mut self) {
        if let Some(watch) = &mut self.watch {
            watch.stop();
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop();
        // Closing it would not do: a command that another thread starts right now has a copy,
        // until it becomes that command. If this fails, closing it still works soon after.
        let _ = self.lock.unlock();
    }
}

/// Opens a file to be locked. It must be readable for Postgres' user: `flock` opens it as well.
fn lock_file(path: &Path, home: &Home) -> Result<File, EmbeddedError> {
    let open = || {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        home.account.adopt(path)?;
        Ok(file)
    };
    open().map_err(EmbeddedError::io(path))
}
