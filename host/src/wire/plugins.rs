//! What admins send and get about their org's plugins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::message::time_text;
use crate::{
    Error, Result,
    domain::{OnFault, Phase},
    service::{PluginEntry, PluginLive, PluginTerms},
};

/// A plugin's configuration: an object of strings.
pub type ConfigRequest = BTreeMap<String, String>;

/// What a plugin may import: by name, with its parameters.
pub type GrantsRequest = BTreeMap<String, Json>;

/// Where in a log to go on.
#[derive(Debug, Default, Deserialize)]
pub struct LogQuery {
    cursor: Option<String>,
}

impl LogQuery {
    /// The number of the last line seen; 0 at first.
    pub fn after(&self) -> Result<u64> {
        let Some(cursor) = self.cursor.as_deref().filter(|cursor| !cursor.is_empty()) else {
            return Ok(0);
        };
        cursor.parse().map_err(|_| Error::invalid("cursor", "must be what the page before said"))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ActivateRequest {
    /// SHA-256 in hex; the newest upload where it is left out.
    pub version: Option<String>,
    /// Takes the place of the plugin's at the same moment.
    pub config: Option<ConfigRequest>,
    /// What a message meets when the plugin gives no answer.
    on_fault: Option<OnFault>,
    /// The same for content that it is to validate.
    on_content_fault: Option<OnFault>,
    /// Whether the previous version takes over when this one fails again and again.
    auto_rollback: Option<bool>,
}

impl ActivateRequest {
    pub fn terms(&self) -> PluginTerms {
        PluginTerms {
            on_fault: self.on_fault,
            on_content_fault: self.on_content_fault,
            auto_rollback: self.auto_rollback,
        }
    }
}

/// When a plugin is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OrderRequest {
    /// What it was where it is left out.
    pub phase: Option<Phase>,
    /// Lower ones are asked first; the last of the phase where it is left out.
    pub position: Option<i32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginView {
    name: String,
    /// `active`, or `ready` where no version decides.
    state: &'static str,
    /// The version that decides.
    active_version: Option<String>,
    /// The one that decided before.
    previous_version: Option<String>,
    /// The version that decides in a share of the threads; `null`: none does.
    canary: Option<CanaryView>,
    /// The newest upload, with what its check found.
    version: Option<String>,
    hooks: Json,
    imports: Json,
    /// Those that it validates; null where it does not take part there.
    content_types: Json,
    phase: Phase,
    position: i32,
    grants: BTreeMap<String, Json>,
    on_fault: OnFault,
    on_content_fault: OnFault,
    /// Whether the previous version takes over when the active one fails again and again.
    auto_rollback: bool,
    /// How it fares on this server, hook by hook; empty where no version decides.
    live: Vec<PluginLive>,
    config: BTreeMap<String, String>,
    /// Counts the changes of the configuration.
    config_revision: i64,
    versions: Vec<VersionView>,
    created_at: String,
    updated_at: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CanaryView {
    version: String,
    percent: u8,
    since: String,
    live: Vec<PluginLive>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionView {
    version: String,
    report: Json,
    created_at: String,
}

impl From<PluginEntry> for PluginView {
    fn from(entry: PluginEntry) -> Self {
        let newest = entry.versions.first();
        let found =
            |field: &str| newest.map_or(Json::Null, |version| version.report[field].clone());
        Self {
            state: if entry.active_version.is_some() { "active" } else { "ready" },
            version: newest.map(|version| version.version.clone()),
            hooks: found("hooks"),
            imports: fold_runtime(found("imports")),
            content_types: found("contentTypes"),
            name: entry.name,
            active_version: entry.active_version,
            previous_version: entry.previous_version,
            phase: entry.phase,
            position: entry.position,
            grants: entry.grants,
            on_fault: entry.on_fault,
            on_content_fault: entry.on_content_fault,
            auto_rollback: entry.auto_rollback,
            live: entry.live,
            canary: entry.canary.map(|canary| CanaryView {
                version: canary.version,
                percent: canary.percent,
                since: time_text(canary.since),
                live: canary.live,
            }),
            config: entry.config,
            config_revision: entry.config_revision,
            versions: entry
                .versions
                .into_iter()
                .map(|version| VersionView {
                    version: version.version,
                    report: folded(version.report),
                    created_at: time_text(version.created_at),
                })
                .collect(),
            created_at: time_text(entry.created_at),
            updated_at: time_text(entry.updated_at),
        }
    }
}

/// How the imports that only runtimes need are shown: as one, for nothing is behind any of them.
const RUNTIME: &str = "wasi (runtime only, inert)";

/// The report on a version, as its admins read it.
pub fn folded(mut report: Json) -> Json {
    if let Some(imports) = report.get_mut("imports") {
        *imports = fold_runtime(imports.take());
    }
    report
}

/// What is ours comes first and is told by name.
fn fold_runtime(imports: Json) -> Json {
    let Json::Array(mut imports) = imports else { return imports };
    let all = imports.len();
    imports.retain(|name| !name.as_str().is_some_and(|name| name.starts_with("wasi:")));
    if imports.len() < all {
        imports.push(RUNTIME.into());
    }
    Json::Array(imports)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_runtimes_import_is_one_entry_behind_ours() {
        let report = json!({
            "wit": "0.2.0",
            "imports": ["wasi:io/poll@0.2.3", "log", "wasi:cli/exit@0.2.3", "config"],
        });

        assert_eq!(folded(report)["imports"], json!(["log", "config", RUNTIME]));
        assert_eq!(folded(json!({ "imports": ["log"] })), json!({ "imports": ["log"] }));
        assert_eq!(folded(json!({})), json!({}));
    }
}
