//! How versions are tried on an org's messages, as its admins start it and read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::message::time_text;
use crate::{
    Error, Result,
    domain::{EntryId, Label, RunStage, RunState},
    service::{
        BacktestCommand, PluginConfig, REVIEW_PAGE, RunEntry, RunImport, RunResult, RunVerdict,
    },
};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrialRequest {
    /// SHA-256 in hex; the newest upload where it is left out.
    pub version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CanaryRequest {
    /// SHA-256 in hex; the canary that there is, or the newest upload, where it is left out.
    pub version: Option<String>,
    /// Of the threads.
    pub percent: u8,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BacktestRequest {
    version: Option<String>,
    config: Option<PluginConfig>,
    messages: Option<u64>,
}

impl From<BacktestRequest> for BacktestCommand {
    fn from(request: BacktestRequest) -> Self {
        let BacktestRequest { version, config, messages } = request;
        Self { version, config, messages }
    }
}

/// Which results, and where to go on.
#[derive(Debug, Default, Deserialize)]
pub struct ResultsQuery {
    all: Option<bool>,
    cursor: Option<String>,
    limit: Option<i64>,
}

impl ResultsQuery {
    pub fn limit(&self) -> Result<i64> {
        let limit = self.limit.unwrap_or(REVIEW_PAGE);
        let is_right = (1..=REVIEW_PAGE).contains(&limit);
        is_right
            .then_some(limit)
            .ok_or_else(|| Error::invalid("limit", format!("must be 1 to {REVIEW_PAGE}")))
    }

    /// Whether all are wanted, or only those on which the two differ; and behind which.
    pub fn place(&self) -> Result<(bool, Option<EntryId>, i64)> {
        let cursor = self.cursor.as_deref().filter(|cursor| !cursor.is_empty());
        let after = cursor.map(str::parse).transpose().map_err(|_| {
            Error::invalid("cursor", "must be what the page before said in X-Next-Cursor")
        })?;
        Ok((self.all.unwrap_or(false), after, self.limit()?))
    }
}

/// A trial or a backtest, and what has come of it so far.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunView {
    id: EntryId,
    stage: &'static str,
    plugin: String,
    version: String,
    state: RunState,
    /// The most messages that the version is asked about, and those that it has been.
    wanted: u64,
    messages: u64,
    /// Messages that went by unasked.
    dropped: u64,
    started_at: String,
    ended_at: Option<String>,
    /// It goes by another configuration than the plugin's.
    own_config: bool,
    /// What it said, and what the active version did: how often each word.
    verdicts: BTreeMap<String, u64>,
    active_verdicts: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    /// On how many messages it put each label.
    labels: BTreeMap<String, u64>,
    /// Of those that the active version was asked about too.
    agreeing: u64,
    differing: u64,
    /// What it said of the others.
    unasked: BTreeMap<String, u64>,
    /// Where the two differ, what became what.
    differences: Vec<DifferenceView>,
    p50_micros: u64,
    p99_micros: u64,
    most_micros: u64,
    most_memory_bytes: u64,
    /// How what it asked of the server was answered.
    imports: Vec<ImportView>,
    /// What the version was told that is not as it was for the active one.
    not_rebuilt: Vec<&'static str>,
    /// What therefore says little about what the version would do.
    not_compared: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct DifferenceView {
    active: String,
    candidate: String,
    messages: u64,
}

#[derive(Debug, Serialize)]
struct ImportView {
    import: String,
    answered: String,
    count: u64,
}

/// Of what a sender's context held when a stored message was sent, nobody knows any more.
const NOT_REBUILT: &[&str] = &[
    "caller.roles is empty, caller.admin is false, and caller.messages-24h is 0",
    "door is rest, attempt is 1, and call-id is another",
    "the content is what is stored: as active plugins and later edits left it",
    "history is as it reads now; messages deleted since are missing",
    "the sender's kind and name are those of their latest token",
];

impl From<RunEntry> for RunView {
    fn from(entry: RunEntry) -> Self {
        let RunEntry { plugin, version, stage, row, verdicts, labels, costs, imports } = entry;
        let mut words = Words::default();
        for row in verdicts {
            words.add(row);
        }
        let differences = words.differences.into_iter();
        Self {
            id: row.id,
            stage: stage.as_str(),
            plugin,
            version,
            state: row.state,
            wanted: row.wanted,
            messages: row.asked,
            dropped: row.dropped,
            started_at: time_text(row.started_at),
            ended_at: row.ended_at.map(time_text),
            own_config: row.own_config,
            verdicts: words.verdicts,
            active_verdicts: words.active,
            faults: words.faults,
            labels: labels.into_iter().map(|row| (row.name, row.count)).collect(),
            agreeing: words.agreeing,
            differing: words.differing,
            unasked: words.unasked,
            differences: differences
                .map(|((active, candidate), messages)| DifferenceView {
                    active,
                    candidate,
                    messages,
                })
                .collect(),
            p50_micros: costs.p50_micros,
            p99_micros: costs.p99_micros,
            most_micros: costs.most_micros,
            most_memory_bytes: costs.most_memory_bytes,
            not_rebuilt: if stage == RunStage::Backtest { NOT_REBUILT } else { &[] }.to_vec(),
            not_compared: not_compared(&imports),
            imports: imports
                .into_iter()
                .map(|row| ImportView {
                    import: row.import,
                    answered: row.answered,
                    count: row.count,
                })
                .collect(),
        }
    }
}

/// How often each word was said.
#[derive(Default)]
struct Words {
    verdicts: BTreeMap<String, u64>,
    active: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    agreeing: u64,
    differing: u64,
    unasked: BTreeMap<String, u64>,
    differences: BTreeMap<(String, String), u64>,
}

impl Words {
    fn add(&mut self, row: RunVerdict) {
        let RunVerdict { active, verdict, fault, agrees, count } = row;
        *self.verdicts.entry(verdict.clone()).or_default() += count;
        if let Some(fault) = fault {
            *self.faults.entry(fault).or_default() += count;
        }
        let Some(active) = active else {
            *self.unasked.entry(verdict).or_default() += count;
            return;
        };
        *self.active.entry(active.clone()).or_default() += count;
        if agrees {
            self.agreeing += count;
        } else {
            self.differing += count;
            *self.differences.entry((active, verdict)).or_default() += count;
        }
    }
}

fn not_compared(imports: &[RunImport]) -> Vec<&'static str> {
    let mut said: Vec<&'static str> = imports
        .iter()
        .filter_map(|row| match (row.import.as_str(), row.answered.as_str()) {
            ("kv", "real") => Some(
                "kv: it read keys as they are now: one that remembers what it has seen finds what \
                 the active version wrote for this very message",
            ),
            ("kv", _) => Some("kv: what it wrote and counted, it alone found again"),
            ("http", _) => Some("http: no request was made, and each was answered with an error"),
            ("secrets", _) => Some("secrets: it was given made-up values"),
            ("messages", _) => Some("messages: nothing was sent"),
            _ => None,
        })
        .collect();
    said.dedup();
    said
}

/// What a version made of one message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResultView {
    /// `message`, `edit` or `refusal`, and which one.
    subject: String,
    id: Uuid,
    verdict: String,
    fault: Option<String>,
    /// `null`: no active version was asked.
    active_verdict: Option<String>,
    /// `null` likewise.
    agrees: Option<bool>,
    labels: Vec<Label>,
    changed: Vec<String>,
    micros: u64,
    at: String,
}

impl From<RunResult> for RunResultView {
    fn from(row: RunResult) -> Self {
        Self {
            subject: row.subject,
            id: row.subject_id,
            verdict: row.verdict,
            fault: row.fault,
            agrees: row.active_verdict.is_some().then_some(row.agrees),
            active_verdict: row.active_verdict,
            labels: row.labels,
            changed: row.changed,
            micros: row.micros,
            at: time_text(row.created_at),
        }
    }
}
