//! An org's plugins: uploaded, configured, switched on and off.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use dashmap::DashMap;
use moka::future::Cache;
use serde_json::Value as Json;
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::{
    Error, Result,
    db::{
        Db, orgs,
        plugins::{self, ActiveRow, Config, PluginRow, VersionRow},
    },
    domain::{Caller, InvalidField, Judgement, OnFault, OrgId, PluginId},
    plugin::{BeforeSend, CompileError, Compiled, Hooks, Installation, PluginHost},
};

const PLUGIN: Error = Error::NotFound(Cow::Borrowed("the plugin"));

/// A plugin and all that was uploaded under its name.
pub struct PluginEntry {
    pub name: String,
    pub config: Config,
    pub on_fault: OnFault,
    /// SHA-256 in hex of the version that decides, if one does.
    pub active_version: Option<String>,
    pub versions: Vec<VersionEntry>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// What was uploaded, and what its check found.
pub struct VersionEntry {
    pub version: String,
    pub report: Json,
    pub created_at: OffsetDateTime,
}

#[derive(Clone)]
pub struct Plugins {
    db: Db,
    host: PluginHost,
    hooks: Hooks,
    /// Native code that this process had made, by the component's SHA-256.
    compiled: Cache<String, Arc<Compiled>>,
    /// The orgs whose plugins are in place.
    ready: Cache<OrgId, ()>,
    /// One reload of an org at a time: an older one must not overwrite a newer.
    reloading: Arc<DashMap<OrgId, Arc<Mutex<()>>>>,
}

impl Plugins {
    /// The most keys of a configuration, and the most bytes of one key or value.
    const MAX_CONFIG_KEYS: usize = 100;
    const MAX_CONFIG_BYTES: usize = 64 * 1024;

    pub fn new(db: Db, host: PluginHost, hooks: Hooks) -> Self {
        let compiled =
            Cache::builder().max_capacity(256).time_to_idle(Duration::from_hours(24)).build();
        let ready = Cache::builder().max_capacity(100_000).build();
        Self { db, host, hooks, compiled, ready, reloading: Arc::default() }
    }

    /// Makes sure that an org's plugins are asked before its first message passes.
    async fn require_ready(&self, org_id: OrgId) -> Result<()> {
        if self.ready.contains_key(&org_id) {
            return Ok(());
        }
        // Boxed, because the future of a miss is large and a miss is rare.
        Box::pin(self.ready.try_get_with(org_id, self.reload(org_id)))
            .await
            .map_err(|error: Arc<Error>| Error::unavailable(error))
    }

    /// Whether an org has a plugin that decides about messages.
    pub(super) async fn has_any(&self, org_id: OrgId) -> Result<bool> {
        self.require_ready(org_id).await?;
        Ok(self.hooks.has_any(org_id))
    }

    /// Asks an org's plugins about a message, before it is stored.
    pub async fn before_send(&self, ask: &BeforeSend<'_>) -> Result<Judgement> {
        self.require_ready(ask.caller.org.id).await?;
        Ok(self.hooks.before_send(ask).await)
    }

    /// Puts in place what another server, or another command, has changed.
    pub async fn refresh(&self, org_id: OrgId) -> Result<()> {
        // One that is being loaded for the first time may have read what is old by now.
        if !self.ready.contains_key(&org_id) && !self.reloading.contains_key(&org_id) {
            return Ok(());
        }
        let reloaded = self.reload(org_id).await;
        if reloaded.is_err() {
            // Nothing passes by what may be old: the next message reloads, or waits.
            self.ready.invalidate(&org_id).await;
        }
        reloaded
    }

    /// The same for every org, after notices may have been missed.
    pub async fn refresh_all(&self) -> Result<()> {
        let mut done = Ok(());
        for (org_id, ()) in &self.ready {
            done = self.refresh(*org_id).await.and(done);
        }
        done
    }

