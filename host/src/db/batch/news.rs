//! What plugins are told of the messages of a batch.

use sqlx::PgConnection;

use super::{Fate, NewMessage};
use crate::{
    db::{
        DbError,
        plugin_events::{self, NewEvent},
        plugin_messages,
    },
    domain::{Happening, MessageId, OrgId, Origin, PluginId},
};

/// What plugins have to do with a message beside judging it.
#[derive(Clone, Debug)]
pub struct News {
    /// Who sends it, where a plugin does.
    pub origin: Option<Origin>,
    /// Who is to be told of it.
    pub listeners: Vec<PluginId>,
    /// How many events of the org may wait.
    pub most_waiting: i64,
}

impl Fate {
    /// What plugins may be told of it.
    fn happening(&self, message: MessageId) -> Option<Happening> {
        match self {
            Self::Sent => Some(Happening::Sent { message }),
            Self::Shadowed => None,
            Self::Held(new) => {
                let plugin = new.hold.plugin.clone();
                Some(Happening::Held { message, revision: 0, plugin })
            }
        }
    }
}

/// Notes which messages are plugins', and what plugins are to be told; the orgs that have no room
/// for that.
pub(super) async fn insert(
    tx: &mut PgConnection,
    batch: &[NewMessage],
) -> Result<Vec<OrgId>, DbError> {
    let (mut origins, mut events, mut most) = (Vec::new(), Vec::new(), 0);
    for NewMessage { org_id, id, fate, news, .. } in batch {
        let Some(news) = news else { continue };
        origins.extend(news.origin.map(|origin| (*org_id, *id, origin)));
        let Some(what) = fate.happening(*id) else { continue };
        most = news.most_waiting;
        events.extend(news.listeners.iter().map(|plugin_id| NewEvent {
            org_id: *org_id,
            plugin_id: *plugin_id,
            what: what.clone(),
            depth: news.origin.map_or(0, |origin| origin.depth),
        }));
    }
    if !origins.is_empty() {
        plugin_messages::insert_all(tx, &origins).await?;
    }
    if events.is_empty() {
        return Ok(Vec::new());
    }
    plugin_events::insert_rows(tx, &events, most).await
}
