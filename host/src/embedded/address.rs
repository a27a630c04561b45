//! The private socket that Postgres listens on, and the URL that names it.

use std::fmt::Write;
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::EmbeddedError;
use super::account::Home;

/// A socket's path has 107 bytes on Linux and 103 on macOS; `/.s.PGSQL.5432.lock` must fit too.
const MAX_DIRECTORY_BYTES: usize = 85;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    sockets: PathBuf,
}

impl Address {
    pub(super) fn new(sockets: PathBuf) -> Self {
        Self { sockets }
    }

    /// The URL of one of its databases, complete: nothing is left to `PG*` variables.
    pub fn url(&self, database: &str) -> String {
        let database = percent_encode(database.as_bytes());
        let host = percent_encode(self.sockets.as_os_str().as_encoded_bytes());
        format!("postgres://postgres@localhost:5432/{database}?host={host}&sslmode=disable")
    }
}

fn percent_encode(bytes: &[u8]) -> String {
    let mut encoded = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    encoded
}

/// Chooses and makes the directory for the socket, which nobody else may enter.
pub(super) fn make_socket_directory(home: &Home) -> Result<PathBuf, EmbeddedError> {
    let sockets = choose(&home.base, &std::env::temp_dir());
    // Where it is made in the temp directory, the way there was not checked yet.
    if let Some(parent) = sockets.parent() {
        home.account.require_entry(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(&sockets) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(EmbeddedError::io(&sockets)(error));
        }
        _ => {}
    }
    // Somebody else may have made it, or a link, before us. Root's own is from a start that
    // was killed before the next line but one.
    let found = fs::symlink_metadata(&sockets).map_err(EmbeddedError::io(&sockets))?;
    let is_ours = [home.account.uid(), rustix::process::geteuid().as_raw()].contains(&found.uid());
    if !found.is_dir() || !is_ours || found.mode() & 0o077 != 0 {
        return Err(EmbeddedError::SocketsNotPrivate(sockets));
    }
    home.account.adopt(&sockets).map_err(EmbeddedError::io(&sockets))?;
    Ok(sockets)
}

/// `s` in the server's directory, or where that name is too long one in the temp directory.
fn choose(base: &Path, temp: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    base.hash(&mut hasher);
    let short = format!("duologue-pg-{:016x}", hasher.finish());
    [base.join("s"), temp.join(&short)]
        .into_iter()
        .find(|path| path.as_os_str().len() <= MAX_DIRECTORY_BYTES)
        .unwrap_or_else(|| Path::new("/tmp").join(&short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_odd_characters_of_the_path_and_the_database() {
        let address = Address::new("/home/Ann & Bob/ä+%/s".into());

        let url = address.url("t 1");

        let host = "%2Fhome%2FAnn%20%26%20Bob%2F%C3%A4%2B%25%2Fs";
        assert_eq!(
            url,
            format!("postgres://postgres@localhost:5432/t%201?host={host}&sslmode=disable")
        );
    }

    #[test]
    fn a_long_directory_has_its_socket_in_the_temp_directory() {
        let long = PathBuf::from(format!("/{}", "x".repeat(84)));

        let short = choose(Path::new("/srv/d"), Path::new("/tmp"));
        let [first, again] = [(); 2].map(|()| choose(&long, Path::new("/var/tmp")));
        let other = choose(&long.join("y"), &long);

        assert_eq!(short, Path::new("/srv/d/s"));
        assert!(first.starts_with("/var/tmp"));
        assert_eq!(first, again);
        assert!(other.starts_with("/tmp"));
        assert_ne!(first.file_name(), other.file_name());
    }
}
