//! Where the cluster lies if nobody says otherwise.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The server's folder under the user's data folder, such as `~/.local/share/duologue/postgres`.
///
/// For root it is `/var/lib/duologue/postgres`: root's home is closed to the user that
/// Postgres then runs as. `None` where the user has no home.
pub fn default_directory() -> Option<PathBuf> {
    choose(rustix::process::geteuid().is_root(), std::env::var_os)
}

fn choose(is_root: bool, variable: impl Fn(&'static str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = if is_root {
        PathBuf::from("/var/lib")
    } else if cfg!(target_os = "macos") {
        absolute("HOME")?.join("Library/Application Support")
    } else {
        absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?
    };
    Some(data.join(Path::new("duologue/postgres")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(target_os = "macos"))]
    fn a_user_has_it_in_the_data_folder_and_root_in_var_lib() {
        let home = |name: &str| (name == "HOME").then(|| OsString::from("/home/ann"));
        let xdg =
            |name: &str| Some(OsString::from(if name == "HOME" { "/home/ann" } else { "/data" }));

        let paths =
            [choose(false, home), choose(false, xdg), choose(true, home), choose(false, |_| None)];

        let expected = [
            "/home/ann/.local/share/duologue/postgres",
            "/data/duologue/postgres",
            "/var/lib/duologue/postgres",
        ];
        assert_eq!(paths[..3], expected.map(|path| Some(PathBuf::from(path))));
        assert_eq!(paths[3], None);
    }
}