    async fn reload(&self, org_id: OrgId) -> Result<()> {
        let turn = self.reloading.entry(org_id).or_default().clone();
        let _turn = turn.lock().await;
        let mut handle = self.db.org(org_id).await?;
        let active = plugins::list_active(&mut handle.conn()).await?;
        drop(handle);
        let mut installed = Vec::with_capacity(active.len());
        for row in active {
            installed.push(self.install(org_id, row).await?);
        }
        self.hooks.replace(org_id, installed);
        Ok(())
    }

    /// A version that cannot be made to run here still takes part: as a plugin that never
    /// answers, so that its org's fault policy decides and nothing slips through.
    async fn install(&self, org_id: OrgId, row: ActiveRow) -> Result<Installation> {
        let version = hex(&row.sha256);
        let loaded = self.compiled.try_get_with_by_ref(&version, async {
            let mut handle = self.db.org(org_id).await?;
            let component =
                plugins::load_component(&mut handle.conn(), row.id, &row.sha256).await?;
            drop(handle);
            self.host.compile(&component).await.map(Arc::new).map_err(refusal)
        });
        let compiled = match Box::pin(loaded).await {
            Ok(compiled) => Some(compiled),
            Err(error) if matches!(*error, Error::Invalid(_) | Error::Internal(_)) => {
                tracing::error!(%error, org.id = %org_id, plugin.name = row.name, plugin.version = version, "plugin cannot run");
                None
            }
            Err(error) => return Err(Error::unavailable(error)),
        };
        Ok(Installation {
            id: row.id,
            name: row.name,
            version,
            compiled,
            config: row.config.0,
            on_fault: plugins::parse_on_fault(&row.on_fault),
        })
    }

    /// Checks, compiles and keeps an upload under a name; it decides nothing yet.
    /// The answer says whether it is new.
    pub async fn upload(
        &self,
        caller: &Caller,
        name: &str,
        component: &[u8],
    ) -> Result<(PluginEntry, bool)> {
        let name = parse_name(name)?;
        let compiled = self.host.compile(component).await.map_err(refusal)?;
        let report = serde_json::to_value(&compiled.report).map_err(Error::internal)?;
        let version = compiled.report.sha256.clone();
        let sha256 = unhex(&version).ok_or_else(|| Error::internal("report without a hash"))?;
        let mut tx = self.db.begin(caller.org.id).await?;
        let id = plugins::upsert(&mut tx.conn(), name).await?;
        let checked = (&report, caller.user.id);
        let is_new =
            plugins::insert_version(&mut tx.conn(), id, &sha256, component, checked).await?;
        tx.commit().await?;
        self.compiled.insert(version, Arc::new(compiled)).await;
        Ok((self.find(caller, name).await?, is_new))
    }

    pub async fn list(&self, caller: &Caller) -> Result<Vec<PluginEntry>> {
        let mut handle = self.db.org(caller.org.id).await?;
        let rows = plugins::list(&mut handle.conn()).await?;
        let versions = plugins::list_versions(&mut handle.conn()).await?;
        let mut by_plugin: BTreeMap<PluginId, Vec<VersionRow>> = BTreeMap::new();
        for version in versions {
            by_plugin.entry(version.plugin_id).or_default().push(version);
        }
        let entries = rows.into_iter().map(|row| {
            let versions = by_plugin.remove(&row.id).unwrap_or_default();
            entry(row, versions)
        });
        Ok(entries.collect())
    }

    pub async fn find(&self, caller: &Caller, name: &str) -> Result<PluginEntry> {
        let all = self.list(caller).await?;
        all.into_iter().find(|plugin| plugin.name == name).ok_or(PLUGIN)
    }

    /// Replaces a plugin's configuration; an active one goes by it from the next message on.
    pub async fn configure(
        &self,
        caller: &Caller,
        name: &str,
        config: Config,
    ) -> Result<PluginEntry> {
        check_config(&config)?;
        let mut tx = self.db.begin(caller.org.id).await?;
        if !plugins::update_config(&mut tx.conn(), name, &config).await? {
            return Err(PLUGIN);
        }
        orgs::touch(&mut tx.conn()).await?;
        tx.commit().await?;
        self.refresh(caller.org.id).await?;
        self.find(caller, name).await
    }

