//! A host, and what is needed to ask it something.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use duologue::{
    Error, Result,
    domain::{
        Attachment, Body, BodyLimits, Caller, ContentType, Email, Judgement, Kind, Metadata,
        OnFault, Org, OrgId, OrgSettings, OrgSlug, Outcome, Phase, PluginId, Rejection, User,
        UserId,
    },
    plugin::{
        BeforeSend, Compiled, ContentTypes, Door, Hooks, Installation, Limits, PluginHost, Threads,
    },
    service::{Directory, Guests, Kv, Outgoing, SecretSettings, Secrets},
};
use time::OffsetDateTime;
use tracing::instrument::WithSubscriber;

use crate::{
    database::support::{TestDatabase, guests},
    outgoing::support::{Script, local_settings},
};

pub fn host_with(limits: Limits) -> PluginHost {
    PluginHost::new(limits, Some(PathBuf::from(env!("CARGO_BIN_EXE_duologue")))).unwrap()
}

/// The host that most tests share. Its calls may take long, so that a busy machine fails none.
pub fn host() -> PluginHost {
    static HOST: OnceLock<PluginHost> = OnceLock::new();
    let limits = Limits {
        call_timeout: Duration::from_secs(10),
        call_cpu: Duration::from_secs(1),
        chain_timeout: Duration::from_secs(20),
        http_call_timeout: Duration::from_secs(10),
        http_chain_timeout: Duration::from_secs(20),
        event_timeout: Duration::from_secs(20),
        notify_timeout: Duration::from_secs(10),
        wait_for_instance: Duration::from_secs(10),
        ..Limits::default()
    };
    HOST.get_or_init(|| host_with(limits)).clone()
}

