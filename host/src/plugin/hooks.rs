use std::{collections::BTreeMap, sync::Arc, time::Instant};

use dashmap::DashMap;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

use super::{
    Fault, PluginHost, answer::Answer, call::Turn, compile::Compiled, fault::FaultLog,
    store::Callee,
};
use crate::domain::{
    Body, BodyLimits, Caller, Email, Judgement, MessageId, OnFault, OrgId, Outcome, PluginId,
    Rejection,
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

struct Installed {
    id: PluginId,
    compiled: Option<Arc<Compiled>>,
    callee: Arc<Callee>,
    on_fault: OnFault,
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

    /// Asks each plugin in order; each sees what the one before it left, and the first that
    /// rejects ends the round.
    pub async fn before_send(&self, ask: &BeforeSend<'_>) -> Judgement {
        let mut judgement = Judgement::unasked(ask.body.clone());
        let Some(plugins) = self.plugins_of(ask.caller.org.id) else {
            return judgement;
        };
        let turn = Turn {
            host: &self.host,
            share: &plugins.share,
            ends: Instant::now() + self.host.0.limits.chain_timeout,
        };
        for plugin in plugins.installed.iter() {
            let callee = Arc::clone(&plugin.callee);
            let body = &judgement.body;
            let answer = match &plugin.compiled {
                // Boxed, so that messages which no plugin judges do not carry it along.
                Some(compiled) => Box::pin(turn.before_send(compiled, callee, ask, body)).await,
                None => Err(Fault::Unloadable),
            };
            let rejection = match answer {
                Ok(Answer::Pass) => None,
                Ok(Answer::Modify(patched)) => {
                    judgement.body = patched;
                    None
                }
                Ok(Answer::Reject(rejection)) => Some(rejection),
                Err(fault) => plugin.without_answer(&fault),
            };
            if let Some(rejection) = rejection {
                judgement.outcome = Outcome::Reject(rejection);
                break;
            }
        }
        judgement
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
            on_fault: plugin.on_fault,
            faults: FaultLog::default(),
        }
    }

    /// What the org has chosen for a message about which its plugin says nothing.
    fn without_answer(&self, fault: &Fault) -> Option<Rejection> {
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
        match self.on_fault {
            OnFault::Allow => None,
            OnFault::Reject => Some(moderation_unavailable()),
        }
    }
}

/// Says nothing of the plugin: that is the org's affair.
fn moderation_unavailable() -> Rejection {
    Rejection {
        reason: "moderation_unavailable".to_owned(),
        user_message: Some(
            "Your message could not be checked just now. Please try again.".to_owned(),
        ),
        details: None,
        retry_after_ms: Some(5000),
    }
}
