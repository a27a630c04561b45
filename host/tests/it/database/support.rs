//! A migrated database for each test, and people in it.

use std::{
    env::temp_dir,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use duologue::{
    auth::VerifierSettings,
    db::{Db, MIGRATOR, PoolLimits, orgs, users},
    domain::{Body, Caller, ContentType, Email, Kind, Metadata, Org, OrgId, OrgSettings, OrgSlug},
    embedded::{Embedded, Options},
    events::{Event, Events},
    plugin::{Limits, PluginHost},
    service::{
        EventSettings, GuestSettings, NotifySettings, ReceiptSettings, ReviewSettings,
        SecretSettings, SendCommand, ServiceSettings, Services, WriterLimits,
    },
    settings::Settings,
};
use rustix::process::{Pid, geteuid, test_kill_process};
use serde_json::json;
use sqlx::{
    AssertSqlSafe, Connection, FromRow, PgConnection, PgPool,
    postgres::{PgPoolOptions, PgRow},
};
use time::OffsetDateTime;
use tokio::sync::{OnceCell, mpsc::Receiver};

/// Generous: it is only ever waited out by a test that fails.
const LIMIT: Duration = Duration::from_mins(1);
/// Plugins that gave no answer may be asked again at once; nobody does but a test itself.
const REVIEW: ReviewSettings = ReviewSettings {
    interval: LIMIT,
    ask_again: Duration::ZERO,
    ask_again_most: LIMIT,
    refusals_queue: 64,
};
pub const RECEIPTS: ReceiptSettings = ReceiptSettings {
    queue: 64,
    queue_bytes: 1 << 20,
    per_message: 3,
    gather: Duration::from_millis(10),
    patience: LIMIT,
};
/// Told by nobody but a test itself, where a pause is over at once.
pub const EVENTS: EventSettings = EventSettings {
    poll: LIMIT,
    at_once: 8,
    at_once_per_org: 4,
    lease: LIMIT,
    attempts: 3,
    retry: Duration::ZERO,
    retry_most: Duration::ZERO,
    waiting_per_org: 20,
    sampled_burst: 5,
    sampled_per_second: 0,
    sampled_queue: 64,
    messages_per_call: 5,
    most_depth: 3,
};
/// What a server has taken on may be taken on again at once.
const NOTIFYING: NotifySettings = NotifySettings {
    interval: LIMIT,
    lease: Duration::ZERO,
    attempts: 3,
    at_once: 8,
    at_once_per_org: 4,
};
/// Keeps test processes from making one template, or clearing up, at the same time.
const START_LOCK: i64 = 7_274_823;

/// A migrated database of one test, which goes with it. The next run clears up after a killed one.
pub struct TestDatabase {
    pub db: Db,
    /// For looking at what is stored, and for standing in its way.
    pub raw: PgPool,
    name: String,
}

impl TestDatabase {
    pub async fn create() -> Self {
        let server = Server::shared().await;
        // With a part that no earlier process of this id can have used.
        let name = format!("t_{}_{}", std::process::id(), OrgId::new().as_uuid().simple());
        let template = &server.template;
        let create = format!("create database {name} template {template} strategy file_copy");
        execute(&mut server.connect("postgres").await, create).await;
        let url = server.postgres.url(&name);
        let raw = PgPoolOptions::new().connect_lazy(&url).unwrap();
        Self { db: database(&url), raw, name }
    }

    /// The use cases of one more server on this database; nobody fans out what they tell.
    pub fn services(&self) -> Services {
        self.services_and_events().0
    }

    /// The same, with what it tells.
    pub fn services_and_events(&self) -> (Services, Receiver<Event>) {
        static PLUGINS: OnceLock<PluginHost> = OnceLock::new();
        let compiler = env!("CARGO_BIN_EXE_duologue").into();
        let plugins =
            PLUGINS.get_or_init(|| PluginHost::new(Limits::default(), Some(compiler)).unwrap());
        self.services_on(plugins)
    }

    /// The same, with guests on that host.
    pub fn services_on(&self, plugins: &PluginHost) -> (Services, Receiver<Event>) {
        let settings = ServiceSettings {
            org_defaults: OrgSettings::default(),
            verifier: VerifierSettings::default(),
            writer: WriterLimits { queue: 1024, batch: 64, patience: LIMIT },
            presence_grace: Duration::ZERO,
            review: REVIEW,
            notifying: NOTIFYING,
            receipts: RECEIPTS,
            guests: guests(),
            events: EVENTS,
            stages: Settings::parse(None).unwrap().stages,
        };
        let db = database(&Server::get().postgres.url(&self.name));
        let (events, told) = Events::channel();
        let (services, _) = Services::new(db, &events, plugins.clone(), settings).unwrap();
        (services, told)
    }

    pub async fn org<const N: usize>(&self, slug: &str, people: [&str; N]) -> [Caller; N] {
        let id = OrgId::new();
        orgs::insert(&self.db, id, slug, slug, &json!({})).await.unwrap();
        let org = Arc::new(Org {
            id,
            slug: OrgSlug::parse(slug).unwrap(),
            name: slug.to_owned(),
            suspended: false,
            settings: OrgSettings::default(),
        });
        let mut callers = Vec::with_capacity(N);
        for name in people {
            let email = Email::parse(&format!("{name}@{slug}.example")).unwrap();
            let mut handle = self.db.org(id).await.unwrap();
            let user = users::insert_waiting(&mut handle.conn(), &email).await.unwrap();
            callers.push(Caller {
                org: org.clone(),
                user: Arc::new(user),
                kind: Kind::Customer,
                admin: false,
                roles: [].into(),
                issued_at: OffsetDateTime::now_utc(),
                expires_at: OffsetDateTime::now_utc() + LIMIT,
            });
        }
        callers.try_into().unwrap()
    }

    /// Rows as Postgres has them.
    #[expect(clippy::disallowed_methods, reason = "`.sqlx` holds the product's queries alone")]
    pub async fn rows<T>(&self, sql: &'static str) -> Vec<T>
    where
        T: for<'row> FromRow<'row, PgRow> + Send + Unpin,
    {
        sqlx::query_as(sql).fetch_all(&self.raw).await.unwrap()
    }

    /// Everything in the tables that a message touches, as text.
    pub async fn contents(&self) -> Vec<String> {
        let rows: Vec<(String,)> = self
            .rows(
                "
                select 'message ' || messages::text from messages
                union all select 'thread ' || threads::text from threads
                union all select 'thread state ' || thread_states::text from thread_states
                union all select 'user state ' || user_states::text from user_states
                union all select 'change ' || changes::text from changes
                union all select 'notification ' || notifications::text from notifications
                order by 1
                ",
            )
            .await;
        rows.into_iter().map(|(row,)| row).collect()
    }

    /// Waits until that many statements wait for somebody else's lock.
    pub async fn blocked(&self, statements: i64) {
        let waiting = "
            select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'
            ";
        let enough = async {
            while self.rows::<(i64,)>(waiting).await[0].0 < statements {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LIMIT, enough).await.expect("not as many wait for a lock");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop_it = async {
            let mut admin = Server::get().connect("postgres").await;
            execute(&mut admin, format!("drop database if exists {} with (force)", self.name))
                .await;
        };
        // The test's own runtime cannot be waited for from here.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(drop_it);
            });
        });
    }
}

