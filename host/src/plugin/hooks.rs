mod counting;
mod events;
mod former;
mod stages;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use dashmap::{DashMap, mapref::one::RefMut};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

pub use events::{KindsError, Untold};
use former::Former;
pub use stages::{Share, Threads, Watch};

use super::{
    Fault, Limits, PluginHost,
    breaker::{Breaker, BreakerState},
    call::{Called, Turn},
    catalog::Hook,
    chain::Chain,
    compile::Compiled,
    content::ContentTypes,
    fault::FaultLog,
    lines::GuestLog,
    meter::{Counters, Meter},
    services::HostServices,
    store::Callee,
};
use crate::domain::{
    Body, BodyLimits, Caller, ConfigRecord, ContentType, EventKind, HostPattern, Judgement,
    MessageId, OnFault, OrgId, Phase, PluginId, User, UserId,
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
    /// Where it takes part.
    pub hooks: Vec<Hook>,
    /// What it wants to hear of.
    pub events: Vec<EventKind>,
    /// What the guest reads by `config.get`. Never logged.
    pub config: BTreeMap<String, String>,
    /// Counts the changes of `config`.
    pub config_revision: i64,
    pub phase: Phase,
    pub on_fault: OnFault,
    /// The same for content that it is to validate.
    pub on_content_fault: OnFault,
    /// Those that it validates.
    pub content_types: ContentTypes,
    /// Where its guests may send requests.
    pub granted_hosts: Vec<HostPattern>,
    /// Of which threads' messages it is asked.
    pub threads: Threads,
}

/// A way into the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Rest,
    Socket,
    /// A plugin sends it.
    Plugin,
}

/// What plugins are asked about a new message or an edit, before it is stored.
#[derive(Clone, Copy)]
pub struct BeforeSend<'a> {
    pub caller: &'a Caller,
    pub to: &'a User,
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
    pub(super) services: Option<Arc<dyn HostServices>>,
    orgs: Arc<DashMap<OrgId, OrgPlugins>>,
}

/// Cheap to clone: a call keeps the one it began with.
#[derive(Clone)]
pub(super) struct OrgPlugins {
    installed: Arc<[Installed]>,
    former: Arc<[Arc<Former>]>,
    /// In the order of their places.
    watches: Arc<[Watch]>,
    /// Outlives a replacement, so that calls in flight go on to count.
    pub(super) share: Arc<Semaphore>,
}

pub(super) struct Installed {
    pub(super) id: PluginId,
    compiled: Option<Arc<Compiled>>,
    pub(super) callee: Arc<Callee>,
    pub(super) config_revision: i64,
    /// For receipts.
    config_record: Arc<ConfigRecord>,
    pub(super) phase: Phase,
    pub(super) on_fault: OnFault,
    pub(super) on_content_fault: OnFault,
    pub(super) content_types: ContentTypes,
    pub(super) granted_hosts: Arc<[HostPattern]>,
    /// It imports `http` and was granted hosts.
    uses_http: bool,
    posts: Vec<Post>,
    events: Vec<EventKind>,
    threads: Threads,
}

/// How a plugin fares at one of its hooks.
struct Post {
    hook: Hook,
    faults: FaultLog,
    meter: Arc<Meter>,
    breaker: Arc<Breaker>,
}

/// How a plugin fares at a hook, in this server and since it put the plugin in place.
#[derive(Clone, Debug, Serialize)]
pub struct Live {
    pub hook: &'static str,
    #[serde(flatten)]
    pub counters: Counters,
    pub breaker: BreakerState,
}

/// No active plugin of the org owns the content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unowned;

impl Unowned {
    fn unless_built_in(content_type: &ContentType) -> Result<(), Self> {
        if matches!(content_type, ContentType::Namespaced(_)) { Err(Self) } else { Ok(()) }
    }
}

impl Hooks {
    pub fn new(host: PluginHost) -> Self {
        Self { host, services: None, orgs: Arc::default() }
    }

    /// The same, with somebody to answer what guests ask.
    #[must_use]
    pub fn served_by(mut self, services: Arc<dyn HostServices>) -> Self {
        self.services = Some(services);
        self
    }