/// What guests may ask of a server on this database, which finds every host on this machine.
pub fn server(database: &TestDatabase) -> Guests {
    let db = database.db.clone();
    let settings = guests();
    let secrets = SecretSettings {
        key: Some("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned().into()),
        ..settings.secrets
    };
    let limits = Arc::new(duologue::service::Limits::default());
    Guests {
        kv: Kv::new(db.clone(), settings.kv),
        outgoing: Outgoing::new(local_settings(), limits, Script::local()).unwrap(),
        secrets: Secrets::new(db.clone(), secrets).unwrap(),
        directory: Directory::new(db.clone()),
        db,
    }
}

/// An org, two people and the plugins between them.
pub struct Scene {
    pub hooks: Hooks,
    pub caller: Caller,
    to: User,
}

impl Scene {
    pub fn new(host: PluginHost) -> Self {
        Self { hooks: Hooks::new(host), caller: caller(), to: user("bob@b.example") }
    }

    /// Somebody of another org, before the same hooks.
    pub fn other_org(&self) -> Self {
        Self { hooks: self.hooks.clone(), caller: caller(), to: self.to.clone() }
    }

    pub fn install(&self, plugins: Vec<Installation>) {
        self.hooks.replace(self.caller.org.id, plugins);
    }

    pub async fn send(&self, content: &str) -> Result<Body> {
        self.send_body(&text(content)).await
    }

    pub async fn send_body(&self, body: &Body) -> Result<Body> {
        decided(self.judge(body).await)
    }

    /// All that the plugins made of a message.
    pub async fn judge(&self, body: &Body) -> Judgement {
        self.hooks.judge(&self.question(body), 0).await.unwrap()
    }

    pub fn question<'a>(&'a self, body: &'a Body) -> BeforeSend<'a> {
        static LIMITS: BodyLimits = BodyLimits { max_content_bytes: 64, http_attachments: false };
        BeforeSend {
            caller: &self.caller,
            to: &self.to,
            body,
            reply_to: None,
            previous: None,
            door: Door::Rest,
            attempt: 1,
            now: OffsetDateTime::UNIX_EPOCH,
            limits: &LIMITS,
        }
    }
}

/// What one guest makes of a message, where the org refuses messages on a fault.
pub async fn ask(wasm: &[u8], content: &str) -> Result<Body> {
    ask_on(host(), wasm, content).await
}

pub async fn ask_on(host: PluginHost, wasm: &[u8], content: &str) -> Result<Body> {
    let scene = Scene::new(host.clone());
    scene.install(vec![installed(compiled(&host, wasm).await)]);
    scene.send(content).await
}

pub async fn compiled(host: &PluginHost, wasm: &[u8]) -> Arc<Compiled> {
    Arc::new(host.compile(wasm).await.unwrap())
}

pub fn installed(compiled: Arc<Compiled>) -> Installation {
    Installation {
        id: PluginId::new(),
        name: "guest".to_owned(),
        version: compiled.report.sha256.clone(),
        hooks: compiled.report.hooks(),
        events: Vec::new(),
        compiled: Some(compiled),
        config: BTreeMap::new(),
        config_revision: 1,
        phase: Phase::Transform,
        on_fault: OnFault::Reject,
        on_content_fault: OnFault::Reject,
        content_types: ContentTypes::default(),
        granted_hosts: Vec::new(),
        threads: Threads::All,
    }
}

pub fn configured<const N: usize>(
    compiled: &Arc<Compiled>,
    config: [(&str, &str); N],
) -> Installation {
    let config = config.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Installation { config: config.into(), ..installed(Arc::clone(compiled)) }
}

pub fn named(name: &str, installation: Installation) -> Installation {
    Installation { name: name.to_owned(), ..installation }
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

pub fn file(name: &str) -> Attachment {
    Attachment {
        url: "https://files.example/1".to_owned(),
        media_type: "text/plain".to_owned(),
        name: name.to_owned(),
        size: 1,
    }
}

pub fn rejection(outcome: Result<Body>) -> Rejection {
    match outcome {
        Err(Error::Rejected(rejection)) => rejection,
        other => panic!("not rejected: {other:?}"),
    }
}

/// Runs the future and answers what was logged meanwhile, as text.
pub async fn logged<T>(asking: impl Future<Output = T>) -> (T, String) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let answer = asking.with_subscriber(subscriber).await;
    let bytes = log.0.lock().unwrap().clone();
    (answer, String::from_utf8(bytes).unwrap())
}

/// The fault that a guest commits, as the log names it; the message must have been refused.
pub async fn fault_of(host: PluginHost, wasm: &[u8]) -> String {
    let compiled = compiled(&host, wasm).await;
    let scene = Scene::new(host);
    scene.install(vec![installed(compiled)]);
    let (outcome, log) = logged(scene.send("top secret")).await;

    assert_eq!(rejection(outcome).reason, "moderation_unavailable");
    assert!(!log.contains("secret"), "{log}");
    fault_in(&log)
}

pub fn fault_in(log: &str) -> String {
    let (_, rest) = log.split_once("fault=\"").unwrap_or_else(|| panic!("no fault in: {log}"));
    rest.split('"').next().unwrap().to_owned()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn user(email: &str) -> User {
    User {
        id: UserId::new(),
        email: Email::parse(email).unwrap(),
        name: None,
        picture: None,
        first_seen_at: None,
        last_seen_at: None,
    }
}

fn caller() -> Caller {
    let org = Org {
        id: OrgId::new(),
        slug: OrgSlug::parse("acme").unwrap(),
        name: "Acme".to_owned(),
        suspended: false,
        settings: OrgSettings::default(),
    };
    Caller {
        org: Arc::new(org),
        user: Arc::new(user("alice@a.example")),
        kind: Kind::Customer,
        admin: false,
        roles: [].into(),
        issued_at: OffsetDateTime::UNIX_EPOCH,
        expires_at: OffsetDateTime::UNIX_EPOCH,
    }
}

/// The body to store, or the refusal.
pub fn decided(judgement: Judgement) -> Result<Body> {
    match judgement.outcome {
        Outcome::Reject(rejection) => Err(Error::Rejected(rejection)),
        _ => Ok(judgement.body),
    }
}
