use std::path::PathBuf;

use crate::{
    db::Db,
    embedded::{self, Embedded, EmbeddedError, Options},
    settings::Settings,
};

/// Where messages are kept.
#[derive(Clone, Debug)]
pub enum DatabaseChoice {
    /// A Postgres of the operator's.
    Url(String),
    /// One that this server supervises, in `DIR/postgres`; the user's data folder where no
    /// directory is named.
    Embedded(Option<PathBuf>),
}

/// A database in use. Dropping it stops a Postgres that was started for it.
pub struct Database {
    pub db: Db,
    embedded: Option<Embedded>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    #[error("there is no home directory to keep data in; name a directory with --data-dir")]
    NoDirectory,
    #[error("DATABASE_URL cannot be used: {0}")]
    Url(#[source] crate::db::DbError),
    #[error("the database's schema could not be brought up to date: {0}")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the task that starts Postgres failed")]
    Task,
}

impl Database {
    /// Opens the database for a server of its own, and brings its schema up to date.
    pub async fn serve(choice: &DatabaseChoice, settings: &Settings) -> Result<Self, OpenError> {
        Self::open(choice, settings, false).await
    }

    /// The same for a command that may run beside a server.
    pub async fn share(choice: &DatabaseChoice, settings: &Settings) -> Result<Self, OpenError> {
        Self::open(choice, settings, true).await
    }

    async fn open(
        choice: &DatabaseChoice,
        settings: &Settings,
        share: bool,
    ) -> Result<Self, OpenError> {
        let (url, embedded) = match choice {
            DatabaseChoice::Url(url) => (url.clone(), None),
            DatabaseChoice::Embedded(directory) => {
                let directory = match directory {
                    Some(directory) => directory.join("postgres"),
                    None => embedded::default_directory().ok_or(OpenError::NoDirectory)?,
                };
                tokio::task::spawn_blocking(move || start(directory, share))
                    .await
                    .map_err(|_| OpenError::Task)??
            }
        };
        let db = Db::new(&url, &super::limits::pool(settings)).map_err(OpenError::Url)?;
        db.migrate().await.map_err(|error| OpenError::Migrate(error.into()))?;
        Ok(Self { db, embedded })
    }

    /// Where the data of a server with a Postgres of its own lies.
    pub fn data_directory(&self) -> Option<PathBuf> {
        self.embedded.as_ref()?.directory().parent().map(PathBuf::from)
    }

    /// The process id of the supervised Postgres.
    pub fn postgres_pid(&self) -> Option<u32> {
        self.embedded.as_ref().map(Embedded::pid)
    }
}

/// Where `make run` puts a Postgres that it had to fetch.
fn fetched() -> Vec<PathBuf> {
    let own = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let caches = [Some(PathBuf::from("/var/cache")), own];
    caches.into_iter().flatten().map(|cache| cache.join("duologue/postgres")).collect()
}

/// The URL of the cluster in that directory, and the Postgres where it was started here.
fn start(directory: PathBuf, share: bool) -> Result<(String, Option<Embedded>), EmbeddedError> {
    if share && let Some(running) = Embedded::running(&directory) {
        return Ok((running.url("postgres"), None));
    }
    let mut options = Options::new(directory);
    options.binaries = fetched();
    options.notify = |notice| tracing::warn!(%notice, "embedded Postgres");
    let embedded = Embedded::start(&options)?;
    Ok((embedded.url("postgres"), Some(embedded)))
}
