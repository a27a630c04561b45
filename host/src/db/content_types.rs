//! Whose a content type is. The types of a version are part of its report.

use super::{DbError, OrgConn};
use crate::domain::PluginId;

/// Another plugin whose active version, or the one beside it, has one of these content types, and
/// that type.
pub async fn find_owner(
    conn: &mut OrgConn<'_>,
    except: PluginId,
    content_types: &[String],
) -> Result<Option<(String, String)>, DbError> {
    let owner = sqlx::query!(
        r#"
        select plugin.name, declared.value ->> 'name' as "content_type!"
        from plugins as plugin
        join plugin_versions as version
            on version.org_id = plugin.org_id
            and version.plugin_id = plugin.id
            and version.sha256 in (plugin.active_version, plugin.canary_version)
        cross join jsonb_array_elements(version.report -> 'contentTypes') as declared
        where plugin.org_id = $1 and plugin.id <> $2 and declared.value ->> 'name' = any($3)
        limit 1
        "#,
        conn.org_id as _,
        except as _,
        content_types,
    )
    .fetch_optional(&mut *conn.conn)
    .await?;
    Ok(owner.map(|owner| (owner.name, owner.content_type)))
}
