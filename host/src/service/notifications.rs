//! What a person was told, to look up later.

use std::{collections::HashMap, sync::Arc};

use super::{
    history::{PREVIEW_CHARS, Page, cut},
    people::People,
};
use crate::{
    Result,
    db::{
        Db, OrgConn, messages,
        notifications::{self, NotificationRow},
    },
    domain::{Caller, Message, MessageId, Notification, Priority, User, UserId, Words},
};

/// The most notifications in one page.
pub const PAGE: i64 = 100;

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
    ) -> Result<Page<Notification>> {
        let (org_id, me) = (caller.org.id, caller.user.id);
        let mut handle = self.db.org(org_id).await?;
        let mut rows = notifications::list(&mut handle.conn(), me, before, limit + 1).await?;
        let next = cut(&mut rows, limit, |row| row.id);
        let ids: Vec<MessageId> = rows.iter().map(|row| row.id).collect();
        let found = messages::list_by_id(&mut handle.conn(), me, &ids, PREVIEW_CHARS).await?;
        handle.done();
        let senders: Vec<_> = found.iter().map(|message| message.sender_id).collect();
        let people = self.people.map(org_id, &senders).await?;
        let mut found: HashMap<MessageId, Message> =
            found.into_iter().map(|message| (message.id, message)).collect();
        let items = rows.into_iter().filter_map(|row| {
            let message = found.remove(&row.id)?;
            let from = people.get(&message.sender_id)?.clone();
            Some(notification(row, from, message))
        });
        Ok(Page { items: items.collect(), next })
    }

    /// Marks the named notifications as read, or all.
    pub async fn mark_read(&self, caller: &Caller, ids: Option<&[MessageId]>) -> Result<u64> {
        let mut handle = self.db.org(caller.org.id).await?;
        Ok(notifications::mark_read(&mut handle.conn(), caller.user.id, ids).await?)
    }
}

/// One that has gone out, as its recipient sees it; `None`: they may not see it any more.
pub(super) async fn find(
    conn: &mut OrgConn<'_>,
    recipient: UserId,
    (id, from): (MessageId, Arc<User>),
) -> Result<Option<Notification>> {
    let Some(row) = notifications::find(conn, recipient, id).await? else { return Ok(None) };
    let found = messages::list_by_id(conn, recipient, &[id], PREVIEW_CHARS).await?;
    Ok(found.into_iter().next().map(|message| notification(row, from, message)))
}

fn notification(row: NotificationRow, from: Arc<User>, message: Message) -> Notification {
    let priority = row.priority.as_deref().map(Priority::stored);
    Notification {
        id: row.id,
        from,
        words: Words { title: row.title, body: row.body, data: row.data, priority },
        message,
        suppressed_reason: row.suppressed_reason,
        created_at: row.created_at,
        read_at: row.read_at,
    }
}
