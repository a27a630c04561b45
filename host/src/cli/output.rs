//! What commands print: for people, or as JSON for scripts.

use std::io::Write;

use serde::Serialize;

use super::CliError;

/// Prints a text as it is.
pub(super) fn text(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

pub(super) fn line(line: impl AsRef<str>) -> Result<(), CliError> {
    text(&format!("{}\n", line.as_ref()))
}

/// One JSON document on one line.
pub(super) fn json(value: &impl Serialize) -> Result<(), CliError> {
    line(serde_json::to_string(value).map_err(crate::Error::internal)?)
}