/// The server that all test processes of this user share, and the database to copy.
struct Server {
    postgres: Embedded,
    template: String,
}

static SERVER: OnceCell<Server> = OnceCell::const_new();

impl Server {
    async fn shared() -> &'static Self {
        SERVER.get_or_init(Self::start).await
    }

    fn get() -> &'static Self {
        SERVER.get().expect("a test's database was made on it")
    }

    async fn start() -> Self {
        let options = Options {
            settings: vec![("max_connections".to_owned(), "300".to_owned())],
            ..Options::new(directory())
        };
        let postgres = tokio::task::spawn_blocking(move || Embedded::shared(&options).unwrap());
        let server = Self { postgres: postgres.await.unwrap(), template: template_name() };
        let mut admin = server.connect("postgres").await;
        execute(&mut admin, format!("select pg_advisory_lock({START_LOCK})")).await;
        server.make_template(&mut admin).await;
        sweep(&mut admin).await;
        admin.close().await.unwrap();
        server
    }

    async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.postgres.url(database)).await.unwrap()
    }

    /// Makes the template where there is none. It is marked as one when it is complete; then
    /// nobody may connect to it either, which would keep others from copying it.
    async fn make_template(&self, admin: &mut PgConnection) {
        let name = &self.template;
        let complete = names(admin, "select datname from pg_database where datistemplate").await;
        if complete.contains(name) {
            return;
        }
        execute(admin, format!("drop database if exists {name} with (force)")).await;
        execute(admin, format!("create database {name}")).await;
        let mut template = self.connect(name).await;
        MIGRATOR.run(&mut template).await.unwrap();
        template.close().await.unwrap();
        execute(admin, format!("alter database {name} is_template true allow_connections false"))
            .await;
    }
}

/// Drops the databases of processes that are gone.
async fn sweep(admin: &mut PgConnection) {
    for name in names(admin, "select datname from pg_database where datname ~ '^t_'").await {
        let pid = name.split('_').nth(1).and_then(|pid| pid.parse().ok());
        let is_alive =
            pid.and_then(Pid::from_raw).is_some_and(|pid| test_kill_process(pid).is_ok());
        if !is_alive {
            execute(admin, format!("drop database if exists {name} with (force)")).await;
        }
    }
}

/// Where Postgres' own user can go, which may not be so of the target directory.
fn directory() -> PathBuf {
    temp_dir().join(format!("duologue-tests-{}", geteuid().as_raw()))
}

/// Another one for other migrations.
fn template_name() -> String {
    let mut hasher = DefaultHasher::new();
    for migration in MIGRATOR.iter() {
        (migration.version, &migration.checksum).hash(&mut hasher);
    }
    format!("template_{:016x}", hasher.finish())
}

/// By the defaults; a secret cannot be kept.
pub fn guests() -> GuestSettings {
    let settings = Settings::parse(None).unwrap();
    GuestSettings {
        kv: settings.kv,
        outgoing: settings.outgoing,
        secrets: SecretSettings {
            key: None,
            key_file: None,
            kept_in: None,
            max_value_bytes: settings.secrets.max_value_bytes,
            max_per_plugin: settings.secrets.max_per_plugin,
        },
    }
}

fn database(url: &str) -> Db {
    Db::new(
        url,
        &PoolLimits {
            connections: 8,
            connections_per_org: 8,
            connections_for_plugins: 4,
            connections_for_plugins_per_org: 4,
            acquire: LIMIT,
            statement: LIMIT,
        },
    )
    .unwrap()
}

async fn execute(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "`.sqlx` holds the product's queries alone")]
async fn names(connection: &mut PgConnection, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(connection).await.unwrap()
}

pub fn text(content: &str) -> Body {
    Body {
        content: content.to_owned(),
        content_type: ContentType::Text,
        attachments: Vec::new(),
        metadata: Metadata::new(),
        preview: None,
    }
}

pub fn letter(to: &Caller, content: &str) -> SendCommand {
    let to = to.user.email.clone();
    SendCommand { to, body: text(content), reply_to: None, client_id: None }
}
