//! What a person was told, to look up later.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value as Json;
use time::OffsetDateTime;

use super::{
    history::{PREVIEW_CHARS, Page, cut},
    people::People,
};
use crate::{
    Result,
    db::{Db, messages, notifications},
    domain::{Caller, Message, MessageId, User},
};

/// The most notifications in one page.
pub const PAGE: i64 = 100;

/// A notification with what it is about.
pub struct NotificationEntry {
    pub id: MessageId,
    pub from: Arc<User>,
    /// The words of a plugin, if there are any.
    pub title: Option<String>,
    pub body: Option<String>,
    pub data: Option<Json>,
    pub message: Message,
    pub suppressed_reason: Option<String>,
    pub created_at: OffsetDateTime,
    pub read_at: Option<OffsetDateTime>,
}

#[derive(Clone)]
pub struct Notifications {
    db: Db,
    people: People,
}

impl Notifications {
    pub fn new(db: Db, people: People) -> Self {
        Self { db, people }
    }

    /// The caller's notifications, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        before: Option<MessageId>,
        limit: i64,
    ) -> Result<Page<NotificationEntry>> {
        let (org_id, me) = (caller.org.id, caller.user.id);
        let mut handle = self.db.org(org_id).await?;
        let mut rows = notifications::list(&mut handle.conn(), me, before, limit + 1).await?;
        let next = cut(&mut rows, limit, |row| row.id);
        let ids: Vec<MessageId> = rows.iter().map(|row| row.id).collect();
        let found = messages::list_by_id(&mut handle.conn(), me, &ids, PREVIEW_CHARS).await?;
        drop(handle);
        let senders: Vec<_> = found.iter().map(|message| message.sender_id).collect();
        let people = self.people.map(org_id, &senders).await?;
        let mut found: HashMap<MessageId, Message> =
            found.into_iter().map(|message| (message.id, message)).collect();
        let entries = rows.into_iter().filter_map(|row| {
            let message = found.remove(&row.id)?;
            Some(NotificationEntry {
                id: row.id,
                from: people.get(&message.sender_id)?.clone(),
                title: row.title,
                body: row.body,
                data: row.data,
                message,
                suppressed_reason: row.suppressed_reason,
                created_at: row.created_at,
                read_at: row.read_at,
            })
        });
        Ok(Page { items: entries.collect(), next })
    }

    /// Marks the named notifications as read, or all.
    pub async fn mark_read(&self, caller: &Caller, ids: Option<&[MessageId]>) -> Result<u64> {
        let mut handle = self.db.org(caller.org.id).await?;
        Ok(notifications::mark_read(&mut handle.conn(), caller.user.id, ids).await?)
    }
}
