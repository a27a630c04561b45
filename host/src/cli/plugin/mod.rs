//! What plugin authors do on their own machine, with the server's own code.

mod building;
mod check;
mod made_up;
mod new;
mod push;
mod replay;
mod report;
mod template;
mod testing;

use std::path::{Path, PathBuf};

use clap::Subcommand;

use serde_json::Value as Json;

use super::CliError;
use crate::{service::PluginConfig, settings::Settings};

/// Write, build and upload plugins. Needs no database and no running server but for `push`.
#[derive(Subcommand)]
pub(super) enum PluginCommand {
    /// Make a folder with a plugin that builds, passes its tests, and is yours to change
    New(new::NewArgs),
    /// Build the plugin of a folder to one `.wasm`
    ///
    /// Fetches what the language needs: for Rust a compiler for wasm32-unknown-unknown, for
    /// JavaScript and Python the tool that the plugin's folder names.
    Build(building::BuildArgs),
    /// Say of a plugin what a server would say at its upload
    ///
    /// Checks and compiles it, and calls it once, with the server's own code and limits.
    Check(check::CheckArgs),
    /// Run a plugin over fixture files, with the server's own code and limits
    ///
    /// A fixture is a JSON file: what the plugin is asked, and what is expected of it.
    Test(testing::TestArgs),
    /// Upload a plugin to a running server, and set, grant and activate what it needs
    Push(push::PushArgs),
    /// Run the calls of a decision receipt again, and compare the answers; needs no server
    Replay(replay::ReplayArgs),
}

pub(super) async fn run(command: PluginCommand, settings: &Settings) -> Result<(), CliError> {
    match command {
        PluginCommand::New(args) => new::run(&args),
        PluginCommand::Build(args) => building::run(&args).await,
        PluginCommand::Check(args) => check::run(&args, settings).await,
        PluginCommand::Test(args) => testing::run(&args, settings).await,
        PluginCommand::Push(args) => push::run(args).await,
        PluginCommand::Replay(args) => replay::run(&args).await,
    }
}

/// A `.wasm` as it is, or that of a plugin's folder.
fn component_of(path: &Path) -> Result<PathBuf, CliError> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let project = building::Project::find(path)?;
    let component = project.component();
    if component.is_file() {
        return Ok(component);
    }
    Err(CliError::Usage(format!(
        "{} is not there yet: run `duologue plugin build {}`",
        component.display(),
        path.display(),
    )))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|error| CliError::File(path.to_owned(), error))
}

/// A JSON object, as it is or as `@FILE`.
fn parse_object(text: &str) -> Result<Json, String> {
    let held;
    let text = match text.strip_prefix('@') {
        None => text,
        Some(path) => {
            held = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            &held
        }
    };
    let parsed: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if parsed.is_object() { Ok(parsed) } else { Err("must be a JSON object".to_owned()) }
}

/// A plugin's configuration.
fn parse_config(text: &str) -> Result<PluginConfig, String> {
    let parsed = parse_object(text)?;
    serde_json::from_value(parsed).map_err(|error| format!("must be an object of texts: {error}"))
}