    /// Makes a version decide from the next message on; without one, the newest upload.
    pub async fn activate(
        &self,
        caller: &Caller,
        name: &str,
        version: Option<&str>,
        on_fault: Option<OnFault>,
    ) -> Result<PluginEntry> {
        let plugin = self.find(caller, name).await?;
        let chosen = match version {
            None => plugin.versions.first(),
            Some(wanted) => plugin.versions.iter().find(|entry| entry.version == wanted),
        };
        let chosen = chosen.and_then(|entry| unhex(&entry.version)).ok_or_else(|| {
            Error::invalid("version", "must be one that was uploaded under this name")
        })?;
        self.set_active(caller, name, Some(&chosen), on_fault).await
    }

    /// No version decides any more; all of it is kept.
    pub async fn disable(&self, caller: &Caller, name: &str) -> Result<PluginEntry> {
        self.set_active(caller, name, None, None).await
    }

    async fn set_active(
        &self,
        caller: &Caller,
        name: &str,
        version: Option<&[u8]>,
        on_fault: Option<OnFault>,
    ) -> Result<PluginEntry> {
        let mut tx = self.db.begin(caller.org.id).await?;
        if !plugins::update_active(&mut tx.conn(), name, version, on_fault).await? {
            return Err(PLUGIN);
        }
        orgs::touch(&mut tx.conn()).await?;
        tx.commit().await?;
        self.refresh(caller.org.id).await?;
        self.find(caller, name).await
    }

    /// Removes a plugin with all its versions and its configuration.
    pub async fn remove(&self, caller: &Caller, name: &str) -> Result<()> {
        let mut tx = self.db.begin(caller.org.id).await?;
        if !plugins::delete(&mut tx.conn(), name).await? {
            return Err(PLUGIN);
        }
        orgs::touch(&mut tx.conn()).await?;
        tx.commit().await?;
        self.refresh(caller.org.id).await
    }
}

fn entry(row: PluginRow, versions: Vec<VersionRow>) -> PluginEntry {
    let versions = versions.into_iter().map(|version| VersionEntry {
        version: hex(&version.sha256),
        report: version.report,
        created_at: version.created_at,
    });
    PluginEntry {
        name: row.name,
        config: row.config,
        on_fault: row.on_fault,
        active_version: row.active_version.as_deref().map(hex),
        versions: versions.collect(),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// A name is 1 to 64 characters of `a-z 0-9 -`, starting with a letter.
fn parse_name(name: &str) -> Result<&str, InvalidField> {
    let valid = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    valid.then_some(name).ok_or_else(|| {
        InvalidField::new("name", "must be 1 to 64 characters of a-z 0-9 - and start with a letter")
    })
}

fn check_config(config: &Config) -> Result<(), InvalidField> {
    let bytes: usize = config.iter().map(|(key, value)| key.len() + value.len()).sum();
    if config.len() > Plugins::MAX_CONFIG_KEYS || bytes > Plugins::MAX_CONFIG_BYTES {
        return Err(InvalidField::new("config", "may have at most 100 keys and 64 KiB"));
    }
    if config.iter().any(|(key, value)| key.contains('\0') || value.contains('\0')) {
        return Err(InvalidField::new("config", "must not contain U+0000"));
    }
    Ok(())
}

fn refusal(error: CompileError) -> Error {
    match error {
        CompileError::Refused(why) => Error::invalid("plugin", format!("is refused: {why}")),
        CompileError::TooMuch(what) => Error::invalid(
            "plugin",
            format!("is refused: it takes more {what} to compile than this server gives"),
        ),
        CompileError::Broken(source) => Error::internal(source),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;

    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
