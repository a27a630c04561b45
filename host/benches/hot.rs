//! What a message costs in the pieces that each one passes: the token check, the hook call, the
//! build of the writer's batch, the encoding of `newMessage`.
//!
//! `cargo bench` runs it; `make bench` does so too and tells the medians. `make guests` builds the
//! guests that it needs.

use std::{
    hint::black_box,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use criterion::{Criterion, Throughput};
use duologue::{
    app::{Database, DatabaseChoice, keep_freed_memory},
    auth::{KeySet, MintClaims, Verifier, VerifierSettings, mint},
    db::{
        batch::{Fate, NewMessage, Tables},
        keys, orgs,
    },
    domain::{
        Algorithm, Body, BodyLimits, Caller, ContentType, Draft, Email, KeyId, KeyKind, Kind,
        Message, MessageId, MessageState, Metadata, OnFault, Org, OrgId, OrgKey, OrgSettings,
        OrgSlug, Phase, PluginId, ThreadId, User, UserId,
    },
    plugin::{BeforeSend, ContentTypes, Door, Hooks, Installation, Limits, PluginHost, Threads},
    service::{Identity, People, Registry},
    settings::Settings,
    wire::MessageView,
};
use mimalloc::MiMalloc;
use serde_json::{json, value::to_raw_value};
use time::OffsetDateTime;
use tokio::runtime::Runtime;

/// The server's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// 233 bytes in which no plugin here finds anything.
const TEXT: &str = "The ferry leaves at nine from the northern pier, so let us meet a little \
    before that at the kiosk beside the stairs; bring the long coat, since the wind on the upper \
    deck is cold even in June, and something small to eat on the way.";

const SLUG: &str = "acme";

fn main() {
    keep_freed_memory();
    let runtime = Runtime::new().expect("this machine can start threads");
    let _entered = runtime.enter();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .without_plots()
        .configure_from_args();
    token_check(&mut criterion, &runtime);
    hook_call(&mut criterion, &runtime);
    batch_build(&mut criterion);
    encoding(&mut criterion);
    criterion.final_summary();
}

/// `uncached`: the signature, the times and the claims. `cached`: all that a request pays whose
/// token was seen before.
fn token_check(criterion: &mut Criterion, runtime: &Runtime) {
    let directory = Scratch::new();
    let settings = Settings::parse(None).expect("the defaults are valid");
    let choice = DatabaseChoice::Embedded(Some(directory.0.clone()));
    let database = runtime
        .block_on(Database::serve(&choice, &settings))
        .expect("a Postgres can be started here");
    let key = secret();
    let token = mint(&key, &claims(OffsetDateTime::now_utc())).expect("the key is a secret");

    let mut group = criterion.benchmark_group("token check");
    let verifier = Verifier::new(VerifierSettings::default());
    let set = KeySet::new(vec![key.clone()]);
    group.bench_function("uncached", |bencher| {
        bencher.iter(|| {
            let now = OffsetDateTime::now_utc();
            runtime.block_on(verifier.verify(&token, &set, now)).expect("the token is good")
        });
    });

    let db = &database.db;
    runtime.block_on(async {
        let created = orgs::insert(db, key.org_id, SLUG, SLUG, &json!({})).await;
        created.expect("the org is new");
        let mut handle = db.org(key.org_id).await.expect("the database answers");
        keys::insert(&mut handle.conn(), &key).await.expect("the key is new");
    });
    let registry = Registry::new(db.clone(), &settings.org).expect("the defaults are valid");
    let identity = Identity::new(db.clone(), registry, People::new(db.clone()), verifier);
    group.bench_function("cached", |bencher| {
        let authenticate = || runtime.block_on(identity.authenticate(Some(SLUG), &token));
        bencher.iter(|| authenticate().expect("the token is good"));
    });
    group.finish();
}

/// From the draft to the judgement, with a fresh instance each time.
fn hook_call(criterion: &mut Criterion, runtime: &Runtime) {
    const RUST: &str = "plugins/target/wasm32-unknown-unknown/release";
    // No guest is to run out of time because the machine is busy.
    let patience = Duration::from_secs(10);
    let limits = Limits {
        call_timeout: patience,
        call_cpu: patience,
        chain_timeout: patience,
        wait_for_instance: patience,
        ..Limits::default()
    };
    let compiler = PathBuf::from(env!("CARGO_BIN_EXE_duologue"));
    let host = PluginHost::new(limits, Some(compiler)).expect("plugins can run here");
    let scene = Scene::new(Hooks::new(host.clone()));
    let mut group = criterion.benchmark_group("hook call");
    group.bench_function("no plugin", |bencher| {
        bencher.iter(|| runtime.block_on(scene.judge()));
    });

    let guests = [
        ("rust, link guard", format!("{RUST}/link-guard.wasm"), ("allow", "example.com")),
        ("rust, word filter", format!("{RUST}/word-filter.wasm"), ("words", "darn, heck")),
        ("javascript", "target/guests/js.wasm".to_owned(), ("words", "darn, heck")),
        ("python", "target/guests/python.wasm".to_owned(), ("words", "darn, heck")),
    ];
    for (name, path, config) in guests {
        let scene = Scene::new(scene.hooks.clone());
        let plugin = runtime.block_on(installation(&host, &built(&path), config));
        scene.hooks.replace(scene.caller.org.id, vec![plugin]);
        group.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(scene.judge()));
        });
    }
    group.finish();
}

