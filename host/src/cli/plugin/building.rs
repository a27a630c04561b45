use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
};

use clap::Args;
use serde::Deserialize;
use tokio::{io::AsyncWriteExt, process::Command};

use super::super::{CliError, output};

#[derive(Args)]
pub(in crate::cli) struct BuildArgs {
    /// The plugin's folder
    #[arg(default_value = ".")]
    folder: PathBuf,
}

/// Finds or makes a Rust compiler for plugins, and prints what a shell has to set for it.
const GUEST_TOOLCHAIN: &str = include_str!("../../../../plugins/tools/guest-toolchain.sh");

const RUST_TARGET: &str = "wasm32-unknown-unknown";

/// A plugin's folder.
pub(super) struct Project {
    folder: PathBuf,
    tool: Tool,
    name: String,
}

/// What builds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Cargo,
    Npm,
    ComponentizePy,
}

/// What `Cargo.toml` and `package.json` are read for.
#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct CargoToml {
    package: Named,
}

pub(super) async fn run(args: &BuildArgs) -> Result<(), CliError> {
    let project = Project::find(&args.folder)?;
    project.build().await?;
    output::line(project.component().display().to_string())
}

impl Project {
    /// Tells the language by the files of its tool.
    pub(super) fn find(folder: &Path) -> Result<Self, CliError> {
        let of = |tool, name| Ok(Self { folder: folder.to_owned(), tool, name });
        let (cargo, npm) = (folder.join("Cargo.toml"), folder.join("package.json"));
        if cargo.is_file() {
            let text = text(&cargo)?;
            let read = toml::from_str::<CargoToml>(&text).map_err(|error| error.to_string());
            return of(Tool::Cargo, read.map_err(|error| unreadable(&cargo, &error))?.package.name);
        }
        if npm.is_file() {
            let read = serde_json::from_str::<Named>(&text(&npm)?);
            let read = read.map_err(|error| unreadable(&npm, &error.to_string()))?;
            return of(Tool::Npm, read.name);
        }
        if folder.join("plugin.py").is_file() {
            let real = folder.canonicalize().map_err(|e| CliError::File(folder.to_owned(), e))?;
            let name = real.file_name().map_or("plugin".into(), |name| name.to_string_lossy());
            return of(Tool::ComponentizePy, name.into_owned());
        }
        Err(CliError::Usage(format!(
            "{} holds no Cargo.toml, package.json or plugin.py; `duologue plugin new NAME` makes a \
             plugin's folder",
            folder.display(),
        )))
    }

    /// Where the built component lies.
    pub(super) fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.name))
    }

    async fn build(&self) -> Result<(), CliError> {
        // What was built before is not to be taken for what failed to build now.
        match std::fs::remove_file(self.component()) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(CliError::File(self.component(), error));
            }
            _ => {}
        }
        match self.tool {
            Tool::Cargo => self.build_rust().await,
            Tool::Npm => {
                if !self.folder.join("node_modules").is_dir() {
                    self.run("npm", &["install", "--no-audit", "--no-fund"]).await?;
                }
                self.run("npm", &["run", "--silent", "build"]).await
            }
            Tool::ComponentizePy => self.build_python().await,
        }
    }

    async fn build_rust(&self) -> Result<(), CliError> {
        // The script is read from stdin; what it says is what cargo's shell has to set.
        let mut finder = Command::new("bash");
        finder.arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut finder = finder.spawn().map_err(|error| no_tool("bash", &error))?;
        if let Some(mut stdin) = finder.stdin.take() {
            stdin.write_all(GUEST_TOOLCHAIN.as_bytes()).await?;
        }
        let found = finder.wait_with_output().await?;
        if !found.status.success() {
            return Err(CliError::Usage(format!(
                "no compiler for {RUST_TARGET}: `rustup target add {RUST_TARGET}` gets one",
            )));
        }
        let setup = String::from_utf8_lossy(&found.stdout);
        let command = format!("{setup}\nexec cargo build --release --target {RUST_TARGET}");
        self.run("bash", &["-c", &command]).await?;
        // Cargo writes an underscore for each dash.
        let built = format!("{RUST_TARGET}/release/{}.wasm", self.name.replace('-', "_"));
        let target = std::env::var_os("CARGO_TARGET_DIR").filter(|target| !target.is_empty());
        let target = self.folder.join(target.unwrap_or_else(|| "target".into()));
        let built = target.join(built);
        std::fs::copy(&built, self.component()).map_err(|error| CliError::File(built, error))?;
        Ok(())
    }

    async fn build_python(&self) -> Result<(), CliError> {
        const TOOLS: &str = ".tools";
        const WANTED: &str = "requirements.txt";
        let (wanted, fetched) = (self.folder.join(WANTED), self.folder.join(TOOLS).join(WANTED));
        let requirements = text(&wanted)?;
        if std::fs::read_to_string(&fetched).ok().as_ref() != Some(&requirements) {
            let fetch = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            let from = ["--upgrade", "--target", TOOLS, "--requirement", WANTED];
            self.run("python3", &[&fetch[..], &from].concat()).await?;
            std::fs::write(&fetched, requirements)
                .map_err(|error| CliError::File(fetched.clone(), error))?;
        }
        let component = format!("{}.wasm", self.name);
        let world = ["--wit-path", "wit", "--world", "plugin"];
        // Where its own modules are, and those of its requirements.
        let modules = ["--python-path", ".", "--python-path", TOOLS];
        let make = ["componentize", "plugin", "--output", &component];
        let arguments = [&world[..], &make, &modules].concat();
        self.run(&format!("./{TOOLS}/bin/componentize-py"), &arguments).await
    }

    /// Runs a tool in the plugin's folder; what it says goes to stderr.
    async fn run(&self, tool: &str, arguments: &[&str]) -> Result<(), CliError> {
        let status = Command::new(tool)
            .args(arguments)
            .current_dir(&self.folder)
            .env("PYTHONPATH", ".tools")
            // Those of a server's own build do not fit a plugin.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .stdout(std::io::stderr())
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|error| no_tool(tool, &error))?;
        if status.success() {
            return Ok(());
        }
        Err(CliError::Usage(format!("{tool} did not build the plugin: {status}")))
    }
}

fn text(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|error| CliError::File(path.to_owned(), error))
}

fn unreadable(path: &Path, error: &str) -> CliError {
    CliError::Usage(format!("{} does not name a package: {error}", path.display()))
}

fn no_tool(tool: &str, error: &std::io::Error) -> CliError {
    CliError::Usage(format!("{tool} cannot be run: {error}"))
}
