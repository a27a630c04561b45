//! Content types: which ones a version judges, and whose they are.

use serde_json::Value as Json;

use crate::{
    Error, Result,
    db::{OrgTx, content_types, orgs},
    domain::{Caller, PluginId},
    plugin::{BeforeSend, Compiled, ContentTypes, DeclareError, DeclaredType, Hooks, Unowned},
};

/// Those that an upload says it judges; `None`: it does not take part there.
pub(super) async fn declared(
    hooks: &Hooks,
    compiled: &Compiled,
    admin: &Caller,
) -> Result<Option<Vec<DeclaredType>>> {
    let declared = hooks.content_types(compiled, admin).await;
    declared.map_err(|error| match error {
        DeclareError::Refused(_) => Error::invalid("plugin", format!("is refused: {error}")),
        DeclareError::Busy => Error::unavailable(error),
    })
}

/// Holds a version that is to be activated to the rule that a content type has one active owner.
/// Two that come at once are decided one after another; the row of the plugin is locked before.
pub(super) async fn require_unowned(tx: &mut OrgTx, plugin: PluginId, report: &Json) -> Result<()> {
    let declared = DeclaredType::read_all(report).into_iter().filter(DeclaredType::is_owned);
    let owned: Vec<String> = declared.map(|declared| declared.name).collect();
    if owned.is_empty() {
        return Ok(());
    }
    let conn = &mut tx.conn();
    orgs::lock(conn).await?;
    match content_types::find_owner(conn, plugin, &owned).await? {
        None => Ok(()),
        Some((other, content_type)) => Err(Error::Conflict(format!(
            "the active plugin {other} owns the content type {content_type}: disable it first"
        ))),
    }
}

/// Those that a version judges, as it said at its upload.
pub(super) async fn read(report: &Json) -> Result<ContentTypes> {
    let declared = DeclaredType::read_all(report);
    if declared.is_empty() {
        return Ok(ContentTypes::default());
    }
    // Reading schemas may take a moment.
    let read = tokio::task::spawn_blocking(move || ContentTypes::new(&declared)).await;
    read.map_err(Error::internal)
}

pub(super) fn refuse(ask: &BeforeSend<'_>, _: Unowned) -> Error {
    let content_type = ask.body.content_type.as_str();
    Error::invalid(
        "contentType",
        format!("{content_type} is owned by no active plugin of this org"),
    )
}
