//! Which messages plugins sent.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::{DbError, OrgConn};
use crate::domain::{MessageId, OrgId, Origin, PluginId};

/// Notes where messages come from, in the transaction that stores them.
pub(super) async fn insert_all(
    conn: &mut PgConnection,
    origins: &[(OrgId, MessageId, Origin)],
) -> Result<(), DbError> {
    let org_ids: Vec<OrgId> = origins.iter().map(|(org_id, ..)| *org_id).collect();
    let ids: Vec<MessageId> = origins.iter().map(|(_, id, _)| *id).collect();
    let plugin_ids: Vec<PluginId> = origins.iter().map(|(.., from)| from.plugin_id).collect();
    let depths: Vec<i16> = origins.iter().map(|(.., from)| from.depth).collect();
    sqlx::query!(
        r#"
        insert into plugin_messages (org_id, message_id, plugin_id, depth)
        select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[])
        "#,
        &org_ids as &[OrgId],
        &ids as &[MessageId],
        &plugin_ids as &[PluginId],
        &depths,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Where those of the messages come from that plugins sent.
pub async fn map(
    conn: &mut OrgConn<'_>,
    ids: &[MessageId],
) -> Result<HashMap<MessageId, Origin>, DbError> {
    let rows = sqlx::query!(
        r#"
        select message_id as "message_id: MessageId", plugin_id as "plugin_id: PluginId", depth
        from plugin_messages
        where org_id = $1 and message_id = any($2)
        "#,
        conn.org_id as _,
        ids as &[MessageId],
    )
    .fetch_all(&mut *conn.conn)
    .await?;
    let origins = rows
        .into_iter()
        .map(|row| (row.message_id, Origin { plugin_id: row.plugin_id, depth: row.depth }));
    Ok(origins.collect())
}
