//! `postgres.log`: kept small, and read where Postgres ended.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Past this size the next start of Postgres begins a new file and keeps one old one.
const MAX_BYTES: u64 = 10 << 20;

/// How many of its last lines are shown in an error.
const SHOWN_LINES: usize = 8;

/// The log of one run of Postgres, appended to that of the runs before.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// Where this run begins.
    begins_at: u64,
}

impl LogFile {
    /// Opens it for Postgres to write to, readable for nobody else.
    pub(super) fn open(path: &Path) -> io::Result<(Self, File)> {
        if fs::metadata(path).is_ok_and(|meta| meta.len() > MAX_BYTES) {
            fs::rename(path, path.with_extension("log.1"))?;
        }
        let file = File::options().create(true).append(true).mode(0o600).open(path)?;
        let begins_at = file.metadata()?.len();
        Ok((Self { path: path.to_owned(), begins_at }, file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The last words of this run, in one line.
    pub(super) fn tail(&self) -> String {
        let text = self.read().unwrap_or_else(|error| format!("{}: {error}", self.path.display()));
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join(" | ")
    }

    fn read(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.begins_at))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
