//! A cluster on disk: made once, then found again at each start.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::account::Home;
use super::address::{self, Address};
use super::binaries::{Binaries, Search};
use super::{Durability, EmbeddedError, Notice, Options};

/// The scratch directory of `initdb`, followed by a process id.
const SCRATCH_PREFIX: &str = "data.new-";

/// Everything that each start of Postgres needs; it does not change while we live.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) home: Home,
    pub(super) data: PathBuf,
    pub(super) sockets: PathBuf,
    pub(super) binaries: PathBuf,
    pub(super) durability: Durability,
    pub(super) settings: Vec<(String, String)>,
    pub(super) notify: fn(&Notice),
}

impl Cluster {
    /// Finds the binaries, makes the socket's directory, and the cluster if there is none.
    ///
    /// The caller holds the lock of the directory.
    pub(super) fn prepare(
        home: Home,
        options: &Options,
        durability: Durability,
    ) -> Result<Self, EmbeddedError> {
        let data = home.file("data");
        let made_by = major_of_cluster(&data)?;
        let binaries = Search::new(&options.binaries).choose(made_by, &data, home.account)?;
        let sockets = address::make_socket_directory(&home)?;
        if made_by.is_none() {
            create(&home, &data, &binaries, durability)?;
        }
        Ok(Self {
            home,
            data,
            sockets,
            binaries: binaries.directory,
            durability,
            settings: options.settings.clone(),
            notify: options.notify,
        })
    }

    pub(super) fn address(&self) -> Address {
        Address::new(self.sockets.clone())
    }
}

/// The major version that made the cluster; `None` where there is none yet.
fn major_of_cluster(data: &Path) -> Result<Option<u32>, EmbeddedError> {
    match fs::read_to_string(data.join("PG_VERSION")) {
        Ok(version) => match version.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => Err(EmbeddedError::NoCluster(data.to_owned())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if data.exists() {
                return Err(EmbeddedError::NoCluster(data.to_owned()));
            }
            Ok(None)
        }
        Err(error) => Err(EmbeddedError::io(data)(error)),
    }
}

/// Makes the cluster beside its place and renames it: a killed `initdb` leaves no half cluster.
fn create(
    home: &Home,
    data: &Path,
    binaries: &Binaries,
    durability: Durability,
) -> Result<(), EmbeddedError> {
    // The `initdb` of a killed server may still be at work: hence a name of our own.
    remove_scratch(&home.base).map_err(EmbeddedError::io(&home.base))?;
    let scratch = home.file(&format!("{SCRATCH_PREFIX}{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&scratch).map_err(EmbeddedError::io(&scratch))?;
    home.account.adopt(&scratch).map_err(EmbeddedError::io(&scratch))?;

    let program = binaries.directory.join("initdb");
    let mut initdb = home.account.command(&program);
    initdb.arg("-D").arg(&scratch).args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]);
    initdb.args(locale(binaries.major));
    if durability == Durability::None {
        initdb.arg("--no-sync");
    }
    let output = initdb.stdin(Stdio::null()).output().map_err(EmbeddedError::io(&program))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let text = text.trim().replace('\n', " | ");
        return Err(EmbeddedError::Initdb(text));
    }

    fs::rename(&scratch, data).map_err(EmbeddedError::io(data))?;
    if durability == Durability::Full {
        let directory = File::open(&home.base).and_then(|directory| directory.sync_all());
        directory.map_err(EmbeddedError::io(&home.base))?;
    }
    Ok(())
}

/// A sort order that never changes with the C library, and a `lower()` that knows all letters.
fn locale(major: u32) -> &'static [&'static str] {
    if major >= 17 {
        &["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    } else if cfg!(target_os = "macos") {
        // Has no C.UTF-8.
        &["--locale=C", "--lc-ctype=en_US.UTF-8"]
    } else {
        &["--locale=C.UTF-8"]
    }
}

fn remove_scratch(base: &Path) -> io::Result<()> {
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(SCRATCH_PREFIX.as_bytes()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
