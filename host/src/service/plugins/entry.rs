//! Plugins as their admins see them.

pub(super) use crate::domain::hex;

use serde_json::Value as Json;
use time::OffsetDateTime;

use crate::{
    Error, Result,
    db::plugins::{Config, Grants, PluginRow, VersionRow},
    domain::{OnFault, Phase},
    plugin::Live,
};

/// A plugin and all that was uploaded under its name.
pub struct PluginEntry {
    pub name: String,
    pub config: Config,
    /// Counts the changes of `config`.
    pub config_revision: i64,
    pub phase: Phase,
    pub position: i32,
    pub grants: Grants,
    pub on_fault: OnFault,
    pub on_content_fault: OnFault,
    pub auto_rollback: bool,
    /// SHA-256 in hex of the version that decides, if one does.
    pub active_version: Option<String>,
    /// The one that decided before.
    pub previous_version: Option<String>,
    pub canary: Option<CanaryEntry>,
    pub versions: Vec<VersionEntry>,
    /// How the active version fares, on this server.
    pub live: Vec<Live>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// A version that decides in a share of the threads.
pub struct CanaryEntry {
    /// SHA-256 in hex.
    pub version: String,
    pub percent: u8,
    pub since: OffsetDateTime,
    /// How it fares, on this server.
    pub live: Vec<Live>,
}

/// What was uploaded, and what its check found.
pub struct VersionEntry {
    pub version: String,
    pub report: Json,
    pub created_at: OffsetDateTime,
}

impl PluginEntry {
    pub(super) fn new(
        row: PluginRow,
        versions: Vec<VersionRow>,
        (live, canary_live): (Vec<Live>, Vec<Live>),
    ) -> Self {
        let versions = versions.into_iter().map(|version| VersionEntry {
            version: hex(&version.sha256),
            report: version.report,
            created_at: version.created_at,
        });
        Self {
            name: row.name,
            config: row.config,
            config_revision: row.config_revision,
            phase: row.phase,
            position: row.position,
            grants: row.grants,
            on_fault: row.on_fault,
            on_content_fault: row.on_content_fault,
            auto_rollback: row.auto_rollback,
            live,
            active_version: row.active_version.as_deref().map(hex),
            previous_version: row.previous_version.as_deref().map(hex),
            canary: row.canary.map(|canary| CanaryEntry {
                version: hex(&canary.version),
                percent: canary.percent,
                since: canary.since,
                live: canary_live,
            }),
            versions: versions.collect(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The one of these versions, in hex, that somebody has named in full or by its first digits.
pub(super) fn named<'a>(
    versions: impl IntoIterator<Item = &'a str>,
    wanted: &str,
) -> Result<&'a str> {
    let wanted = &wanted.to_ascii_lowercase();
    let fits =
        |version: &&str| wanted.len() >= LEAST_DIGITS && version.starts_with(wanted.as_str());
    let mut fitting = versions.into_iter().filter(fits);
    let what = match (fitting.next(), fitting.next()) {
        (Some(version), None) => return Ok(version),
        (Some(_), Some(_)) => "names more than one upload: give more of its digits",
        (None, _) => "must be one that was uploaded under this name, by its first 8 digits or more",
    };
    Err(Error::invalid("version", what))
}

/// So that nobody hits a version by chance.
const LEAST_DIGITS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_named_by_as_many_digits_as_tell_it_from_others() {
        let versions = ["0123456789ab", "0123456789cd", "fedcba987654"];
        let named = |wanted| named(versions, wanted).ok();

        assert_eq!(named("0123456789ab"), Some("0123456789ab"));
        assert_eq!(named("fedcba98"), Some("fedcba987654"));
        assert_eq!(named("FEDCBA98"), Some("fedcba987654"));
        for unfit in ["0123456789", "fedcba9", "", "01234567ff", "fedcba9876543"] {
            assert_eq!(named(unfit), None, "{unfit}");
        }
    }
}
