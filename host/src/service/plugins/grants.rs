//! What an org lets its plugins do.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{Plugins, changes::Deed};
use crate::{
    Error, Result,
    db::plugins::{self, Grants, PluginRow},
    domain::{Caller, HostPattern, InvalidField},
    plugin::capabilities,
    service::PluginEntry,
};

impl Plugins {
    /// Replaces what a plugin may import. What the active version imports cannot be taken from it.
    pub async fn grant(&self, caller: &Caller, name: &str, grants: Grants) -> Result<PluginEntry> {
        check_grants(&grants)?;
        let (mut tx, plugin) = self.lock(caller, name).await?;
        let canary = plugin.canary.as_ref().map(|canary| &canary.version);
        for active in plugin.active_version.iter().chain(canary) {
            let report = plugins::find_report(&mut tx.conn(), plugin.id, active).await?;
            let report = report.unwrap_or_default();
            let missing = missing(&report, &grants);
            if !missing.is_empty() {
                return Err(Error::Conflict(format!(
                    "the active version or its canary imports {}: disable the plugin or \
                     activate another version first",
                    missing.join(", "),
                )));
            }
        }
        plugins::update_grants(&mut tx.conn(), plugin.id, &grants).await?;
        let detail = json!({ "grants": grants.keys().collect::<Vec<_>>() });
        self.finish(caller, tx, name, Deed { action: "plugin.grant", detail }).await
    }
}

/// A version that imports more than was granted decides nothing.
pub(super) fn require_granted(plugin: &PluginRow, report: &Json) -> Result<()> {
    let missing = missing(report, &plugin.grants);
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(
        "grants",
        format!(
            "lack {}, which this version imports: grant it with PUT /admin/plugins/{}/grants",
            missing.join(", "),
            plugin.name,
        ),
    ))
}

/// The capabilities that a version imports, as its binary says, and that were not granted.
pub(super) fn missing<'a>(report: &'a Json, grants: &Grants) -> Vec<&'a str> {
    let imports = report["imports"].as_array().map_or(&[][..], Vec::as_slice);
    let names = imports.iter().filter_map(Json::as_str);
    names.filter(|name| capabilities().contains(name) && !grants.contains_key(*name)).collect()
}

fn check_grants(grants: &Grants) -> Result<(), InvalidField> {
    for (name, parameters) in grants {
        if !capabilities().contains(&name.as_str()) {
            let offered = capabilities().join(", ");
            return Err(InvalidField::new(
                "grants",
                format!("may name {offered}, and nothing else"),
            ));
        }
        if name == HTTP {
            parse_hosts(parameters)?;
        } else if parameters.as_object().is_none_or(|parameters| !parameters.is_empty()) {
            return Err(InvalidField::new(format!("grants.{name}"), "must be an empty object"));
        }
    }
    Ok(())
}

const HTTP: &str = "http";
const MAX_HOSTS: usize = 50;

/// What `http` is granted with.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpGrant {
    hosts: Vec<HostPattern>,
}

/// Where a plugin may send requests; nowhere, if `http` was not granted.
pub(super) fn granted_hosts(grants: &Grants) -> Vec<HostPattern> {
    grants.get(HTTP).and_then(|grant| parse_hosts(grant).ok()).unwrap_or_default()
}

fn parse_hosts(grant: &Json) -> Result<Vec<HostPattern>, InvalidField> {
    let HttpGrant { hosts } = HttpGrant::deserialize(grant).map_err(|error| {
        let message =
            format!("must be an object such as {{\"hosts\": [\"api.example.com\"]}}: {error}");
        InvalidField::new("grants.http", message)
    })?;
    if (1..=MAX_HOSTS).contains(&hosts.len()) {
        return Ok(hosts);
    }
    Err(InvalidField::new("grants.http.hosts", format!("must name 1 to {MAX_HOSTS} hosts")))
}
