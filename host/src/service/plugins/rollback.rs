//! Back to the version before: by an admin's hand, or by itself where an admin chose that.

use serde_json::json;

use super::{
    Plugins,
    changes::Activation,
    content_types::require_unowned,
    entry::{PluginEntry, hex, unhex},
    grants::missing,
};
use crate::{
    Error, Result,
    db::{
        audit, orgs,
        plugins::{self, PluginRow, Terms},
    },
    domain::{Caller, OrgId, PluginId},
};

impl Plugins {
    /// Makes the previous version decide again, and the active one the previous.
    pub async fn roll_back(&self, caller: &Caller, name: &str) -> Result<PluginEntry> {
        let plugin = self.find(caller, name).await?;
        let previous = plugin.previous_version.as_deref().and_then(unhex).ok_or_else(|| {
            Error::Conflict("no other version has decided before; activate one by name".into())
        })?;
        let (terms, action) = (Terms::default(), "plugin.rollback");
        self.set_active(caller, name, Activation { version: &previous, terms, action }).await
    }

    /// Looks after versions that fail for several senders, aside from the message that showed it.
    pub(super) fn roll_back_failing(&self, org_id: OrgId) {
        for (plugin_id, version) in self.hooks.take_opened(org_id) {
            let plugins = self.clone();
            tokio::spawn(async move {
                if let Err(error) = plugins.roll_back_one(org_id, plugin_id, &version).await {
                    tracing::error!(%error, org.id = %org_id, plugin.id = %plugin_id, "a failing plugin cannot be rolled back");
                }
            });
        }
    }

    async fn roll_back_one(&self, org_id: OrgId, id: PluginId, failing: &str) -> Result<()> {
        let failing_hash =
            unhex(failing).ok_or_else(|| Error::internal("version without a hash"))?;
        let mut tx = self.db.begin(org_id).await?;
        let rows = plugins::list(&mut tx.conn()).await?;
        let Some(plugin) = rows.into_iter().find(|plugin| may_roll_back(plugin, id)) else {
            return Ok(());
        };
        let previous = plugin.previous_version.as_deref().unwrap_or_default();
        let report = plugins::find_report(&mut tx.conn(), id, previous).await?.unwrap_or_default();
        let lacking = missing(&report, &plugin.grants);
        if !lacking.is_empty() {
            tracing::warn!(org.id = %org_id, plugin.name = plugin.name, "a failing plugin is not rolled back: its previous version imports what is not granted");
            return Ok(());
        }
        // Another server may have done it.
        if !plugins::update_rolled_back(&mut tx.conn(), id, &failing_hash).await? {
            return Ok(());
        }
        match require_unowned(&mut tx, id, &report).await {
            Err(Error::Conflict(why)) => {
                tracing::warn!(org.id = %org_id, plugin.name = plugin.name, why, "a failing plugin is not rolled back");
                return Ok(());
            }
            unowned => unowned?,
        }
        let detail = json!({ "failing": failing, "version": hex(previous) });
        audit::insert(&mut tx.conn(), None, "plugin.rollback", &plugin.name, &detail).await?;
        orgs::touch(&mut tx.conn()).await?;
        tx.commit().await?;
        tracing::warn!(
            org.id = %org_id,
            plugin.name = plugin.name,
            plugin.version = failing,
            plugin.now = hex(previous),
            "plugin failed for several senders and was rolled back"
        );
        self.refresh(org_id).await
    }
}

fn may_roll_back(plugin: &PluginRow, id: PluginId) -> bool {
    plugin.id == id && plugin.auto_rollback && plugin.previous_version.is_some()
}
