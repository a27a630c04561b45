//! One run of Postgres, from its spawn until it takes connections.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::log_file::LogFile;
use super::pid_file::PidFile;
use super::stop_signal::StopSignal;
use super::{EmbeddedError, Notice, leftovers, settings};

/// Recovery after a crash may take minutes; a start that takes longer hangs.
const READY_LIMIT: Duration = Duration::from_mins(10);
const SLOW: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// Runs Postgres until it ends, or until the other end of stdin is closed, which happens
/// however our process ends: then Postgres gets a fast shutdown.
const WITH_LIFELINE: &str = r#"
exec 3<&0 </dev/null
"$@" 3<&- & postgres=$!
{ read -r _ <&3; kill -INT $postgres 2>/dev/null; } & watcher=$!
wait $postgres; status=$?
kill $watcher 2>/dev/null
exit $status"#;

/// Runs Postgres until it ends, or until nobody has held the lock on file `$0` for 5 s. New
/// users wait for that lock while Postgres stops.
const WITH_USERS_LOCK: &str = r#"
"$@" & postgres=$!
{
    while :; do
        flock -x "$0" true
        sleep 5
        flock -xn "$0" sh -c '
            kill -INT "$0"
            while kill -0 "$0" 2>/dev/null; do sleep 0.05; done
        ' $postgres && exit
    done
} & watcher=$!
wait $postgres; status=$?
kill $watcher 2>/dev/null
exit $status"#;

/// What ends Postgres.
#[derive(Debug, Clone, Copy)]
pub(super) enum EndsWith<'a> {
    ThisProcess,
    LastUserOf(&'a Path),
}

/// Postgres, ready.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) pid: u32,
    /// The shell around Postgres.
    pub(super) child: Child,
    /// Closing it stops Postgres.
    pub(super) lifeline: Option<ChildStdin>,
}

/// Clears what the last run left, starts Postgres and waits until it is ready.
pub(super) fn launch(
    cluster: &Cluster,
    ends_with: EndsWith<'_>,
    stop: &StopSignal,
) -> Result<Run, EmbeddedError> {
    leftovers::clear(cluster, stop)?;
    let log_path = cluster.home.file("postgres.log");
    let (log, output) = LogFile::open(&log_path).map_err(EmbeddedError::io(&log_path))?;
    let mut command = command(cluster, ends_with, output);
    let mut child = command.spawn().map_err(EmbeddedError::io(Path::new("/bin/sh")))?;
    let lifeline = child.stdin.take();

    match wait_until_ready(cluster, &mut child, &log, stop) {
        Ok(pid) => Ok(Run { pid, child, lifeline }),
        Err(error) => {
            if let Some(lifeline) = lifeline {
                drop(lifeline);
                // Only reaps it: whether it ended well is no news any more.
                let _ = child.wait();
            }
            Err(error)
        }
    }
}

fn command(cluster: &Cluster, ends_with: EndsWith<'_>, log: File) -> Command {
    let (script, name, stdin) = match ends_with {
        EndsWith::ThisProcess => (WITH_LIFELINE, Path::new("duologue-postgres"), Stdio::piped()),
        EndsWith::LastUserOf(lock) => (WITH_USERS_LOCK, lock, Stdio::null()),
    };
    let mut command = cluster.home.account.command("/bin/sh");
    command.arg("-c").arg(script).arg(name).arg(cluster.binaries.join("postgres"));
    command.arg("-D").arg(&cluster.data).arg("-k").arg(&cluster.sockets).args(["-p", "5432"]);
    for setting in settings::of(cluster) {
        command.arg("-c").arg(setting);
    }
    command.stdin(stdin).stdout(Stdio::null()).stderr(log);
    // Ctrl-C in a terminal must not reach Postgres: we stop first, then it.
    command.process_group(0);
    command
}

/// The pid file is new, so what it says is about our child.
fn wait_until_ready(
    cluster: &Cluster,
    child: &mut Child,
    log: &LogFile,
    stop: &StopSignal,
) -> Result<u32, EmbeddedError> {
    let began = Instant::now();
    let mut is_slow = false;
    loop {
        if let Some(file) = PidFile::read(&cluster.data)
            && file.is_ready
        {
            return Ok(file.pid);
        }
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => {
                return Err(EmbeddedError::Ended { status, log: log.tail() });
            }
            Err(error) => return Err(EmbeddedError::io(Path::new("/bin/sh"))(error)),
        }
        if began.elapsed() > READY_LIMIT {
            return Err(EmbeddedError::NotReady { limit: READY_LIMIT, log: log.path().to_owned() });
        }
        if began.elapsed() > SLOW && !is_slow {
            is_slow = true;
            (cluster.notify)(&Notice::SlowStart { log: log.path().to_owned() });
        }
        if stop.sleep(POLL) {
            return Err(EmbeddedError::Stopped);
        }
    }
}
