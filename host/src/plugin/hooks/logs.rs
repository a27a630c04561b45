//! Where the lines of a plugin's guests are, also before a version of it decides.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;

use super::Hooks;
use crate::{
    domain::{OrgId, PluginId},
    plugin::lines::{GuestLog, LogPage},
};

/// Logs of plugins of which no version decides: what they said of their configuration. A few,
/// and not for long, because nobody tells when such a plugin is removed.
#[derive(Clone)]
pub(super) struct CheckLogs(Cache<(OrgId, PluginId), Arc<GuestLog>>);

impl CheckLogs {
    pub(super) fn new() -> Self {
        Self(Cache::builder().max_capacity(100).time_to_idle(Duration::from_hours(1)).build())
    }

    /// For the version that is to decide from now on.
    pub(super) fn take(&self, org: OrgId, plugin: PluginId) -> Option<Arc<GuestLog>> {
        self.0.remove(&(org, plugin))
    }
}

impl Hooks {
    /// The lines of a plugin's guests after that number. Where no version of it decides, those of
    /// its last word on a configuration.
    pub fn read_log(&self, org: OrgId, plugin: PluginId, after: u64, most: usize) -> LogPage {
        let log = self.find_log(org, plugin);
        log.map_or_else(LogPage::default, |log| log.page(after, most))
    }

    /// The log that admins read of this plugin; a new one where there is none.
    pub(in crate::plugin) fn log_of(&self, org: OrgId, plugin: PluginId) -> Arc<GuestLog> {
        let limits = &self.host().0.limits;
        self.find_log(org, plugin).unwrap_or_else(|| {
            let new = || Arc::new(GuestLog::new(limits.log_kept_lines, limits.log_kept_bytes));
            self.check_logs.0.get_with((org, plugin), new)
        })
    }

    fn find_log(&self, org: OrgId, plugin: PluginId) -> Option<Arc<GuestLog>> {
        let plugins = self.plugins_of(org);
        let plugins = plugins.as_ref().map_or(&[][..], |plugins| &plugins.installed);
        let installed = plugins.iter().find(|installed| installed.id == plugin);
        let log = installed.map(|installed| Arc::clone(&installed.callee.log));
        log.or_else(|| self.check_logs.0.get(&(org, plugin)))
    }
}
