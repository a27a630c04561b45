//! Trials and backtests as admins start, end and read them.

use std::{fmt::Write, sync::Arc};

use serde_json::json;

use super::{
    Plugins,
    canaries::beside_active,
    changes::{Deed, PLUGIN, note},
    entry::hex,
    trials::OnTrial,
    tryout::Candidate,
};
use crate::{
    Error, Result,
    db::{
        OrgConn, orgs,
        plugins::{self, PluginRow},
        runs::{self, CostRow, ImportRow, LabelRow, NewRun, ResultRow, RunRow, VerdictRow},
    },
    domain::{Caller, EntryId, OrgId, RunStage, RunState},
    plugin::{Hook, Hooks, LaidOut, StandIn, Watch},
    service::history::{Page, cut},
};

pub use crate::db::runs::{
    ImportRow as RunImport, ResultRow as RunResult, VerdictRow as RunVerdict,
};

const TRIAL: Error = Error::NotFound(std::borrow::Cow::Borrowed("a trial of this plugin"));

/// A trial or a backtest, and what has come of it so far.
pub struct RunEntry {
    pub plugin: String,
    /// SHA-256 in hex.
    pub version: String,
    pub stage: RunStage,
    pub row: RunRow,
    pub verdicts: Vec<VerdictRow>,
    pub labels: Vec<LabelRow>,
    pub costs: CostRow,
    pub imports: Vec<ImportRow>,
}

impl Plugins {
    /// Asks a version about live messages from the next one on, beside the one that decides;
    /// what it says is only noted. Without a version the newest upload.
    pub async fn start_trial(
        &self,
        caller: &Caller,
        name: &str,
        version: Option<&str>,
    ) -> Result<RunEntry> {
        let candidate = self.candidate(caller, name, version).await?;
        let config = candidate.row.config.clone();
        self.require_taken(caller, name, &hex(&candidate.sha256), &config).await?;
        let run = NewRun {
            plugin_id: candidate.row.id,
            sha256: &candidate.sha256,
            stage: RunStage::Trial,
            wanted: self.stages.settings.trial_messages,
            own_config: false,
            started_by: caller.user.id,
        };
        let (mut tx, _) = self.lock(caller, name).await?;
        // The one that was running is gone by now.
        runs::start(&mut tx.conn(), &run).await?;
        let detail = json!({ "version": hex(&candidate.sha256) });
        note(&mut tx, caller, name, &Deed { action: "plugin.trial", detail }).await?;
        orgs::touch(&mut tx.conn()).await?;
        tx.commit().await?;
        self.refresh(caller.org.id).await?;
        self.read_trial(caller, name).await
    }

    /// Ends a trial. What it found stays until the next one, or as long as the version.
    pub async fn end_trial(&self, caller: &Caller, name: &str) -> Result<RunEntry> {
        let (mut tx, plugin) = self.lock(caller, name).await?;
        let trial = runs::find_trial(&mut tx.conn(), plugin.id).await?;
        let trial = trial.filter(|trial| trial.state == RunState::Running).ok_or(TRIAL)?;
        runs::end(&mut tx.conn(), trial.id, RunState::Ended).await?;
        let detail = json!({ "version": hex(&trial.sha256) });
        note(&mut tx, caller, name, &Deed { action: "plugin.trial.end", detail }).await?;
        orgs::touch(&mut tx.conn()).await?;
        tx.commit().await?;
        self.refresh(caller.org.id).await?;
        self.read_trial(caller, name).await
    }

    pub async fn read_trial(&self, caller: &Caller, name: &str) -> Result<RunEntry> {
        let mut handle = self.db.org(caller.org.id).await?;
        let conn = &mut handle.conn();
        let plugin = find_plugin(conn, name).await?;
        let row = runs::find_trial(conn, plugin.id).await?.ok_or(TRIAL)?;
        read(conn, plugin, RunStage::Trial, row).await
    }

    /// The messages of a trial on which the candidate and the active version differ, or all.
    pub async fn list_trial_results(
        &self,
        caller: &Caller,
        name: &str,
        (all, after, limit): (bool, Option<EntryId>, i64),
    ) -> Result<Page<ResultRow, EntryId>> {
        let mut handle = self.db.org(caller.org.id).await?;
        let conn = &mut handle.conn();
        let plugin = find_plugin(conn, name).await?;
        let trial = runs::find_trial(conn, plugin.id).await?.ok_or(TRIAL)?;
        page(conn, trial.id, (all, after, limit)).await
    }

    /// What is to be on trial among an org's plugins.
    pub(super) async fn list_trials(
        &self,
        conn: &mut OrgConn<'_>,
        rows: &[PluginRow],
    ) -> Result<Vec<Planned>> {
        let mut planned = Vec::new();
        for run in runs::list_trials(conn).await? {
            let Some(row) = rows.iter().find(|row| row.id == run.plugin_id) else { continue };
            let report = plugins::find_report(conn, row.id, &run.sha256).await?;
            let before = rows.iter().take_while(|other| other.id != row.id);
            planned.push(Planned {
                run: run.id,
                place: before.map(installed).sum(),
                row: row.clone(),
                sha256: run.sha256,
                report: report.unwrap_or_default(),
            });
        }
        Ok(planned)
    }

