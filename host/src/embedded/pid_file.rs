//! `postmaster.pid`, which Postgres keeps in its data directory while it runs.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What the file says. A killed Postgres leaves it behind, so it proves nothing by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) pid: u32,
    pub(super) sockets: PathBuf,
    pub(super) is_ready: bool,
}

impl PidFile {
    pub(super) const NAME: &str = "postmaster.pid";

    /// `None` where there is no such file, or it is not yet written to the end.
    pub(super) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join(Self::NAME)).ok()?)
    }

    /// Lines: 1 pid, 2 data directory, 3 start time, 4 port, 5 socket directory,
    /// 6 listen address, 7 shared memory, 8 status.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        Some(Self {
            pid: lines.first()?.parse().ok()?,
            sockets: PathBuf::from(lines.get(4)?),
            is_ready: lines.get(7) == Some(&"ready"),
        })
    }

    /// Whether somebody takes connections at the socket, which no leftover does.
    pub(super) fn answers(&self) -> bool {
        self.is_ready && UnixStream::connect(self.sockets.join(".s.PGSQL.5432")).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_only_once_the_last_line_says_so() {
        let text = "77\n/d/data\n1700000000\n5432\n/d/s\n\n  5432001    32768\n";

        let starting = PidFile::parse(&format!("{text}starting\n")).unwrap();
        let ready = PidFile::parse(&format!("{text}ready   \n")).unwrap();

        assert_eq!(starting, PidFile { pid: 77, sockets: "/d/s".into(), is_ready: false });
        assert!(ready.is_ready);
        assert_eq!(PidFile::parse("77\n/d/data\n"), None);
    }
}
