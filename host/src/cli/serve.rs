use std::{net::SocketAddr, sync::Arc};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

use super::{CliError, demo, output};
use crate::{
    app::{Database, DatabaseChoice, Secrets, Server},
    settings::Settings,
};

/// Serve REST and Socket.IO until SIGTERM or Ctrl-C.
///
/// Without `DATABASE_URL` the server supervises a Postgres of its own, whose data lies in
/// --data-dir.
#[derive(Args)]
pub(super) struct ServeArgs {
    /// Listen here; port 0 takes a free one
    #[arg(long, env = "DUOLOGUE_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// What operators show at /admin/orgs; at least 32 characters, there is no default
    #[arg(long, env = "DUOLOGUE_OPERATOR_TOKEN", hide_env_values = true, value_name = "SECRET")]
    operator_token: Option<String>,
    /// What plugins' secrets are sealed under: 32 bytes in base64 (`openssl rand -base64 32`)
    ///
    /// Former keys may follow behind a comma: they open what was sealed under them before.
    /// Left out: the file named by the setting `secrets.key_file`; else, with the embedded
    /// database, `secrets.key` in the data directory.
    #[arg(long, env = "DUOLOGUE_SECRETS_KEY", hide_env_values = true, value_name = "KEY[,KEY]…")]
    secrets_key: Option<String>,
    /// Make an org `demo` and print tokens and commands to try
    #[arg(long)]
    demo: bool,
    /// What to log: error, warn, info, debug, or per module as in `info,duologue::plugin=debug`
    #[arg(long, env = "DUOLOGUE_LOG", default_value = "info,sqlx=warn", value_name = "FILTER")]
    log: String,
}

pub(super) async fn run(
    args: ServeArgs,
    database: DatabaseChoice,
    mut settings: Settings,
) -> Result<(), CliError> {
    start_logging(&args.log)?;
    if let Some(listen) = args.listen {
        settings.server.listen = listen;
    }
    let mut secrets = Secrets {
        operator_token: operator_token(args.operator_token)?,
        secrets_key: args.secrets_key.filter(|key| !key.is_empty()).map(Zeroizing::new),
        ..Secrets::default()
    };
    // From here on a signal is a wish to stop, also while the database starts.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = Server::listen(&settings).await?;
    let opened = tokio::select! {
        opened = Database::serve(&database, &settings) => opened?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    if let Some(pid) = opened.postgres_pid() {
        tracing::info!(postgres.pid = pid, "embedded Postgres is up");
    }
    secrets.data_directory = opened.data_directory();
    let server = Server::start(listener, opened.db.clone(), &settings, &secrets)?;
    if args.demo {
        let operator = super::operator(&opened, &settings.org)?;
        demo::prepare(&operator, server.address).await?;
    }
    output::line(format!("duologue is ready on http://{}", server.address))?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    server.stop().await;
    tokio::task::spawn_blocking(move || drop(opened))
        .await
        .map_err(|error| CliError::Io(std::io::Error::other(error)))
}

fn operator_token(token: Option<String>) -> Result<Option<Arc<str>>, CliError> {
    match token.filter(|token| !token.is_empty()) {
        None => Ok(None),
        Some(token) if token.len() < 32 => Err(CliError::Usage(
            "DUOLOGUE_OPERATOR_TOKEN must have at least 32 characters: openssl rand -hex 32".into(),
        )),
        Some(token) => Ok(Some(token.into())),
    }
}

fn start_logging(filter: &str) -> Result<(), CliError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| CliError::Usage(format!("--log {filter}: {error}")))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(())
}