/// What the writer does with waiting messages before Postgres has them.
fn batch_build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch build");
    for size in [1, 64, 256] {
        let org_id = OrgId::new();
        let batch: Vec<NewMessage> = (0..size).map(|_| new_message(org_id)).collect();
        group.throughput(Throughput::Elements(size));
        group.bench_function(size.to_string(), |bencher| {
            bencher.iter(|| {
                // The drafts stay with those who wait.
                let rows = black_box(&batch).clone();
                black_box(Tables::of(&rows));
            });
        });
    }
    group.finish();
}

/// What all sockets of a recipient share.
fn encoding(criterion: &mut Criterion) {
    let (sender, recipient) = (user("alice@a.example"), user("bob@b.example"));
    let message = Message {
        id: MessageId::new(),
        thread_id: ThreadId::of(sender.id, recipient.id),
        sender_id: sender.id,
        recipient_id: recipient.id,
        client_id: Some("0f9ab2c4-1".to_owned()),
        body: body(),
        reply_to: None,
        seq: Some(41),
        state: MessageState::Sent,
        shadowed: false,
        refused_reason: None,
        pending_revision: None,
        created_at: OffsetDateTime::now_utc(),
        edited_at: None,
        deleted_at: None,
        read_at: None,
        hidden_for_sender: false,
        hidden_for_recipient: false,
    };
    criterion.bench_function("encode newMessage", |bencher| {
        bencher.iter(|| {
            let view = MessageView::new(black_box(&message), &sender, &recipient);
            to_raw_value(&view.received(None).after(40)).expect("a message has a JSON form")
        });
    });
}

/// An org, two people and a message between them.
struct Scene {
    hooks: Hooks,
    caller: Caller,
    to: User,
    body: Body,
    limits: BodyLimits,
}

impl Scene {
    fn new(hooks: Hooks) -> Self {
        let org = Org {
            id: OrgId::new(),
            slug: OrgSlug::parse(SLUG).expect("a good name"),
            name: SLUG.to_owned(),
            suspended: false,
            settings: OrgSettings::default(),
        };
        let limits = BodyLimits::from(&org.settings);
        let caller = Caller {
            org: Arc::new(org),
            user: Arc::new(user("alice@a.example")),
            kind: Kind::Customer,
            admin: false,
            roles: [].into(),
            issued_at: OffsetDateTime::UNIX_EPOCH,
            expires_at: OffsetDateTime::UNIX_EPOCH,
        };
        Self { hooks, caller, to: user("bob@b.example"), body: body(), limits }
    }

    async fn judge(&self) {
        let ask = BeforeSend {
            caller: &self.caller,
            to: &self.to,
            body: &self.body,
            reply_to: None,
            previous: None,
            door: Door::Rest,
            attempt: 1,
            now: OffsetDateTime::UNIX_EPOCH,
            limits: &self.limits,
        };
        let judgement = self.hooks.judge(&ask, 0).await.expect("text needs no owner");
        assert!(judgement.steps.iter().all(|step| step.fault.is_none()), "{:?}", judgement.steps);
        black_box(judgement);
    }
}

async fn installation(host: &PluginHost, wasm: &[u8], (key, value): (&str, &str)) -> Installation {
    let compiled = Arc::new(host.compile(wasm).await.expect("the guest is a plugin"));
    Installation {
        id: PluginId::new(),
        name: "guest".to_owned(),
        version: compiled.report.sha256.clone(),
        hooks: compiled.report.hooks(),
        events: Vec::new(),
        compiled: Some(compiled),
        config: [(key.to_owned(), value.to_owned())].into(),
        config_revision: 1,
        phase: Phase::Transform,
        on_fault: OnFault::Reject,
        on_content_fault: OnFault::Reject,
        content_types: ContentTypes::default(),
        granted_hosts: Vec::new(),
        threads: Threads::All,
    }
}

fn built(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}: `make guests`"))
}

fn new_message(org_id: OrgId) -> NewMessage {
    let draft = Draft {
        sender_id: UserId::new(),
        recipient_id: UserId::new(),
        body: body(),
        reply_to: None,
        client_id: None,
        request_hash: [7; 32],
    };
    NewMessage {
        org_id,
        id: MessageId::new(),
        draft,
        fate: Fate::Sent,
        decision: None,
        news: None,
        asks_notify: false,
    }
}

fn body() -> Body {
    Body {
        content: TEXT.to_owned(),
        content_type: ContentType::Text,
        attachments: Vec::new(),
        metadata: Metadata::new(),
        preview: None,
    }
}

fn user(email: &str) -> User {
    User {
        id: UserId::new(),
        email: Email::parse(email).expect("a good address"),
        name: None,
        picture: None,
        first_seen_at: None,
        last_seen_at: None,
    }
}

fn secret() -> OrgKey {
    let material = b"a secret that is only ever used in this benchmark".to_vec();
    OrgKey {
        id: KeyId::new(),
        org_id: OrgId::new(),
        kind: KeyKind::Secret,
        algorithm: Some(Algorithm::HS256),
        kid: None,
        fingerprint: [7; 32],
        material,
        issuer: None,
        audience: None,
        may_admin: false,
        not_before: None,
        not_after: None,
        retired_at: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn claims(issued_at: OffsetDateTime) -> MintClaims {
    MintClaims {
        email: "alice@a.example".to_owned(),
        subject: Some("alice".to_owned()),
        org: OrgSlug::parse(SLUG).ok(),
        name: None,
        zoneinfo: None,
        kind: Kind::Customer,
        admin: false,
        issued_at,
        expires_at: issued_at + Duration::from_hours(1),
    }
}

/// A directory that the database's user can enter, gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("duologue-hot-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
