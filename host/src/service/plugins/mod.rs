//! An org's plugins: put in place, and asked about messages. What admins do with them is in
//! [`changes`].

mod backtests;
mod canaries;
mod changes;
mod content_types;
mod entry;
mod events;
mod examination;
mod grants;
mod guests;
mod notify;
mod past;
mod rollback;
mod runs;
mod senders;
mod trials;
mod tryout;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dashmap::DashMap;
use moka::future::Cache;
use serde_json::Value as Json;
use tokio::sync::Mutex;

pub(super) use changes::PLUGIN;
pub use entry::{CanaryEntry, PluginEntry, VersionEntry};

pub use backtests::BacktestCommand;
pub use examination::{Examined, examine, require_config};
pub use guests::Guests;
pub use runs::{RunEntry, RunImport, RunResult, RunVerdict};
pub(super) use trials::Heard;
pub use tryout::made_up_installation;

use self::{
    canaries::{as_canary, beside_active},
    entry::hex,
    grants::granted_hosts,
    senders::Senders,
    trials::Trials,
};
use crate::{
    Error, Result,
    db::{
        Db,
        plugins::{self, PluginRow},
    },
    domain::{Judgement, OrgId, Outcome, PluginId},
    plugin::{
        BeforeSend, CompileError, Compiled, Hook, Hooks, Installation, PluginHost, StandInLimits,
        Threads,
    },
    service::nudges::Nudges,
    settings::Stages as StageSettings,
};

#[derive(Clone)]
pub struct Plugins {
    db: Db,
    host: PluginHost,
    hooks: Hooks,
    /// Native code that this process had made, by the component's SHA-256.
    compiled: Cache<String, Arc<Compiled>>,
    /// The orgs whose plugins are in place.
    ready: Cache<OrgId, ()>,
    /// One reload of an org at a time: an older one must not overwrite a newer.
    reloading: Arc<DashMap<OrgId, Arc<Mutex<()>>>>,
    /// One test of an org at a time.
    testing: Arc<DashMap<OrgId, Arc<Mutex<()>>>>,
    senders: Senders,
    nudges: Nudges,
    stages: Arc<Stages>,
    trials: Trials,
}

/// What versions are tried with before they decide.
pub struct Stages {
    pub guests: Arc<Guests>,
    pub stand_in: StandInLimits,
    pub settings: StageSettings,
}

impl Plugins {
    pub fn new(db: Db, host: PluginHost, hooks: Hooks, stages: Stages) -> Self {
        let compiled =
            Cache::builder().max_capacity(256).time_to_idle(Duration::from_hours(24)).build();
        let ready = Cache::builder().max_capacity(100_000).build();
        let senders = Senders::new(db.clone());
        let trials = Trials::start(&db, &stages);
        Self {
            db,
            host,
            hooks,
            compiled,
            ready,
            reloading: Arc::default(),
            testing: Arc::default(),
            senders,
            nudges: Nudges::default(),
            stages: Arc::new(stages),
            trials,
        }
    }

    /// Makes sure that an org's plugins are asked before its first message passes.
    pub(super) async fn require_ready(&self, org_id: OrgId) -> Result<()> {
        if self.ready.contains_key(&org_id) {
            return Ok(());
        }
        // Boxed, because the future of a miss is large and a miss is rare.
        Box::pin(self.ready.try_get_with(org_id, self.reload(org_id)))
            .await
            .map_err(|error: Arc<Error>| Error::unavailable(error))
    }

    /// Whether an org has a plugin that is asked about messages before they are stored.
    pub(super) async fn judges(&self, org_id: OrgId) -> Result<bool> {
        self.require_ready(org_id).await?;
        let hooks = [Hook::ValidateContent, Hook::BeforeSend];
        let is_asked = hooks.into_iter().any(|hook| self.hooks.asks(org_id, hook));
        Ok(is_asked || self.hooks.is_watched(org_id))
    }

    /// Asks an org's plugins about a message, before it is stored: whether its content is valid,
    /// and then what they make of it.
    pub async fn judge(&self, ask: &BeforeSend<'_>) -> Result<Judgement> {
        if !self.judges(ask.caller.org.id).await? {
            return self
                .hooks
                .judge(ask, 0)
                .await
                .map_err(|unowned| content_types::refuse(ask, unowned));
        }
        let sent = self.senders.count(ask.caller).await?;
        let judgement = self.hooks.judge(ask, sent.load(Ordering::Relaxed)).await;
        let judgement = judgement.map_err(|unowned| content_types::refuse(ask, unowned))?;
        if judgement.steps.iter().any(|step| step.fault.is_some()) {
            self.roll_back_failing(ask.caller.org.id);
        }
        let is_refused = matches!(judgement.outcome, Outcome::Reject(_));
        // A second attempt is about the same message.
        if ask.previous.is_none() && ask.attempt == 1 && !is_refused {
            Senders::add(&sent);
        }
        Ok(judgement)
    }

