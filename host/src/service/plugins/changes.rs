//! What an org's admins do with its plugins.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::{Value as Json, json};

use super::{
    Plugins,
    canaries::{drop_canary, settle_canary},
    content_types::require_unowned,
    entry::{PluginEntry, hex, named, unhex},
    examination::{Examined, examine},
    grants::require_granted,
};
use crate::{
    Error, Result,
    db::{
        OrgConn, OrgTx, audit, orgs, plugin_events,
        plugins::{self, Config, PluginRow, Terms, VersionRow},
    },
    domain::{Actor, Caller, InvalidField, OrgId, Phase, PluginId, parse_plugin_name},
    plugin::LogPage,
};

/// What whoever names a plugin that the org does not have is told.
pub(in crate::service) const PLUGIN: Error = Error::NotFound(Cow::Borrowed("the plugin"));

/// What an admin did to a plugin, as the audit log has it.
pub(super) struct Deed {
    pub action: &'static str,
    /// Never what a configuration says.
    pub detail: Json,
}

/// Which version is to decide, and how it came to that.
pub(super) struct Activation<'a> {
    pub version: &'a [u8],
    /// `None`: that of the plugin stays.
    pub config: Option<Config>,
    pub terms: Terms,
    pub action: &'static str,
}

impl Plugins {
    /// The most keys of a configuration, and the most bytes of all keys and values.
    const MAX_CONFIG_KEYS: usize = 100;
    const MAX_CONFIG_BYTES: usize = 64 * 1024;
    /// The highest place in an order.
    const MAX_POSITION: i32 = 1_000_000;
    /// Lines of a log in one answer.
    const LOG_PAGE: usize = 200;

    /// Checks, compiles and keeps an upload under a name; it decides nothing yet.
    /// The answer says whether it is new.
    pub async fn upload(
        &self,
        caller: &Caller,
        name: &str,
        component: &[u8],
    ) -> Result<(PluginEntry, bool)> {
        let name = parse_plugin_name(name)?;
        let config = match self.find(caller, name).await {
            Ok(known) => known.config,
            Err(Error::NotFound(_)) => Config::new(),
            Err(error) => return Err(error),
        };
        // Boxed, because it is large as a future.
        let examined = Box::pin(examine(&self.host, caller, config, component)).await?;
        let Examined { compiled, report } = examined;
        let version = compiled.report.sha256.clone();
        let sha256 = unhex(&version).ok_or_else(|| Error::internal("report without a hash"))?;
        let mut tx = self.db.begin(caller.org.id).await?;
        let id = plugins::upsert(&mut tx.conn(), name).await?;
        let checked = (&report, caller.user.id);
        let is_new =
            plugins::insert_version(&mut tx.conn(), id, &sha256, component, checked).await?;
        let deed = Deed { action: "plugin.upload", detail: json!({ "version": version }) };
        note(&mut tx, caller, name, &deed).await?;
        tx.commit().await?;
        self.compiled.insert(version, compiled).await;
        Ok((self.find(caller, name).await?, is_new))
    }