    pub(super) fn host(&self) -> &PluginHost {
        &self.host
    }

    /// What is asked from the next message on, in this order. Calls in flight end with what they
    /// began with.
    pub fn replace(&self, org: OrgId, installed: Vec<Installation>) {
        let limits = &self.host.0.limits;
        let mut plugins = self.place_of(org);
        let before = Arc::clone(&plugins.installed);
        let mut now: Vec<Installed> = Vec::with_capacity(installed.len());
        for plugin in installed {
            let same = before.iter().find(|known| known.id == plugin.id);
            // A canary's lines stand with those of the version beside it.
            let log = now.iter().chain(&*before).find(|known| known.id == plugin.log_id());
            let log = log.map(|known| Arc::clone(&known.callee.log));
            let former = plugins.former.iter().find(|former| former.id == plugin.id);
            now.push(Installed::new(org, plugin, (same, log, former), limits));
        }
        plugins.former = Former::after(&plugins.former, &before, &now);
        plugins.installed = now.into();
    }

    fn place_of(&self, org: OrgId) -> RefMut<'_, OrgId, OrgPlugins> {
        self.orgs.entry(org).or_insert_with(|| OrgPlugins {
            installed: Arc::default(),
            former: Arc::default(),
            watches: Arc::default(),
            share: Arc::new(Semaphore::new(self.host.0.limits.instances_per_org)),
        })
    }

    /// Whether an org has a plugin that takes part there.
    pub fn asks(&self, org: OrgId, hook: Hook) -> bool {
        self.orgs.get(&org).is_some_and(|plugins| plugins.at(hook).next().is_some())
    }

    /// Asks an org's plugins about a message, whatever its type: those who judge its content's
    /// type, then all that take part in `before-send`.
    ///
    /// `messages_24h`: new messages of the caller's in the last 24 hours, this one not among them.
    pub async fn judge(
        &self,
        ask: &BeforeSend<'_>,
        messages_24h: u32,
    ) -> Result<Judgement, Unowned> {
        let Some(plugins) = self.plugins_of(ask.caller.org.id) else {
            return Unowned::unless_built_in(&ask.body.content_type)
                .map(|()| Judgement::unasked(ask.body.clone()));
        };
        // Of those who are asked: an owner that goes meanwhile is asked still.
        if !plugins.own(ask) {
            Unowned::unless_built_in(&ask.body.content_type)?;
        }
        Ok(self.ask_all(&plugins, ask, messages_24h).await)
    }

    async fn ask_all(
        &self,
        plugins: &OrgPlugins,
        ask: &BeforeSend<'_>,
        messages_24h: u32,
    ) -> Judgement {
        let chain = Chain {
            plugins,
            turn: Turn {
                host: &self.host,
                share: &plugins.share,
                ends: Instant::now() + plugins.patience(&self.host.0.limits),
            },
            services: self.services.as_ref(),
            ask,
            messages_24h,
        };
        chain.judge().await
    }

    /// The versions that began to be spared since this was last asked, for faults of enough
    /// senders that another version may take over.
    pub fn take_opened(&self, org: OrgId) -> Vec<(PluginId, String)> {
        let plugins = self.plugins_of(org);
        let plugins = plugins.as_ref().map_or(&[][..], |plugins| &plugins.installed);
        // Each hook's note is taken, so that none is left for later.
        let opened = plugins.iter().filter(|plugin| {
            plugin.posts.iter().filter(|post| post.breaker.take_opened()).count() > 0
        });
        opened.map(|plugin| (plugin.id, plugin.callee.version.clone())).collect()
    }

    pub(super) fn plugins_of(&self, org: OrgId) -> Option<OrgPlugins> {
        // Cloned, so that no lock is held while guests run.
        self.orgs.get(&org).map(|plugins| plugins.clone())
    }
}

impl OrgPlugins {
    /// Those that take part there, in the order in which they are asked.
    pub(super) fn at(&self, hook: Hook) -> impl Iterator<Item = &Installed> {
        self.installed.iter().filter(move |plugin| plugin.post(hook).is_some())
    }

