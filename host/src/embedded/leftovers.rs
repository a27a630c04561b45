//! Clears what a killed server left behind, so that the next one can start.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::EmbeddedError;
use super::cluster::Cluster;
use super::pid_file::PidFile;
use super::processes::{self, Process};
use super::stop_signal::StopSignal;

/// A fast shutdown writes a checkpoint. Past this time that is left to recovery.
const FAST_SHUTDOWN: Duration = Duration::from_secs(20);
const GIVE_UP: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);

/// Ends an orphaned Postgres, then removes its pid file and its socket.
///
/// The pid file is Postgres' own guard against a second server on files that an old backend
/// still writes. So it is removed only when no process works in the directory; then its pid is
/// that of a stranger, or of a zombie.
pub(super) fn clear(cluster: &Cluster, stop: &StopSignal) -> Result<(), EmbeddedError> {
    end_orphans(cluster, stop)?;
    let pid_file = cluster.data.join(PidFile::NAME);
    remove_if_there(&pid_file).map_err(EmbeddedError::io(&pid_file))?;
    // A zombie's `.s.PGSQL.5432.lock` would stop the next server: its pid still exists.
    empty(&cluster.sockets).map_err(EmbeddedError::io(&cluster.sockets))
}

fn end_orphans(cluster: &Cluster, stop: &StopSignal) -> Result<(), EmbeddedError> {
    let began = Instant::now();
    loop {
        let found = processes::working_in(&cluster.data, cluster.home.account)?;
        if found.is_empty() {
            return Ok(());
        }
        if began.elapsed() > GIVE_UP {
            return Err(EmbeddedError::Occupied {
                data: cluster.data.clone(),
                processes: names(&found),
            });
        }
        // Each round again, which changes nothing for those that already heard it.
        ask_to_end(&found, PidFile::read(&cluster.data).as_ref(), began.elapsed());
        if stop.sleep(POLL) {
            return Err(EmbeddedError::Stopped);
        }
    }
}

/// A postmaster ends its backends itself. Where it is gone, they get what it would have sent
/// them had one of them crashed: `SIGQUIT`, which even a busy one obeys.
fn ask_to_end(found: &[Process], file: Option<&PidFile>, waited: Duration) {
    let is_postmaster = |process: &&Process| file.is_some_and(|file| file.pid == process.pid);
    if let Some(postmaster) = found.iter().find(is_postmaster) {
        let signal = if waited < FAST_SHUTDOWN { Signal::INT } else { Signal::QUIT };
        send(postmaster.pid, signal);
        return;
    }
    for process in found.iter().filter(|process| process.is_postgres()) {
        send(process.pid, Signal::QUIT);
    }
}

/// A process that is gone by now is none to complain about.
pub(super) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
        // One that was paused hears nothing before.
        let _ = kill_process(pid, Signal::CONT);
    }
}

fn names(processes: &[Process]) -> String {
    let name = |process: &Process| format!("{} ({})", process.pid, process.command);
    processes.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn empty(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}
