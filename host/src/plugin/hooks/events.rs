//! What plugins are told after it happened.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use super::Hooks;
use crate::{
    domain::{Caller, EventKind, OrgId, PluginId},
    plugin::{
        Compiled, Fault, Hook,
        bindings::log::Level,
        call::{Called, Turn},
        events::OnEvent,
        imports::{Reach, Serving},
    },
};

/// Why a version cannot say what it wants to hear of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KindsError {
    #[error("its on-event names no kind of event, so nothing would ever call it")]
    None,
    #[error("its on-event names {0} twice; once is enough")]
    Twice(&'static str),
    #[error("its on-event.kinds gave no answer: {0}")]
    Fault(Fault),
}

/// An event that a plugin is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untold {
    /// Too many waited.
    Crowded,
    /// Of its kind there were too many of late.
    Sampled,
    /// The plugin failed too often.
    GivenUp,
}

impl Untold {
    fn as_str(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Sampled => "sampled",
            Self::GivenUp => "given_up",
        }
    }
}

impl Hooks {
    /// The plugins of an org that want to hear of that.
    pub fn listeners(&self, org: OrgId, kind: EventKind) -> Vec<PluginId> {
        let Some(plugins) = self.orgs.get(&org) else { return Vec::new() };
        let listening = plugins.installed.iter().filter(|plugin| plugin.events.contains(&kind));
        listening.map(|plugin| plugin.id).collect()
    }

    /// Tells one plugin of one event, by the version that decides now. It takes none of the
    /// org's places for messages that wait to be judged: whoever calls this bounds how many of
    /// these calls run at once.
    pub async fn on_event(&self, told: &OnEvent<'_>) -> Result<(), Fault> {
        let outcome = self.tell(told).await.outcome;
        let plugins = self.plugins_of(told.org.id);
        if let (Err(fault), Some(plugins)) = (&outcome, &plugins)
            && let Some(plugin) = plugins.installed.iter().find(|it| it.id == told.plugin)
        {
            plugin.note_fault(Hook::OnEvent.as_str(), fault.as_str(), &told.about());
        }
        outcome
    }

    /// The same, with what it took.
    pub(in crate::plugin) async fn tell(&self, told: &OnEvent<'_>) -> Called<()> {
        let plugins = self.plugins_of(told.org.id);
        let plugins = plugins.as_ref().map_or(&[][..], |plugins| &plugins.installed);
        let Some(plugin) = plugins.iter().find(|installed| installed.id == told.plugin) else {
            return Called::never(Fault::Unloadable, Duration::ZERO);
        };
        let ends = Instant::now() + self.host.0.limits.event_timeout;
        let share = Semaphore::new(1);
        let turn = Turn { host: &self.host, share: &share, ends };
        let serving = self.services.as_ref().map(|services| Serving {
            services,
            org: told.org,
            plugin: plugin.id,
            asker: told.asker,
            granted: &plugin.granted_hosts,
            reach: Reach::Acting,
        });
        let called = plugin
            .ask(Hook::OnEvent, told.subject, async |compiled| {
                turn.on_event(compiled, Arc::clone(&plugin.callee), told, serving).await
            })
            .await;
        plugin.count(Hook::OnEvent, &called, |()| "told");
        called
    }

    /// Asks a version once what it wants to hear of; nothing, if it does not have that hook. It
    /// is shown nothing of the org, not even its configuration.
    pub async fn ask_kinds(
        &self,
        compiled: &Compiled,
        admin: &Caller,
    ) -> Result<Vec<EventKind>, KindsError> {
        let share = Semaphore::new(1);
        let guest = self.callee(compiled, admin.org.id, BTreeMap::new());
        let Some(called) =
            self.turn(&share, self.host.0.limits.chain_timeout).kinds(compiled, guest).await
        else {
            return Ok(Vec::new());
        };
        let kinds = called.outcome.map_err(KindsError::Fault)?;
        let twice = kinds.iter().enumerate().find(|(at, kind)| kinds[..*at].contains(kind));
        match twice {
            Some((_, kind)) => Err(KindsError::Twice(kind.as_str())),
            None if kinds.is_empty() => Err(KindsError::None),
            None => Ok(kinds),
        }
    }

    /// Counts, for its admins, events that a plugin is not told.
    pub fn count_untold(&self, org: OrgId, plugin: PluginId, why: Untold) {
        let plugins = self.plugins_of(org);
        let plugins = plugins.as_ref().map_or(&[][..], |plugins| &plugins.installed);
        let Some(plugin) = plugins.iter().find(|installed| installed.id == plugin) else { return };
        if let Some(post) = plugin.post(Hook::OnEvent) {
            post.meter.count_dropped(why.as_str());
        }
        if why == Untold::GivenUp {
            let callee = &plugin.callee;
            let line = "an event was given up: the plugin failed each time that it was told";
            callee.log.write(Level::Warn, &callee.version, line);
        }
    }
}
