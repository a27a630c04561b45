//! Plugins that do not decide, or no more: whoever switches one off because it fails still reads
//! why, and so does whoever cannot switch one on.

use std::{sync::Arc, time::Instant};

use super::{Hooks, Installed, Live, OrgPlugins, Post};
use crate::{
    domain::{OrgId, PluginId, Step},
    plugin::{
        Hook,
        fault::FaultLog,
        lines::{GuestLog, LogPage},
        meter::Meter,
    },
};

/// How a plugin fared while it decided, and what it wrote, also when it was only asked about its
/// configuration.
pub(super) struct Former {
    pub(super) id: PluginId,
    /// `None`: it has never been asked about a message.
    name: Option<String>,
    pub(super) log: Arc<GuestLog>,
    uses_http: bool,
    posts: Vec<Post>,
}

impl Former {
    /// Of an org; the oldest makes room.
    const MOST: usize = 8;

    fn of(plugin: &Installed) -> Self {
        let posts = plugin.posts.iter().map(|post| Post {
            hook: post.hook,
            faults: FaultLog::default(),
            meter: Arc::clone(&post.meter),
            breaker: Arc::clone(&post.breaker),
        });
        Self {
            id: plugin.id,
            name: Some(plugin.callee.name.clone()),
            log: Arc::clone(&plugin.callee.log),
            uses_http: plugin.uses_http,
            posts: posts.collect(),
        }
    }

    /// Those that decide no more, once `now` does what `before` did.
    pub(super) fn after(
        known: &[Arc<Self>],
        before: &[Installed],
        now: &[Installed],
    ) -> Arc<[Arc<Self>]> {
        let gone = |id: PluginId| now.iter().all(|plugin| plugin.id != id);
        let known = known.iter().filter(|former| gone(former.id)).cloned();
        let left = before.iter().filter(|plugin| gone(plugin.id)).map(Self::of).map(Arc::new);
        Self::newest(known.chain(left))
    }

    fn newest(all: impl Iterator<Item = Arc<Self>>) -> Arc<[Arc<Self>]> {
        let all: Vec<_> = all.collect();
        all[all.len().saturating_sub(Self::MOST)..].into()
    }

    pub(super) fn meter(&self, hook: Hook) -> Option<&Arc<Meter>> {
        self.posts.iter().find(|post| post.hook == hook).map(|post| &post.meter)
    }
}

impl OrgPlugins {
    fn former(&self, plugin: PluginId) -> Option<&Former> {
        self.former.iter().find(|former| former.id == plugin).map(AsRef::as_ref)
    }

    fn log(&self, plugin: PluginId) -> Option<&Arc<GuestLog>> {
        let installed = self.installed.iter().find(|installed| installed.id == plugin);
        let log = installed.map(|installed| &installed.callee.log);
        log.or(self.former(plugin).map(|former| &former.log))
    }

    /// Of the plugin that took this step, also where another version of it decides by now, or
    /// none.
    pub(super) fn log_of_step(&self, step: &Step) -> Option<&Arc<GuestLog>> {
        let named = || self.installed.iter().filter(|it| it.callee.name == step.plugin);
        let installed = named().find(|it| it.callee.version == step.version).or(named().next());
        let former = || self.former.iter().find(|it| it.name.as_ref() == Some(&step.plugin));
        installed.map(|it| &it.callee.log).or_else(|| former().map(|it| &it.log))
    }
}

impl Hooks {
    /// How a plugin fares at each hook, or fared while it decided.
    pub fn read(&self, org: OrgId, plugin: PluginId) -> Vec<Live> {
        let Some(plugins) = self.plugins_of(org) else { return Vec::new() };
        let installed = plugins.installed.iter().find(|installed| installed.id == plugin);
        let installed = installed.map(|known| (&known.posts, known.uses_http));
        let former = plugins.former(plugin).map(|former| (&former.posts, former.uses_http));
        let Some((posts, uses_http)) = installed.or(former) else { return Vec::new() };
        let limits = &self.host.0.limits;
        let live = posts.iter().map(|post| Live {
            hook: post.hook.as_str(),
            counters: post.meter.read(limits.patience(post.hook, uses_http), limits.memory_bytes),
            breaker: post.breaker.read(Instant::now()),
        });
        live.collect()
    }

    /// The lines of a plugin's guests after that number.
    pub fn read_log(&self, org: OrgId, plugin: PluginId, after: u64, most: usize) -> LogPage {
        let plugins = self.plugins_of(org);
        let log = plugins.as_ref().and_then(|plugins| plugins.log(plugin));
        log.map(|log| log.page(after, most)).unwrap_or_default()
    }

    /// The log that admins read of this plugin; a new one where there is none.
    pub(in crate::plugin) fn log_of(&self, org: OrgId, plugin: PluginId) -> Arc<GuestLog> {
        let mut plugins = self.place_of(org);
        if let Some(log) = plugins.log(plugin) {
            return Arc::clone(log);
        }
        let limits = &self.host.0.limits;
        let log = Arc::new(GuestLog::new(limits.log_kept_lines, limits.log_kept_bytes));
        let (name, uses_http, posts) = (None, false, Vec::new());
        let unheard = Former { id: plugin, name, log: Arc::clone(&log), uses_http, posts };
        let known = plugins.former.iter().cloned();
        let former = Former::newest(known.chain([Arc::new(unheard)]));
        plugins.former = former;
        log
    }
}
