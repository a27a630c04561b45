//! A version that decides in a share of the threads, before it does in all.

use serde_json::json;
use time::OffsetDateTime;

use super::{
    Plugins,
    changes::{Activation, Deed},
    content_types::require_unowned,
    entry::{PluginEntry, hex},
    grants::require_granted,
};
use crate::{
    Error, Result,
    db::{
        OrgTx,
        canaries::{self, Canary},
        kv,
        plugins::{PluginRow, Terms},
    },
    domain::{Caller, PluginId},
    plugin::{Hook, Installation, Share, Threads},
};

const CANARY: Error = Error::NotFound(std::borrow::Cow::Borrowed("a canary of this plugin"));

impl Plugins {
    /// Lets a version decide in so many per cent of the threads from the next message on, or
    /// changes how many; without a version the one that does, or the newest upload.
    pub async fn set_canary(
        &self,
        caller: &Caller,
        name: &str,
        (version, percent): (Option<&str>, u8),
    ) -> Result<PluginEntry> {
        if !(1..=100).contains(&percent) {
            return Err(Error::invalid("percent", "must be from 1 to 100"));
        }
        let running = self.find(caller, name).await?.canary.map(|canary| canary.version);
        let candidate = self.candidate(caller, name, version.or(running.as_deref())).await?;
        let config = candidate.row.config.clone();
        self.require_taken(caller, name, &hex(&candidate.sha256), &config).await?;
        let (mut tx, plugin) = self.lock(caller, name).await?;
        if plugin.config != config {
            return Err(Error::Conflict(
                "the configuration was changed meanwhile; try again".into(),
            ));
        }
        let hooks = super::hooks(&candidate.report);
        if !hooks.iter().any(|hook| CANARY_HOOKS.contains(hook)) {
            return Err(Error::invalid(
                "version",
                "decides about no message, so a canary says nothing",
            ));
        }
        if plugin.active_version.as_ref() == Some(&candidate.sha256) {
            return Err(Error::Conflict("this version decides in all threads already".into()));
        }
        require_granted(&plugin, &candidate.report)?;
        require_unowned(&mut tx, plugin.id, &candidate.report).await?;
        let canary = match plugin.canary {
            Some(canary) if canary.version == candidate.sha256 => Canary { percent, ..canary },
            Some(_) => {
                return Err(Error::Conflict(
                    "another version is the canary: promote or end it first".into(),
                ));
            }
            None => {
                let store = PluginId::new();
                kv::insert_overlay(&mut tx.conn(), store, plugin.id).await?;
                let (version, since) = (candidate.sha256, OffsetDateTime::now_utc());
                Canary { version, percent, store, since }
            }
        };
        canaries::update(&mut tx.conn(), plugin.id, Some(&canary)).await?;
        let detail = json!({
            "version": hex(&canary.version),
            "percent": percent,
            "configRevision": plugin.config_revision,
        });
        self.finish(caller, tx, name, Deed { action: "plugin.canary", detail }).await
    }

    /// Makes the canary decide in all threads; what it has written is its plugin's from now on.
    pub async fn promote_canary(&self, caller: &Caller, name: &str) -> Result<PluginEntry> {
        let (tx, plugin) = self.lock(caller, name).await?;
        drop(tx);
        let version = plugin.canary.ok_or(CANARY)?.version;
        let activation = Activation {
            version: &version,
            config: None,
            terms: Terms::default(),
            action: "plugin.canary.promote",
        };
        self.set_active(caller, name, activation).await
    }

    /// Ends the canary; what it has written is forgotten.
    pub async fn end_canary(&self, caller: &Caller, name: &str) -> Result<PluginEntry> {
        let (mut tx, plugin) = self.lock(caller, name).await?;
        let canary = plugin.canary.clone().ok_or(CANARY)?;
        drop_canary(&mut tx, &plugin).await?;
        let detail = json!({ "version": hex(&canary.version) });
        self.finish(caller, tx, name, Deed { action: "plugin.canary.end", detail }).await
    }
}

/// Where a canary decides. All else is for the active version: it is about no thread's draft.
const CANARY_HOOKS: [Hook; 2] = [Hook::ValidateContent, Hook::BeforeSend];

/// Ends a plugin's canary, if it has one, and forgets what it has written.
pub(super) async fn drop_canary(tx: &mut OrgTx, plugin: &PluginRow) -> Result<()> {
    let Some(canary) = &plugin.canary else { return Ok(()) };
    canaries::update(&mut tx.conn(), plugin.id, None).await?;
    kv::drop_overlay(&mut tx.conn(), canary.store).await?;
    Ok(())
}

/// A canary that becomes active is none any more, and its keys become the plugin's.
pub(super) async fn settle_canary(tx: &mut OrgTx, plugin: &PluginRow, active: &[u8]) -> Result<()> {
    let Some(canary) = plugin.canary.as_ref().filter(|canary| canary.version == active) else {
        return Ok(());
    };
    canaries::update(&mut tx.conn(), plugin.id, None).await?;
    kv::merge_overlay(&mut tx.conn(), canary.store, plugin.id).await?;
    Ok(())
}

/// A plugin's canary; none where its version has come to decide everywhere by another way.
pub(super) fn beside_active(plugin: &PluginRow) -> Option<&Canary> {
    let canary = plugin.canary.as_ref();
    canary.filter(|canary| plugin.active_version.as_ref() != Some(&canary.version))
}

impl Canary {
    /// Salted with the version, so that another canary meets other threads.
    pub(super) fn share(&self) -> Share {
        Share { salt: self.version.as_slice().into(), percent: self.percent }
    }
}

/// The canary beside, or without, an active version: its counters, its breaker and its keys are
/// its own.
pub(super) fn as_canary(mut installation: Installation, canary: &Canary) -> Installation {
    installation.threads = Threads::Share { of: installation.id, share: canary.share() };
    installation.id = canary.store;
    installation.hooks.retain(|hook| CANARY_HOOKS.contains(hook));
    installation.events = Vec::new();
    installation
}
