//! What a server says of an upload, also where somebody only asks what it would say.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{changes::check_config, content_types::declared, refusal};
use crate::{
    Error, Result,
    db::plugins::Config,
    domain::{Caller, EventKind, PluginId},
    plugin::{Compiled, Hooks, PluginHost},
};

/// A component that a server takes, and the report on it.
pub struct Examined {
    pub compiled: Arc<Compiled>,
    pub report: Json,
}

/// Checks and compiles a component and tries it once, as an upload is.
///
/// # Errors
/// [`Error::Invalid`] where it is refused: the text says why.
pub async fn examine(
    host: &PluginHost,
    caller: &Caller,
    config: Config,
    component: &[u8],
) -> Result<Examined> {
    let compiled = host.compile(component).await.map_err(refusal)?;
    // Nobody serves it: there is nothing here but the configuration.
    let hooks = Hooks::new(host.clone());
    let content_types = declared(&hooks, &compiled, caller).await?;
    let events = hooks
        .ask_kinds(&compiled, caller)
        .await
        .map_err(|error| Error::invalid("plugin", format!("is refused: {error}")))?;
    let known = content_types.as_deref().unwrap_or_default();
    let dry_run = hooks.dry_run(&compiled, caller, config, known).await;
    let mut report = serde_json::to_value(&compiled.report).map_err(Error::internal)?;
    if let Some(content_types) = &content_types {
        report["contentTypes"] = serde_json::to_value(content_types).map_err(Error::internal)?;
    }
    report["dryRun"] = serde_json::to_value(dry_run).map_err(Error::internal)?;
    if !events.is_empty() {
        report["events"] = events.into_iter().map(EventKind::as_str).collect();
    }
    Ok(Examined { compiled: Arc::new(compiled), report })
}

/// Asks a component whether it takes a configuration, as an activation does.
///
/// # Errors
/// [`Error::Invalid`] where it does not: the text says why.
pub async fn require_config(
    host: &PluginHost,
    caller: &Caller,
    compiled: &Compiled,
    config: Config,
) -> Result<()> {
    check_config(&config)?;
    let plugin = (caller.org.id, PluginId::new());
    Hooks::new(host.clone())
        .check(compiled, plugin, config)
        .await
        .map_err(|refusal| Error::invalid("config", format!("is not taken: {refusal}")))
}
