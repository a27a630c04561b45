//! A version is asked about something made up, by an admin who wants to see what it does.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{
    Plugins,
    changes::{PLUGIN, check_config},
    content_types,
    entry::{hex, named},
    events, hooks,
};
use crate::{
    Error, Result,
    db::plugins::{self, Config, PluginRow},
    domain::{Caller, OnFault, Phase, PluginId},
    plugin::{
        Compiled, GrantedReads, Installation, Reads, Scenario, Threads, Tried, TryError, try_out,
    },
};

impl Plugins {
    /// Asks one version of a plugin about something made up. Nothing of it is kept, and nobody
    /// else hears of it.
    pub async fn try_version(
        &self,
        caller: &Caller,
        name: &str,
        (version, config): (Option<&str>, Option<Config>),
        scenario: Scenario,
    ) -> Result<Tried> {
        if let Some(config) = &config {
            check_config(config)?;
        }
        let candidate = self.candidate(caller, name, version).await?;
        let config = config.unwrap_or_else(|| candidate.row.config.clone());
        let installation = candidate.install(config).await?;
        // One at a time: it has places beside those for the org's messages.
        let turn = self.testing.entry(caller.org.id).or_default().clone();
        let _turn = turn.try_lock().map_err(|_| {
            Error::Conflict("another test of this org is running; try again when it is over".into())
        })?;
        try_out(&self.host, self.stages.stand_in, installation, scenario)
            .await
            .map_err(|error| not_asked(&error))
    }

    /// One version that was uploaded under a name, made to run here; without a version the newest.
    pub(super) async fn candidate(
        &self,
        caller: &Caller,
        name: &str,
        version: Option<&str>,
    ) -> Result<Candidate> {
        let mut handle = self.db.org(caller.org.id).await?;
        let rows = plugins::list(&mut handle.conn()).await?;
        let row = rows.into_iter().find(|row| row.name == name).ok_or(PLUGIN)?;
        let versions = plugins::list_versions(&mut handle.conn()).await?;
        handle.done();
        let mut own = versions.into_iter().filter(|entry| entry.plugin_id == row.id);
        let chosen = if let Some(wanted) = version {
            let own: Vec<_> = own.map(|entry| (hex(&entry.sha256), entry)).collect();
            let chosen = named(own.iter().map(|(version, _)| version.as_str()), wanted)?.to_owned();
            own.into_iter().find_map(|(version, entry)| (version == chosen).then_some(entry))
        } else {
            own.next()
        };
        let chosen = chosen.ok_or(PLUGIN)?;
        let compiled =
            self.load(caller.org.id, row.id, &chosen.sha256).await.map_err(Error::unavailable)?;
        Ok(Candidate { row, sha256: chosen.sha256, report: chosen.report, compiled })
    }
}

/// A version that may be tried.
pub(super) struct Candidate {
    pub(super) row: PluginRow,
    pub(super) sha256: Vec<u8>,
    pub(super) report: Json,
    pub(super) compiled: Arc<Compiled>,
}

impl Candidate {
    /// What of the org's a candidate may read that only rehearses.
    pub(super) fn reads(&self, reads: Arc<dyn Reads>) -> GrantedReads {
        let granted = |name: &str| self.row.grants.contains_key(name);
        GrantedReads {
            reads,
            history: granted("history"),
            directory: granted("directory"),
            kv: granted("kv"),
        }
    }

    pub(super) async fn install(&self, config: Config) -> Result<Installation> {
        let compiled = Arc::clone(&self.compiled);
        let installation =
            made_up_installation(self.row.name.clone(), compiled, &self.report, config).await?;
        let config_revision = self.row.config_revision;
        Ok(Installation { id: self.row.id, phase: self.row.phase, config_revision, ..installation })
    }
}

/// A version as if it were installed.
pub async fn made_up_installation(
    name: String,
    compiled: Arc<Compiled>,
    report: &Json,
    config: Config,
) -> Result<Installation> {
    Ok(Installation {
        id: PluginId::new(),
        name,
        version: compiled.report.sha256.clone(),
        compiled: Some(compiled),
        hooks: hooks(report),
        events: events::events(report),
        config,
        config_revision: 0,
        phase: Phase::Transform,
        on_fault: OnFault::Hold,
        on_content_fault: OnFault::Reject,
        content_types: content_types::read(report).await?,
        // A stand-in sends nothing anywhere.
        granted_hosts: Vec::new(),
        threads: Threads::All,
    })
}

fn not_asked(error: &TryError) -> Error {
    Error::invalid("hook", error.to_string())
}