    /// Whether one of those that are asked owns a draft's type.
    fn own(&self, ask: &BeforeSend<'_>) -> bool {
        let content_type = &ask.body.content_type;
        let rules = |plugin: &Installed| {
            plugin.content_types.find(content_type).is_some() && plugin.takes(ask)
        };
        matches!(content_type, ContentType::Namespaced(_))
            && self.at(Hook::ValidateContent).any(rules)
    }

    /// How long all of them together may take over one message.
    fn patience(&self, limits: &Limits) -> Duration {
        let uses_http = self.installed.iter().any(|plugin| plugin.uses_http);
        if uses_http { limits.http_chain_timeout } else { limits.chain_timeout }
    }
}

impl Installed {
    /// What was counted so far goes on to count; a new version or configuration has not failed yet.
    fn new(
        org: OrgId,
        plugin: Installation,
        (before, log, former): (Option<&Self>, Option<Arc<GuestLog>>, Option<&Arc<Former>>),
        limits: &Limits,
    ) -> Self {
        let unchanged = before.filter(|before| {
            before.callee.version == plugin.version
                && before.config_revision == plugin.config_revision
        });
        let log = log.or(former.map(|former| Arc::clone(&former.log))).unwrap_or_else(|| {
            Arc::new(GuestLog::new(limits.log_kept_lines, limits.log_kept_bytes))
        });
        let posts = plugin.hooks.iter().map(|hook| {
            let counted = before.and_then(|before| before.post(*hook)).map(|post| &post.meter);
            let counted = counted.or(former.and_then(|former| former.meter(*hook)));
            let spared = unchanged.and_then(|before| before.post(*hook));
            Post {
                hook: *hook,
                faults: FaultLog::default(),
                meter: counted.cloned().unwrap_or_default(),
                breaker: spared.map_or_else(
                    || Arc::new(Breaker::new(limits.breaker.clone())),
                    |post| Arc::clone(&post.breaker),
                ),
            }
        });
        let config_record = Arc::new(ConfigRecord::new(&plugin.config));
        let callee = Callee {
            log,
            org: org.to_string(),
            name: plugin.name,
            version: plugin.version,
            config: plugin.config,
        };
        let imports = plugin.compiled.iter().flat_map(|compiled| &compiled.report.imports);
        let imports_http = imports.into_iter().any(|import| import == "http");
        Self {
            id: plugin.id,
            uses_http: imports_http && !plugin.granted_hosts.is_empty(),
            granted_hosts: plugin.granted_hosts.into(),
            posts: posts.collect(),
            events: plugin.events,
            compiled: plugin.compiled,
            callee: Arc::new(callee),
            config_revision: plugin.config_revision,
            config_record,
            phase: plugin.phase,
            on_fault: plugin.on_fault,
            on_content_fault: plugin.on_content_fault,
            content_types: plugin.content_types,
            threads: plugin.threads,
        }
    }

    /// `None`: it does not take part there.
    fn post(&self, hook: Hook) -> Option<&Post> {
        self.posts.iter().find(|post| post.hook == hook)
    }

    /// How long one call may take.
    pub(super) fn patience(&self, hook: Hook, limits: &Limits) -> Duration {
        limits.patience(hook, self.uses_http)
    }

    /// Calls a guest, unless it is being spared. `subject` is whose doing the call is: faults count
    /// by them.
    pub(super) async fn ask<T>(
        &self,
        hook: Hook,
        subject: UserId,
        call: impl AsyncFnOnce(&Compiled) -> Called<T>,
    ) -> Called<T> {
        let (Some(compiled), Some(post)) = (&self.compiled, self.post(hook)) else {
            return Called::never(Fault::Unloadable, Duration::ZERO);
        };
        let Some(pass) = post.breaker.admit(subject, Instant::now()) else {
            return Called::never(Fault::BreakerOpen, Duration::ZERO);
        };
        let mut called = call(compiled).await;
        if let Some(run) = &mut called.run {
            run.config = Some(Arc::clone(&self.config_record));
        }
        let own_fault = called.outcome.as_ref().is_err_and(Fault::is_its_own);
        if called.began && (called.outcome.is_ok() || own_fault) {
            pass.settle(own_fault, Instant::now());
        }
        called
    }
}
