//! A directory, a process and a question to Postgres.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use duologue::embedded::{Durability, Embedded, Options};

/// Generous: it is only ever waited out by a test that fails.
const LIMIT: Duration = Duration::from_mins(2);
/// Tells [`host_process`] which directory to serve, and how.
const HOST_DIRECTORY: &str = "DUOLOGUE_TEST_EMBEDDED_HOST";
const HOST_SHARES: &str = "DUOLOGUE_TEST_EMBEDDED_SHARED";

/// A directory that the server's user can enter, also where we are root.
pub(super) struct TestDirectory(pub(super) PathBuf);

impl TestDirectory {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "duologue-embedded-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        // A killed test of the same pid may have left one.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self(path.canonicalize().unwrap())
    }

    pub(super) fn server(&self) -> PathBuf {
        self.0.join("pg")
    }

    pub(super) fn options(&self) -> Options {
        Options { durability: Durability::None, ..Options::new(self.server()) }
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process of its own that serves the directory until it is killed or we end.
pub(super) struct Host(pub(super) Child);

impl Host {
    pub(super) fn spawn(directory: &Path, how: &str) -> Self {
        let name = module_path!().split_once("::").map_or_else(
            || "host_process".to_owned(),
            |(_, module)| format!("{module}::host_process"),
        );
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name])
            .env(HOST_DIRECTORY, directory)
            .env(HOST_SHARES, how)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// Starts one and waits until its Postgres takes connections.
    pub(super) fn start(directory: &Path) -> (Self, String) {
        let host = Self::spawn(directory, "private");
        let address = wait_for("the other host's Postgres", || Embedded::running(directory));
        (host, address.url("postgres"))
    }

    pub(super) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test by itself: the body of [`Host`].
#[test]
fn host_process() {
    let Some(directory) = std::env::var_os(HOST_DIRECTORY) else {
        return;
    };
    let options = Options { durability: Durability::None, ..Options::new(directory) };
    let is_shared = std::env::var_os(HOST_SHARES).is_some_and(|how| how == "shared");
    let start = if is_shared { Embedded::shared } else { Embedded::start };
    let _server = start(&options).unwrap();
    // Until whoever started us is gone.
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}

pub(super) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `psql` lies beside `postgres`, wherever that was found.
pub(super) fn psql() -> PathBuf {
    let roots = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let installed = roots.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os("PG_BIN_DIR")
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(installed)
        .map(|directory| directory.join("psql"))
        .find(|psql| psql.is_file())
        .expect("these tests need psql")
}

/// The answer of a statement, or what `psql` said instead.
pub(super) fn try_query(url: &str, sql: &str) -> Result<String, String> {
    let output = Command::new(psql()).args(["-XAtqc", sql, url]).output().unwrap();
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout).unwrap().trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

pub(super) fn query(url: &str, sql: &str) -> String {
    try_query(url, sql).unwrap()
}

/// Sends it as `kill` names it, such as `-9`.
pub(super) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

pub(super) fn pid_on_file(directory: &Path) -> Option<u32> {
    fs::read_to_string(directory.join("data/postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

/// A zombie counts as gone: in a container nobody may reap it.
pub(super) fn is_alive(pid: u32) -> bool {
    let state = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8(state.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
