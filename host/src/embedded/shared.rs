//! One server for all test processes of a directory.

use std::path::Path;
use std::time::Instant;

use super::account::Home;
use super::address::Address;
use super::cluster::Cluster;
use super::launch::{EndsWith, launch};
use super::pid_file::PidFile;
use super::stop_signal::StopSignal;
use super::{Durability, Embedded, EmbeddedError, Options, lock_file};

/// The first user starts the server, the others find it; see [`Embedded::shared`].
pub(super) fn join(options: &Options) -> Result<Embedded, EmbeddedError> {
    let began = Instant::now();
    require_flock()?;
    let home = Home::open(&options.directory)?;
    let directory = home.base.clone();

    // Held for as long as we use the server. Waits while the last users' one is being stopped.
    let users_path = home.file("users.lock");
    let users = lock_file(&users_path, &home)?;
    users.lock_shared().map_err(EmbeddedError::io(&users_path))?;
    // Held while looking and starting, so that only one of us starts it.
    let starter_path = home.file("start.lock");
    let starter = lock_file(&starter_path, &home)?;
    starter.lock().map_err(EmbeddedError::io(&starter_path))?;

    let found = PidFile::read(&home.file("data")).filter(PidFile::answers);
    let (address, pid) = match found {
        Some(file) => (Address::new(file.sockets), file.pid),
        None => start(home, options, &users_path)?,
    };
    Ok(Embedded { address, directory, pid, started_in: began.elapsed(), watch: None, lock: users })
}

fn start(home: Home, options: &Options, users: &Path) -> Result<(Address, u32), EmbeddedError> {
    let cluster = Cluster::prepare(home, options, Durability::None)?;
    // Nobody can ask us to stop: we have not handed anything out yet.
    let stop = StopSignal::default();
    let run = launch(&cluster, EndsWith::LastUserOf(users), &stop)?;
    Ok((cluster.address(), run.pid))
}

/// Without it the server would run for ever.
fn require_flock() -> Result<(), EmbeddedError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|directory| directory.join("flock").is_file()) {
        return Ok(());
    }
    Err(EmbeddedError::NoFlock)
}
