use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::DashMap;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::{
    Fault, PluginHost,
    answer::Decision,
    call::{Called, Question, Turn},
    chain::Round,
    compile::Compiled,
    fault::FaultLog,
    store::Callee,
};
use crate::domain::{
    Body, BodyLimits, Caller, Email, Judgement, MessageId, OnFault, OrgId, Phase, PluginId,
};

/// A plugin as an org has it, and the terms on which it takes part.
pub struct Installation {
    pub id: PluginId,
    pub name: String,
    /// SHA-256 of the component, in hex.
    pub version: String,
    /// `None`: it cannot be made to run here. It still takes part, as one that never answers,
    /// so that nothing slips through.
    pub compiled: Option<Arc<Compiled>>,
    /// What the guest reads by `config.get`. Never logged.
    pub config: BTreeMap<String, String>,
    /// Counts the changes of `config`.
    pub config_revision: i64,
    pub phase: Phase,
    pub on_fault: OnFault,
}

/// A way into the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Rest,
    Socket,
}

/// What plugins are asked about a new message or an edit, before it is stored.
#[derive(Clone, Copy)]
pub struct BeforeSend<'a> {
    pub caller: &'a Caller,
    pub to: &'a Email,
    pub body: &'a Body,
    pub reply_to: Option<MessageId>,
    /// The stored body, where this is an edit.
    pub previous: Option<&'a Body>,
    pub door: Door,
    /// 1 for the first time, more for a retry by the server.
    pub attempt: u32,
    pub now: OffsetDateTime,
    /// What a patched body is held to.
    pub limits: &'a BodyLimits,
}

/// The points at which plugins take part. A clone is the same.
#[derive(Clone)]
pub struct Hooks {
    host: PluginHost,
    orgs: Arc<DashMap<OrgId, OrgPlugins>>,
}

/// Cheap to clone: a call keeps the one it began with.
#[derive(Clone)]
struct OrgPlugins {
    installed: Arc<[Installed]>,
    /// Outlives a replacement, so that calls in flight go on to count.
    share: Arc<Semaphore>,
}

pub(super) struct Installed {
    id: PluginId,
    compiled: Option<Arc<Compiled>>,
    pub(super) callee: Arc<Callee>,
    pub(super) config_revision: i64,
    phase: Phase,
    pub(super) on_fault: OnFault,
    faults: FaultLog,
}

impl Hooks {
    pub fn new(host: PluginHost) -> Self {
        Self { host, orgs: Arc::default() }
    }

    /// What is asked from the next message on, in this order. Calls in flight end with what they
    /// began with.
    pub fn replace(&self, org: OrgId, installed: Vec<Installation>) {
        let installed = installed.into_iter().map(|plugin| Installed::new(org, plugin)).collect();
        let mut plugins = self.orgs.entry(org).or_insert_with(|| OrgPlugins {
            installed: Arc::default(),
            share: Arc::new(Semaphore::new(self.host.0.limits.instances_per_org)),
        });
        plugins.installed = installed;
    }

    pub fn has_any(&self, org: OrgId) -> bool {
        self.orgs.get(&org).is_some_and(|plugins| !plugins.installed.is_empty())
    }

    /// Asks each plugin in order: transforms, each of which sees what the one before it left, then
    /// guards. A rejection ends the round; of all else the strictest counts.
    ///
    /// `messages_24h`: new messages of the caller's in the last 24 hours, this one not among them.
    pub async fn before_send(&self, ask: &BeforeSend<'_>, messages_24h: u32) -> Judgement {
        let Some(plugins) = self.plugins_of(ask.caller.org.id) else {
            return Judgement::unasked(ask.body.clone());
        };
        let turn = Turn {
            host: &self.host,
            share: &plugins.share,
            ends: Instant::now() + self.host.0.limits.chain_timeout,
        };
        let mut round = Round::new(ask.body.clone());
        for plugin in plugins.installed.iter() {
            let phase = plugin.phase;
            let question = Question { ask, messages_24h, body: round.body(), phase };
            // Boxed, so that messages which no plugin judges do not carry it along.
            let called = Box::pin(plugin.before_send(&turn, question)).await;
            if round.take(plugin, called).is_break() {
                break;
            }
        }
        round.into_judgement()
    }

    fn plugins_of(&self, org: OrgId) -> Option<OrgPlugins> {
        // Cloned, so that no lock is held while guests run.
        self.orgs.get(&org).map(|plugins| plugins.clone())
    }
}

impl Installed {
    fn new(org: OrgId, plugin: Installation) -> Self {
        let callee = Callee {
            org: org.to_string(),
            name: plugin.name,
            version: plugin.version,
            config: plugin.config,
        };
        Self {
            id: plugin.id,
            compiled: plugin.compiled,
            callee: Arc::new(callee),
            config_revision: plugin.config_revision,
            phase: plugin.phase,
            on_fault: plugin.on_fault,
            faults: FaultLog::default(),
        }
    }

    async fn before_send(&self, turn: &Turn<'_>, question: Question<'_>) -> Called<Decision> {
        let called = match &self.compiled {
            Some(compiled) => turn.before_send(compiled, Arc::clone(&self.callee), question).await,
            None => Called::never(Fault::Unloadable, Duration::ZERO),
        };
        if let Err(fault) = &called.outcome {
            self.warn(fault);
        }
        called
    }

    fn warn(&self, fault: &Fault) {
        if let Some(skipped) = self.faults.admit(Instant::now()) {
            tracing::warn!(
                org.id = %self.callee.org,
                plugin.id = %self.id,
                plugin.name = %self.callee.name,
                plugin.version = %self.callee.version,
                fault = fault.as_str(),
                cause = %fault,
                skipped,
                "plugin gave no answer"
            );
        }
    }
}
