//! Plugins that decide no more: whoever switches one off because it fails still reads why.

use std::{sync::Arc, time::Instant};

use super::{Installed, Live, Post};
use crate::{
    domain::PluginId,
    plugin::{Hook, Limits, fault::FaultLog, lines::GuestLog, meter::Meter},
};

/// How a plugin fared, and what it wrote, while it decided.
pub(super) struct Former {
    pub(super) id: PluginId,
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
        let all: Vec<_> = known.chain(left).collect();
        all[all.len().saturating_sub(Self::MOST)..].into()
    }

    pub(super) fn meter(&self, hook: Hook) -> Option<&Arc<Meter>> {
        self.posts.iter().find(|post| post.hook == hook).map(|post| &post.meter)
    }

    pub(super) fn read(&self, limits: &Limits) -> Vec<Live> {
        read(&self.posts, self.uses_http, limits)
    }
}

/// How a plugin fares at each hook.
pub(super) fn read(posts: &[Post], uses_http: bool, limits: &Limits) -> Vec<Live> {
    let live = posts.iter().map(|post| Live {
        hook: post.hook.as_str(),
        counters: post.meter.read(limits.patience(post.hook, uses_http), limits.memory_bytes),
        breaker: post.breaker.read(Instant::now()),
    });
    live.collect()
}