    /// Takes over what candidates on trial are to be asked about a message that was judged.
    pub(super) fn hear(&self, ask: &BeforeSend<'_>, judgement: &mut Judgement) -> Option<Heard> {
        self.trials.hear(ask, judgement)
    }

    /// Puts in place what another server, or another command, has changed.
    pub async fn refresh(&self, org_id: OrgId) -> Result<()> {
        // One that is being loaded for the first time may have read what is old by now.
        if !self.ready.contains_key(&org_id) && !self.reloading.contains_key(&org_id) {
            return Ok(());
        }
        // Boxed, because it is large as a future.
        let reloaded = Box::pin(self.reload(org_id)).await;
        if reloaded.is_err() {
            // Nothing passes by what may be old: the next message reloads, or waits.
            self.ready.invalidate(&org_id).await;
        }
        reloaded
    }

    /// The same for every org, after notices may have been missed.
    pub async fn refresh_all(&self) -> Result<()> {
        let mut done = Ok(());
        for (org_id, ()) in &self.ready {
            done = self.refresh(*org_id).await.and(done);
        }
        done
    }

    async fn reload(&self, org_id: OrgId) -> Result<()> {
        let turn = self.reloading.entry(org_id).or_default().clone();
        let _turn = turn.lock().await;
        let mut handle = self.db.org(org_id).await?;
        let mut active = Vec::new();
        let rows = plugins::list(&mut handle.conn()).await?;
        let trials = self.list_trials(&mut handle.conn(), &rows).await?;
        for mut row in rows {
            row.canary = beside_active(&row).cloned();
            let canary = row.canary.as_ref().map(|canary| canary.version.clone());
            for sha256 in row.active_version.take().into_iter().chain(canary) {
                let report = plugins::find_report(&mut handle.conn(), row.id, &sha256).await?;
                active.push((row.clone(), sha256, report.unwrap_or_default()));
            }
        }
        handle.done();
        let mut installed = Vec::new();
        for (row, sha256, report) in active {
            let canary = row.canary.clone();
            let decides = self.install(org_id, row, (&sha256, &report)).await?;
            installed.push(match canary {
                Some(canary) if canary.version == sha256 => as_canary(decides, &canary),
                Some(canary) => {
                    Installation { threads: Threads::Others(canary.share()), ..decides }
                }
                None => decides,
            });
        }
        self.hooks.replace(org_id, installed);
        self.put_on_trial(org_id, trials).await;
        Ok(())
    }

    /// A version that cannot be made to run here still takes part: as a plugin that never
    /// answers, so that its org's fault policy decides and nothing slips through.
    async fn install(
        &self,
        org_id: OrgId,
        row: PluginRow,
        (sha256, report): (&[u8], &Json),
    ) -> Result<Installation> {
        let version = hex(sha256);
        let compiled = match self.load(org_id, row.id, sha256).await {
            Ok(compiled) => Some(compiled),
            Err(error) if matches!(*error, Error::Invalid(_) | Error::Internal(_)) => {
                tracing::error!(%error, org.id = %org_id, plugin.name = row.name, plugin.version = version, "plugin cannot run");
                None
            }
            Err(error) => return Err(Error::unavailable(error)),
        };
        Ok(Installation {
            id: row.id,
            name: row.name,
            version,
            compiled,
            hooks: hooks(report),
            content_types: content_types::read(report).await?,
            events: events::events(report),
            granted_hosts: granted_hosts(&row.grants),
            threads: Threads::All,
            config: row.config,
            config_revision: row.config_revision,
            phase: row.phase,
            on_fault: row.on_fault,
            on_content_fault: row.on_content_fault,
        })
    }

    /// A version that runs here; compiled where it has not been.
    async fn load(
        &self,
        org_id: OrgId,
        plugin_id: PluginId,
        sha256: &[u8],
    ) -> Result<Arc<Compiled>, Arc<Error>> {
        let load = async {
            let mut handle = self.db.org(org_id).await?;
            let component = plugins::load_component(&mut handle.conn(), plugin_id, sha256).await?;
            handle.done();
            self.host.compile(&component).await.map(Arc::new).map_err(refusal)
        };
        // Boxed, because the future of a miss is large and a miss is rare.
        Box::pin(self.compiled.try_get_with_by_ref(&hex(sha256), load)).await
    }
}

/// Where a version takes part, as its check found.
fn hooks(report: &Json) -> Vec<Hook> {
    let names = report["hooks"].as_array().map_or(&[][..], Vec::as_slice);
    names.iter().filter_map(|name| Hook::parse(name.as_str()?)).collect()
}

fn refusal(error: CompileError) -> Error {
    match error {
        CompileError::Refused(why) => Error::invalid("plugin", format!("is refused: {why}")),
        CompileError::TooMuch(what) => Error::invalid(
            "plugin",
            format!("is refused: it takes more {what} to compile than this server gives"),
        ),
        CompileError::Broken(source) => Error::internal(source),
    }
}
