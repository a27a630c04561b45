//! Which processes work in a data directory.
//!
//! The postmaster and all its backends have it as their working directory. That tells them
//! from a stranger who has the pid of a server long gone, and finds a backend whose postmaster
//! was killed: such a one still writes to the cluster.

use std::path::Path;
use std::process::Stdio;

use super::EmbeddedError;
use super::account::Account;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) command: String,
}

impl Process {
    /// False for, say, somebody's shell that was left in the directory.
    pub(super) fn is_postgres(&self) -> bool {
        self.command.contains("postgres") || self.command.contains("postmaster")
    }
}

/// Prints `pid command` for each process in directory `$1`.
const LINUX: &str = r#"
for process in /proc/[0-9]*; do
    if [ "$process/cwd" -ef "$1" ] && read -r command < "$process/comm"; then
        echo "${process#/proc/} $command"
    fi
done 2>/dev/null
:"#;

/// The same where there is no `/proc`. Its own shell is in the directory too, so that an `lsof`
/// which sees nothing is told from an empty directory; it and its children do not count.
const ELSEWHERE: &str = r#"
command -v lsof >/dev/null || { echo "the command lsof is missing" >&2; exit 1; }
cd "$1" || exit 1
lsof -w -a -d cwd -FpRc . | awk -v self=$$ '
    /^p/ { pid = substr($0, 2) }
    /^R/ { parent[pid] = substr($0, 2) }
    /^c/ { command[pid] = substr($0, 2) }
    function is_own(pid) {
        while (pid in parent && pid != self) pid = parent[pid]
        return pid == self
    }
    END {
        for (pid in command) if (!is_own(pid)) print pid, command[pid]
        if (!(self in command)) { print "lsof does not see its own shell" > "/dev/stderr"; exit 1 }
    }'"#;

/// Asks as the server's own user: in a container, root itself may not look at other users'
/// processes (it lacks `CAP_SYS_PTRACE`).
pub(super) fn working_in(data: &Path, account: Account) -> Result<Vec<Process>, EmbeddedError> {
    let script = if cfg!(target_os = "linux") { LINUX } else { ELSEWHERE };
    list(script, data, account)
        .map_err(|reason| EmbeddedError::ProcessesUnknown { data: data.to_owned(), reason })
}

fn list(script: &str, data: &Path, account: Account) -> Result<Vec<Process>, String> {
    let mut command = account.command("/bin/sh");
    command.arg("-c").arg(script).arg("list-processes").arg(data).stdin(Stdio::null());
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(listing: &str) -> Vec<Process> {
    let process = |line: &str| {
        let (pid, command) = line.split_once(' ')?;
        Some(Process { pid: pid.parse().ok()?, command: command.to_owned() })
    };
    listing.lines().filter_map(process).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn both_ways_to_list_find_a_process_in_the_directory_and_no_other() {
        let name = format!("duologue-processes-{}", std::process::id());
        let directory = std::env::temp_dir().canonicalize().unwrap().join(name);
        std::fs::create_dir(&directory).unwrap();
        let account = Account::ourselves();
        let mut child = Command::new("sleep").arg("60").current_dir(&directory).spawn().unwrap();

        let expected = vec![Process { pid: child.id(), command: "sleep".to_owned() }];
        let elsewhere = list(ELSEWHERE, &directory, account);
        let here = working_in(&directory, account);
        child.kill().unwrap();
        child.wait().unwrap();
        let after = working_in(&directory, account);
        std::fs::remove_dir(&directory).unwrap();

        assert_eq!(here.unwrap(), expected);
        assert_eq!(after.unwrap(), []);
        match elsewhere {
            Ok(found) => assert_eq!(found, expected),
            Err(reason) => assert_eq!(reason, "the command lsof is missing"),
        }
    }
}