    /// In the order in which they are asked.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<PluginEntry>> {
        let mut handle = self.db.org(caller.org.id).await?;
        let stored = Stored::read(&mut handle.conn()).await?;
        handle.done();
        Ok(self.entries(caller, stored))
    }

    fn entries(&self, caller: &Caller, Stored { rows, versions }: Stored) -> Vec<PluginEntry> {
        let mut by_plugin: BTreeMap<PluginId, Vec<VersionRow>> = BTreeMap::new();
        for version in versions {
            by_plugin.entry(version.plugin_id).or_default().push(version);
        }
        let entries = rows.into_iter().map(|row| {
            let versions = by_plugin.remove(&row.id).unwrap_or_default();
            let live = self.hooks.read(caller.org.id, row.id);
            let canary = row.canary.as_ref();
            let canary_live = canary.map(|canary| self.hooks.read(caller.org.id, canary.store));
            PluginEntry::new(row, versions, (live, canary_live.unwrap_or_default()))
        });
        entries.collect()
    }

    pub async fn find(&self, caller: &Caller, name: &str) -> Result<PluginEntry> {
        entry_of(self.list(caller).await?, name)
    }

    /// Replaces a plugin's configuration; an active one goes by it from the next message on.
    pub async fn configure(
        &self,
        caller: &Caller,
        name: &str,
        config: Config,
    ) -> Result<PluginEntry> {
        check_config(&config)?;
        let active = self.find(caller, name).await?.active_version;
        if let Some(active) = active.as_deref() {
            self.require_taken(caller, name, active, &config).await.map_err(of_active)?;
        }
        let (mut tx, plugin) = self.lock(caller, name).await?;
        if plugin.active_version.as_deref().map(hex) != active {
            return Err(Error::Conflict(
                "another version was activated meanwhile; try again".into(),
            ));
        }
        plugins::update_config(&mut tx.conn(), plugin.id, &config).await?;
        let detail = json!({ "configRevision": plugin.config_revision + 1 });
        self.finish(caller, tx, name, Deed { action: "plugin.configure", detail }).await
    }

    /// Sets when a plugin is asked; without a position as the last of its phase.
    pub async fn order(
        &self,
        caller: &Caller,
        name: &str,
        phase: Option<Phase>,
        position: Option<i32>,
    ) -> Result<PluginEntry> {
        if position.is_some_and(|position| !(1..=Self::MAX_POSITION).contains(&position)) {
            return Err(Error::invalid("position", "must be from 1 to 1000000"));
        }
        let (mut tx, plugin) = self.lock(caller, name).await?;
        let phase = phase.unwrap_or(plugin.phase);
        let position = if let Some(position) = position {
            position
        } else {
            let all = plugins::list(&mut tx.conn()).await?;
            let others = all.iter().filter(|it| it.phase == phase && it.id != plugin.id);
            others.map(|it| it.position).max().map_or(1, |last| last.saturating_add(1))
        };
        let position = position.min(Self::MAX_POSITION);
        plugins::update_order(&mut tx.conn(), plugin.id, phase, position).await?;
        let detail = json!({ "phase": phase, "position": position });
        self.finish(caller, tx, name, Deed { action: "plugin.order", detail }).await
    }

    /// Makes a version decide from the next message on; without one, the newest upload. With a
    /// configuration, that takes the place of the plugin's at the same moment.
    pub async fn activate(
        &self,
        caller: &Caller,
        name: &str,
        (version, config): (Option<&str>, Option<Config>),
        terms: Terms,
    ) -> Result<PluginEntry> {
        config.as_ref().map(check_config).transpose()?;
        let plugin = self.find(caller, name).await?;
        let mut versions = plugin.versions.iter().map(|entry| entry.version.as_str());
        let chosen = match version {
            None => versions.next().ok_or(PLUGIN)?,
            Some(wanted) => named(versions, wanted)?,
        };
        let chosen = unhex(chosen).ok_or(PLUGIN)?;
        let activation = Activation { version: &chosen, config, terms, action: "plugin.activate" };
        // Boxed, because it is large as a future.
        Box::pin(self.set_active(caller, name, activation)).await
    }

    /// No version decides any more; all of it is kept.
    pub async fn disable(&self, caller: &Caller, name: &str) -> Result<PluginEntry> {
        let (mut tx, plugin) = self.lock(caller, name).await?;
        plugins::update_active(&mut tx.conn(), plugin.id, None, Terms::default()).await?;
        drop_canary(&mut tx, &plugin).await?;
        let detail = json!({ "version": plugin.active_version.as_deref().map(hex) });
        self.finish(caller, tx, name, Deed { action: "plugin.disable", detail }).await
    }

    /// Makes a version decide that has been granted what it imports, and that takes its
    /// configuration.
    pub(super) async fn set_active(
        &self,
        caller: &Caller,
        name: &str,
        activation: Activation<'_>,
    ) -> Result<PluginEntry> {
        let Activation { version, config: new, terms, action } = activation;
        let stored = self.find(caller, name).await?.config;
        let config = new.as_ref().unwrap_or(&stored);
        // Boxed, because it is large as a future.
        Box::pin(self.require_taken(caller, name, &hex(version), config)).await?;
        let (mut tx, plugin) = self.lock(caller, name).await?;
        let report = plugins::find_report(&mut tx.conn(), plugin.id, version).await?;
        let report = report.ok_or(PLUGIN)?;
        require_granted(&plugin, &report)?;
        require_unowned(&mut tx, plugin.id, &report).await?;
        let mut config_revision = plugin.config_revision;
        if let Some(config) = &new {
            plugins::update_config(&mut tx.conn(), plugin.id, config).await?;
            config_revision += 1;
        } else if plugin.config != stored {
            return Err(Error::Conflict(
                "the configuration was changed meanwhile; try again".into(),
            ));
        }
        plugins::update_active(&mut tx.conn(), plugin.id, Some(version), terms).await?;
        settle_canary(&mut tx, &plugin, version).await?;
        let detail = json!({
            "version": hex(version),
            "configRevision": config_revision,
            "onFault": terms.on_fault.unwrap_or(plugin.on_fault),
            "onContentFault": terms.on_content_fault.unwrap_or(plugin.on_content_fault),
            "autoRollback": terms.auto_rollback.unwrap_or(plugin.auto_rollback),
        });
        self.finish(caller, tx, name, Deed { action, detail }).await
    }

    /// Lets a version say whether it can work with a configuration.
    pub(super) async fn require_taken(
        &self,
        caller: &Caller,
        name: &str,
        version: &str,
        config: &Config,
    ) -> Result<()> {
        let mut handle = self.db.org(caller.org.id).await?;
        let rows = plugins::list(&mut handle.conn()).await?;
        handle.done();
        let plugin = rows.into_iter().find(|row| row.name == name).ok_or(PLUGIN)?;
        let sha256 = unhex(version).ok_or(PLUGIN)?;
        self.require_fit(caller.org.id, (plugin.id, &sha256), config).await
    }

    /// The same for a version that is known to be there.
    pub(super) async fn require_fit(
        &self,
        org_id: OrgId,
        (plugin_id, version): (PluginId, &[u8]),
        config: &Config,
    ) -> Result<()> {
        let compiled = self.load(org_id, plugin_id, version).await.map_err(Error::unavailable)?;
        self.hooks.check(&compiled, (org_id, plugin_id), config.clone()).await.map_err(|refusal| {
            let version = hex(version);
            let short = version.get(..SHORT).unwrap_or(&version);
            Error::invalid("config", format!("is not taken by version {short}: {refusal}"))
        })
    }

    /// The lines that the guests of a plugin wrote after that number.
    pub async fn list_log(&self, caller: &Caller, name: &str, after: u64) -> Result<LogPage> {
        let mut handle = self.db.org(caller.org.id).await?;
        let rows = plugins::list(&mut handle.conn()).await?;
        let plugin = rows.into_iter().find(|row| row.name == name).ok_or(PLUGIN)?;
        // The lines of both stand together where there are both.
        let canary = plugin.canary.filter(|_| plugin.active_version.is_none());
        let teller = canary.map_or(plugin.id, |canary| canary.store);
        Ok(self.hooks.read_log(caller.org.id, teller, after, Self::LOG_PAGE))
    }

    /// Removes a plugin with all its versions and its configuration.
    pub async fn remove(&self, caller: &Caller, name: &str) -> Result<()> {
        let (mut tx, plugin) = self.lock(caller, name).await?;
        plugins::delete(&mut tx.conn(), plugin.id).await?;
        plugin_events::delete_unheard(&mut tx.conn()).await?;
        let detail = json!({ "version": plugin.active_version.as_deref().map(hex) });
        note(&mut tx, caller, name, &Deed { action: "plugin.remove", detail }).await?;
        orgs::touch(&mut tx.conn()).await?;
        tx.commit().await?;
        self.refresh(caller.org.id).await
    }

    pub(super) async fn lock(&self, caller: &Caller, name: &str) -> Result<(OrgTx, PluginRow)> {
        // What cannot be a name is none; the database would not take every text.
        let name = parse_plugin_name(name).map_err(|_| PLUGIN)?;
        let mut tx = self.db.begin(caller.org.id).await?;
        let plugin = plugins::lock(&mut tx.conn(), name).await?.ok_or(PLUGIN)?;
        Ok((tx, plugin))
    }

    /// Commits a change, here and wherever else the org is served; the audit log says whose.
    pub(super) async fn finish(
        &self,
        caller: &Caller,
        mut tx: OrgTx,
        name: &str,
        deed: Deed,
    ) -> Result<PluginEntry> {
        note(&mut tx, caller, name, &deed).await?;
        plugin_events::delete_unheard(&mut tx.conn()).await?;
        orgs::touch(&mut tx.conn()).await?;
        // As this change leaves it, whatever others make of it meanwhile.
        let stored = Stored::read(&mut tx.conn()).await?;
        tx.commit().await?;
        self.refresh(caller.org.id).await?;
        entry_of(self.entries(caller, stored), name)
    }
}

