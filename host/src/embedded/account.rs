//! The user that Postgres runs as: ourselves, or another one where we are root.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;

/// The directory of one server, and who works in it.
#[derive(Debug)]
pub(super) struct Home {
    /// Absolute and without links, as Postgres reports its working directory.
    pub(super) base: PathBuf,
    pub(super) account: Account,
}

impl Home {
    /// Makes the directory where it does not exist, and checks that Postgres can get there.
    pub(super) fn open(directory: &Path) -> Result<Self, EmbeddedError> {
        let directory = std::path::absolute(directory).map_err(EmbeddedError::io(directory))?;
        let made: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
        fs::create_dir_all(&directory).map_err(EmbeddedError::io(&directory))?;
        let base = directory.canonicalize().map_err(EmbeddedError::io(&directory))?;
        let account = Account::of_cluster(&base.join("data"))?;
        for path in made {
            // Under a strict umask only the owner could enter it.
            account.adopt(path).map_err(EmbeddedError::io(path))?;
        }
        account.require_entry(&base)?;
        Ok(Self { base, account })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }
}

/// `None` where commands run as we do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account(Option<Ids>);

#[derive(Debug, Clone, Copy)]
struct Ids {
    uid: u32,
    gid: u32,
}

impl Account {
    /// As root: the owner of an existing cluster, else `postgres`, else `nobody`.
    fn of_cluster(data: &Path) -> Result<Self, EmbeddedError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        // A `postgres` user may have come with a package after `nobody` made the cluster.
        if let Ok(owner) = fs::metadata(data)
            && owner.uid() != 0
        {
            return Ok(Self(Some(Ids { uid: owner.uid(), gid: owner.gid() })));
        }
        let passwd = Path::new("/etc/passwd");
        let users = fs::read_to_string(passwd).map_err(EmbeddedError::io(passwd))?;
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| find_user(&users, name))
            .map(|ids| Self(Some(ids)))
            .ok_or(EmbeddedError::NoAccount)
    }

    #[cfg(test)]
    pub(super) fn ourselves() -> Self {
        Self(None)
    }

    pub(super) fn uid(self) -> u32 {
        self.0.map_or_else(|| rustix::process::geteuid().as_raw(), |ids| ids.uid)
    }

    /// A command that runs as this user, with nothing of our environment that would change
    /// what Postgres does.
    pub(super) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(ids) = self.0 {
            // The standard library clears the supplementary groups as well.
            command.uid(ids.uid).gid(ids.gid);
        }
        for (name, _) in std::env::vars_os() {
            let bytes = name.as_encoded_bytes();
            // Ours hold secrets, which are none of Postgres' business.
            let removed: [&[u8]; 4] = [b"PG", b"LC_", b"LANG", b"DUOLOGUE_"];
            if removed.iter().any(|prefix| bytes.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        // The caller's locale may not exist here. Our own directory may be closed to the user.
        command.env("LC_ALL", "C").current_dir("/");
        command
    }

    /// Gives a path to this user, where it is another one.
    pub(super) fn adopt(self, path: &Path) -> io::Result<()> {
        match self.0 {
            Some(ids) => chown(path, Some(ids.uid), Some(ids.gid)),
            None => Ok(()),
        }
    }

    /// Only asked where we are root: then *our* way into a directory says nothing.
    pub(super) fn require_entry(self, directory: &Path) -> Result<(), EmbeddedError> {
        let Some(ids) = self.0 else { return Ok(()) };
        let closed = directory
            .ancestors()
            .filter(|ancestor| fs::metadata(ancestor).is_ok_and(|meta| !ids.may_enter(&meta)))
            .last();
        match closed {
            None => Ok(()),
            Some(closed) => {
                Err(EmbeddedError::CannotEnter { directory: closed.to_owned(), uid: ids.uid })
            }
        }
    }
}

impl Ids {
    fn may_enter(self, directory: &Metadata) -> bool {
        let bit = if directory.uid() == self.uid {
            0o100
        } else if directory.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        directory.mode() & bit != 0
    }
}

/// Reads lines of `name:password:uid:gid:…`.
fn find_user(passwd: &str, name: &str) -> Option<Ids> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        Some(Ids { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "postgresql:x:1:2::/:/bin/sh\npostgres:x:101:104:PostgreSQL:/:/bin/sh\nnobody:*:-2:-2::/:/";

        let postgres = find_user(passwd, "postgres").unwrap();

        assert_eq!((postgres.uid, postgres.gid), (101, 104));
        // macOS numbers it below zero, which no `chown` takes.
        assert!(find_user(passwd, "nobody").is_none());
    }
}
