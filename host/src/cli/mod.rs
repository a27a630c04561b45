//! The command line.

mod demo;
mod key;
mod org;
mod output;
mod plugin;
mod serve;
mod token;
mod user;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::{
    app::{Database, DatabaseChoice, OpenError},
    domain::OrgSettings,
    service::{Operator, Registry},
    settings::{InvalidSettings, Settings},
};

/// One-to-one messages for many orgs, each shaped by its own plugins.
///
/// Start with `duologue serve --demo`: it makes an org, prints tokens to try, and serves.
/// Every other command works beside a running server and takes effect at once.
#[derive(Parser)]
#[command(name = "duologue", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    shared: Shared,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Shared {
    /// Keep data in this directory, in a Postgres that the server supervises itself
    ///
    /// Left out: the user's data folder. Not used where `DATABASE_URL` names a database.
    #[arg(long, global = true, env = "DUOLOGUE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Use this Postgres: `postgres://user:password@host:5432/database`
    #[arg(long, global = true, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Lay this settings file over the defaults (see `duologue settings`)
    #[arg(long, global = true, env = "DUOLOGUE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The options of [`Shared`]; those of the database come first.
const SHARED: [&str; 3] = ["data_dir", "database_url", "config"];

#[derive(Subcommand)]
enum Command {
    /// Serve REST and Socket.IO
    Serve(serve::ServeArgs),
    /// Make and change orgs
    #[command(subcommand)]
    Org(org::OrgCommand),
    /// Add and retire the keys that may sign an org's tokens
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Rebind people and revoke their tokens
    #[command(subcommand)]
    User(user::UserCommand),
    /// Write, build and upload plugins
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Sign a token for trying things out
    Token(token::TokenArgs),
    /// Bring the database's schema up to date (every other command does so too)
    Migrate,
    /// Print every setting of the server, with its default and its meaning
    Settings,
}

/// Why a command failed; its text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    #[error("{0}: {1}")]
    File(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Start(#[from] crate::app::StartError),
    #[error("{}", explain(.0))]
    Refused(#[from] crate::Error),
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// All that is wrong with a request, not only its first fault.
fn explain(error: &crate::Error) -> String {
    use std::error::Error as _;

    match error {
        crate::Error::Invalid(fields) => {
            fields.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        error => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let parsed = Cli::from_arg_matches(&command().get_matches());
    let cli = parsed.unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&CliError::Io(error)),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// The shared options are taken everywhere, and shown only where they say something: plugins are
/// written without a database.
fn command() -> clap::Command {
    // Hands the shared options down.
    let mut command = Cli::command();
    command.build();
    let hide = |command: clap::Command, names: &'static [&'static str]| {
        command.mut_args(|arg| {
            let is_unused = names.contains(&arg.get_id().as_str());
            if is_unused { arg.hide(true) } else { arg }
        })
    };
    command.mut_subcommands(|command| match command.get_name() {
        "plugin" => hide(command, &SHARED).mut_subcommands(|command| match command.get_name() {
            // They keep to the settings' limits.
            "check" | "test" => hide(command, &SHARED[..2]),
            _ => hide(command, &SHARED),
        }),
        _ => command,
    })
}

#[expect(clippy::print_stderr, reason = "this is where a command says why it failed")]
fn failed(error: &CliError) -> ExitCode {
    eprintln!("duologue: {error}");
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> Result<(), CliError> {
    let settings = cli.shared.settings()?;
    let database = cli.shared.database();
    match cli.command {
        Command::Serve(args) => Box::pin(serve::run(args, database, settings)).await,
        Command::Plugin(command) => Box::pin(plugin::run(command, &settings)).await,
        Command::Settings => output::text(crate::settings::DEFAULTS),
        Command::Migrate => {
            let opened = Database::share(&database, &settings).await?;
            opened.db.close().await;
            output::text("the schema is up to date\n")
        }
        Command::Org(command) => org::run(command, &open(&database, &settings).await?).await,
        Command::Key(command) => key::run(command, &open(&database, &settings).await?).await,
        Command::User(command) => user::run(command, &open(&database, &settings).await?).await,
        Command::Token(args) => token::run(args, &open(&database, &settings).await?).await,
    }
}

impl Shared {
    fn settings(&self) -> Result<Settings, CliError> {
        let text = match &self.config {
            None => None,
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .map_err(|error| CliError::File(path.clone(), error))?,
            ),
        };
        Ok(Settings::parse(text.as_deref())?)
    }

    fn database(&self) -> DatabaseChoice {
        match self.database_url.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => DatabaseChoice::Url(url.to_owned()),
            None => DatabaseChoice::Embedded(self.data_dir.clone()),
        }
    }
}

/// What a command that is no server works with.
struct Opened {
    operator: Operator,
    /// Held so that a Postgres started for the command ends with it.
    _database: Database,
}

async fn open(choice: &DatabaseChoice, settings: &Settings) -> Result<Opened, CliError> {
    let database = Database::share(choice, settings).await?;
    let operator = operator(&database, &settings.org)?;
    Ok(Opened { operator, _database: database })
}

fn operator(database: &Database, defaults: &OrgSettings) -> Result<Operator, CliError> {
    let registry = Registry::new(database.db.clone(), defaults)?;
    Ok(Operator::new(database.db.clone(), registry))
}