/// What is stored of an org's plugins.
struct Stored {
    rows: Vec<PluginRow>,
    versions: Vec<VersionRow>,
}

impl Stored {
    async fn read(conn: &mut OrgConn<'_>) -> Result<Self> {
        Ok(Self { rows: plugins::list(conn).await?, versions: plugins::list_versions(conn).await? })
    }
}

fn entry_of(entries: Vec<PluginEntry>, name: &str) -> Result<PluginEntry> {
    entries.into_iter().find(|plugin| plugin.name == name).ok_or(PLUGIN)
}

/// Digits of a version that tell it from others for people.
const SHORT: usize = 12;

/// Says of a configuration that was refused whose word that is, and what to do.
fn of_active(refused: Error) -> Error {
    let Error::Invalid(mut fields) = refused else { return refused };
    for field in &mut fields {
        field.message.push_str(
            " (the active version; what only another one takes is set with its activation: \
             `config` in the body of `POST …/activate`)",
        );
    }
    Error::Invalid(fields)
}

pub(super) async fn note(tx: &mut OrgTx, caller: &Caller, name: &str, deed: &Deed) -> Result<()> {
    let conn = &mut tx.conn();
    audit::insert(conn, Actor::User(caller.user.id), deed.action, name, &deed.detail).await?;
    Ok(())
}

pub(super) fn check_config(config: &Config) -> Result<(), InvalidField> {
    let bytes: usize = config.iter().map(|(key, value)| key.len() + value.len()).sum();
    if config.len() > Plugins::MAX_CONFIG_KEYS || bytes > Plugins::MAX_CONFIG_BYTES {
        return Err(InvalidField::new("config", "may have at most 100 keys and 64 KiB"));
    }
    if config.iter().any(|(key, value)| key.contains('\0') || value.contains('\0')) {
        return Err(InvalidField::new("config", "must not contain U+0000"));
    }
    Ok(())
}
