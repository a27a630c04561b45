//! Plugins that hear of what happened.

use serde_json::Value as Json;

use super::Plugins;
use crate::{
    domain::{EventKind, OrgId, PluginId},
    plugin::{Fault, Hook, OnEvent, Untold},
};

impl Plugins {
    /// Which of an org's plugins want to hear of that, as far as they are in place.
    pub(in crate::service) fn listeners(&self, org_id: OrgId, kind: EventKind) -> Vec<PluginId> {
        self.hooks.listeners(org_id, kind)
    }

    /// Whether any of them wants to hear of anything.
    pub(in crate::service) fn listens(&self, org_id: OrgId) -> bool {
        self.hooks.asks(org_id, Hook::OnEvent)
    }

    pub(in crate::service) fn count_untold(&self, org: OrgId, plugin: PluginId, why: Untold) {
        self.hooks.count_untold(org, plugin, why);
    }

    /// Tells one plugin of one event.
    pub(in crate::service) async fn on_event(&self, told: &OnEvent<'_>) -> Result<(), Fault> {
        let heard = self.hooks.on_event(told).await;
        if heard.is_err() {
            self.roll_back_failing(told.org.id);
        }
        heard
    }
}

/// What a version wants to hear of, as it said when it was uploaded.
pub(super) fn events(report: &Json) -> Vec<EventKind> {
    let words = report["events"].as_array().map_or(&[][..], Vec::as_slice);
    words.iter().filter_map(|word| EventKind::parse(word.as_str()?)).collect()
}