    /// Puts candidates in place, each with what it has kept so far where nothing about it has
    /// changed. One that cannot run here is left out: it decides nothing.
    pub(super) async fn put_on_trial(&self, org: OrgId, planned: Vec<Planned>) {
        let before = self.trials.of(org);
        let (mut trials, mut watches) = (Vec::new(), Vec::new());
        for plan in planned {
            let (plugin, place) = (plan.row.id, plan.place);
            let hooks = super::hooks(&plan.report);
            match self.on_trial(org, &before, plan).await {
                Ok(trial) => {
                    let sees_original = hooks.contains(&Hook::ValidateContent);
                    watches.push(Watch { plugin, place, sees_original });
                    trials.push(trial);
                }
                Err(error) => {
                    tracing::warn!(%error, org.id = %org, plugin.id = %plugin, "a trial cannot run here");
                }
            }
        }
        self.hooks.watch(org, watches);
        self.trials.replace(org, trials);
    }

    async fn on_trial(
        &self,
        org: OrgId,
        before: &[Arc<OnTrial>],
        plan: Planned,
    ) -> Result<Arc<OnTrial>> {
        let terms = plan.terms();
        let same = before.iter().find(|trial| trial.run == plan.run && trial.terms == terms);
        if let Some(same) = same {
            return Ok(Arc::clone(same));
        }
        let compiled =
            self.load(org, plan.row.id, &plan.sha256).await.map_err(Error::unavailable)?;
        let Planned { run, row, sha256, report, .. } = plan;
        let candidate = Candidate { row, sha256, report, compiled };
        let reads = candidate.reads(Arc::clone(&self.stages.guests) as _);
        let (hooks, stand_in) =
            self.rehearsal(org, &candidate, candidate.row.config.clone(), reads).await?;
        let Candidate { row, .. } = candidate;
        Ok(Arc::new(OnTrial::new((run, row.id), (row.name, terms), (hooks, stand_in))))
    }

    /// Hooks that ask one candidate alone, and what stands in for all that it asks.
    pub(super) async fn rehearsal(
        &self,
        org: OrgId,
        candidate: &Candidate,
        config: plugins::Config,
        reads: crate::plugin::GrantedReads,
    ) -> Result<(Hooks, Arc<StandIn>)> {
        let stand_in =
            Arc::new(StandIn::new(self.stages.stand_in, LaidOut::default(), Some(reads)));
        let hooks = Hooks::new(self.host.clone()).served_by(Arc::clone(&stand_in) as _);
        hooks.replace(org, vec![candidate.install(config).await?]);
        Ok((hooks, stand_in))
    }
}

/// How many versions of a plugin are asked.
fn installed(plugin: &PluginRow) -> usize {
    usize::from(plugin.active_version.is_some()) + usize::from(beside_active(plugin).is_some())
}

/// A candidate that is to be put on trial.
pub(super) struct Planned {
    run: EntryId,
    /// How many active plugins are asked before it.
    place: usize,
    row: PluginRow,
    sha256: Vec<u8>,
    report: serde_json::Value,
}

impl Planned {
    /// What makes it another candidate when it changes.
    fn terms(&self) -> String {
        let PluginRow { config_revision, phase, grants, .. } = &self.row;
        let mut terms = format!("{config_revision} {}", phase.as_str());
        for name in grants.keys() {
            let _ = write!(terms, " {name}");
        }
        terms
    }
}

pub(super) async fn find_plugin(conn: &mut OrgConn<'_>, name: &str) -> Result<PluginRow> {
    let rows = plugins::list(conn).await?;
    rows.into_iter().find(|row| row.name == name).ok_or(PLUGIN)
}

pub(super) async fn read(
    conn: &mut OrgConn<'_>,
    plugin: PluginRow,
    stage: RunStage,
    row: RunRow,
) -> Result<RunEntry> {
    Ok(RunEntry {
        plugin: plugin.name,
        version: hex(&row.sha256),
        stage,
        verdicts: runs::count_verdicts(conn, row.id).await?,
        labels: runs::count_labels(conn, row.id).await?,
        costs: runs::load_costs(conn, row.id).await?,
        imports: runs::list_imports(conn, row.id).await?,
        row,
    })
}

pub(super) async fn page(
    conn: &mut OrgConn<'_>,
    run: EntryId,
    (all, after, limit): (bool, Option<EntryId>, i64),
) -> Result<Page<ResultRow, EntryId>> {
    let mut items = runs::list_results(conn, run, all, (after, limit + 1)).await?;
    let next = cut(&mut items, limit, |row| row.id);
    Ok(Page { items, next })
}
