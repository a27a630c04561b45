//! Versions that decide in a share of the threads.

use time::OffsetDateTime;

use super::{DbError, OrgConn};
use crate::domain::PluginId;

/// A version that decides in a share of the threads.
#[derive(Clone, Debug)]
pub struct Canary {
    pub version: Vec<u8>,
    pub percent: u8,
    /// Where it keeps its keys.
    pub store: PluginId,
    pub since: OffsetDateTime,
}

impl Canary {
    /// From a row, whose columns are set together.
    pub(super) fn stored(
        version: Option<Vec<u8>>,
        percent: Option<i16>,
        place: Option<(PluginId, OffsetDateTime)>,
    ) -> Option<Self> {
        let (store, since) = place?;
        let percent = u8::try_from(percent?).ok()?;
        Some(Self { version: version?, percent, store, since })
    }
}

/// Sets which version decides for which share, or none.
pub async fn update(
    conn: &mut OrgConn<'_>,
    plugin_id: PluginId,
    canary: Option<&Canary>,
) -> Result<(), DbError> {
    sqlx::query!(
        r#"
        update plugins
        set
            canary_version = $3, canary_percent = $4, canary_store = $5, canary_since = $6,
            updated_at = now()
        where org_id = $1 and id = $2
        "#,
        conn.org_id as _,
        plugin_id as _,
        canary.map(|canary| &canary.version[..]),
        canary.map(|canary| i16::from(canary.percent)),
        canary.map(|canary| canary.store) as _,
        canary.map(|canary| canary.since),
    )
    .execute(&mut *conn.conn)
    .await
    .map(drop)
}
