//! Back to the version before: by an admin's hand, or by itself where an admin chose that.

use serde_json::{Value as Json, json};

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
        OrgTx, audit, orgs,
        plugins::{self, PluginRow, Terms},
    },
    domain::{Actor, Caller, OrgId, PluginId},
};

impl Plugins {
    /// Makes the previous version decide again, and the active one the previous.
    pub async fn roll_back(&self, caller: &Caller, name: &str) -> Result<PluginEntry> {
        let plugin = self.find(caller, name).await?;
        let previous = plugin.previous_version.as_deref().and_then(unhex).ok_or_else(|| {
            Error::Conflict("no other version has decided before; activate one by name".into())
        })?;
        let (terms, action) = (Terms::default(), "plugin.rollback");
        self.set_active(
            caller,
            name,
            Activation { version: &previous, config: None, terms, action },
        )
        .await
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
        let mut handle = self.db.org(org_id).await?;
        let rows = plugins::list(&mut handle.conn()).await?;
        handle.done();
        let Some(plugin) = rows.into_iter().find(|plugin| may_roll_back(plugin, id)) else {
            return Ok(());
        };
        let previous = plugin.previous_version.as_deref().unwrap_or_default();
        // Before the transaction: a slow plugin must not hold a connection.
        let fits = Box::pin(self.require_fit(org_id, (id, previous), &plugin.config)).await;
        let mut tx = self.db.begin(org_id).await?;
        let now = plugins::lock(&mut tx.conn(), &plugin.name).await?;
        let unchanged = |now: &PluginRow| {
            may_roll_back(now, id)
                && now.active_version.as_deref() == Some(&failing_hash)
                && now.previous_version == plugin.previous_version
                && now.config == plugin.config
        };
        // Another server may have done it, or an admin something else.
        let Some(plugin) = now.filter(unchanged) else { return Ok(()) };
        let report = plugins::find_report(&mut tx.conn(), id, previous).await?.unwrap_or_default();
        if let Some(why) = obstacle(&mut tx, &plugin, &report, fits).await? {
            return self.stay(tx, &plugin, failing, why).await;
        }
        plugins::update_rolled_back(&mut tx.conn(), id, &failing_hash).await?;
        let detail = json!({ "failing": failing, "version": hex(previous) });
        audit::insert(&mut tx.conn(), Actor::System, "plugin.rollback", &plugin.name, &detail)
            .await?;
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

    /// Says why a failing version goes on to decide. Not each time that it is spared anew: once
    /// for each reason.
    async fn stay(
        &self,
        mut tx: OrgTx,
        plugin: &PluginRow,
        failing: &str,
        why: &'static str,
    ) -> Result<()> {
        let previous = plugin.previous_version.as_deref().map(hex);
        tracing::warn!(
            org.id = %tx.org_id(),
            plugin.name = plugin.name,
            plugin.version = failing,
            plugin.previous = previous,
            why,
            "a failing plugin is not rolled back"
        );
        let detail = json!({
            "failing": failing,
            "version": previous,
            "configRevision": plugin.config_revision,
            "why": why,
        });
        let (action, subject) = ("plugin.stay", plugin.name.as_str());
        if !audit::is_noted(&mut tx.conn(), action, subject, &detail).await? {
            audit::insert(&mut tx.conn(), Actor::System, action, subject, &detail).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// What keeps the previous version from taking over. `fits`: whether it takes its configuration.
async fn obstacle(
    tx: &mut OrgTx,
    plugin: &PluginRow,
    report: &Json,
    fits: Result<()>,
) -> Result<Option<&'static str>> {
    if !missing(report, &plugin.grants).is_empty() {
        return Ok(Some("its previous version imports what is not granted"));
    }
    match fits {
        Err(Error::Invalid(_)) => {
            return Ok(Some("its previous version does not take the configuration"));
        }
        fits => fits?,
    }
    match require_unowned(tx, plugin.id, report).await {
        Err(Error::Conflict(_)) => {
            Ok(Some("another plugin owns a content type of its previous version"))
        }
        unowned => unowned.map(|()| None),
    }
}

fn may_roll_back(plugin: &PluginRow, id: PluginId) -> bool {
    plugin.id == id && plugin.auto_rollback && plugin.previous_version.is_some()
}
