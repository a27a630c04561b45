use serde::Serialize;
use serde_json::Value as Json;
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::{
    domain::{
        Attachment, Message, MessageId, MessageState, Metadata, Notification, Priority, User,
        UserId,
    },
    service::{Letter, Marked, OnlineUser, PresenceView, ThreadEntry},
};

/// RFC 3339 in UTC with milliseconds.
pub fn time_text(time: OffsetDateTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

    time.to_offset(time::UtcOffset::UTC)
        .format(&FORMAT)
        .expect("every component of the format exists in a date-time")
}

/// A message as one of its two people sees it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    id: MessageId,
    from: String,
    to: String,
    content: String,
    content_type: String,
    attachments: Vec<Attachment>,
    reply_to: Option<MessageId>,
    client_id: Option<String>,
    metadata: Option<Metadata>,
    seq: Option<i64>,
    state: MessageState,
    created_at: String,
    edited_at: Option<String>,
    deleted_at: Option<String>,
    read_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_seq: Option<i64>,
    /// Why it was refused after a review; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// An edit of the reader's own that waits for a review; only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_revision: Option<i32>,
}

impl MessageView {
    pub fn new(message: &Message, sender: &User, recipient: &User) -> Self {
        Self {
            id: message.id,
            from: sender.email.as_str().to_owned(),
            to: recipient.email.as_str().to_owned(),
            content: message.body.content.clone(),
            content_type: message.body.content_type.as_str().to_owned(),
            attachments: message.body.attachments.clone(),
            reply_to: message.reply_to,
            client_id: message.client_id.clone(),
            metadata: Some(&message.body.metadata).filter(|it| !it.is_empty()).cloned(),
            seq: message.seq,
            state: message.state,
            created_at: time_text(message.created_at),
            edited_at: message.edited_at.map(time_text),
            deleted_at: message.deleted_at.map(time_text),
            read_at: message.read_at.map(time_text),
            prev_seq: None,
            reason: message.refused_reason.clone(),
            pending_revision: message.pending_revision,
        }
    }

    /// As a list shows it: the service has cut its content, and the owner of its type may have
    /// given something better.
    fn listed(letter: &Letter) -> Self {
        let view = Self::from(letter);
        let preview = letter.message.body.preview.clone();
        Self { content: preview.unwrap_or_else(|| view.content.clone()), ..view }
    }

    /// With what its receiver held of the thread before: `newMessage` and `messageSent` alone say so.
    #[must_use]
    pub fn after(mut self, prev_seq: i64) -> Self {
        self.prev_seq = Some(prev_seq);
        self
    }

    /// As its recipient sees it, who may see less of what it replies to, and nothing of edits
    /// that wait.
    #[must_use]
    pub fn received(mut self, reply_to: Option<MessageId>) -> Self {
        self.reply_to = reply_to;
        self.pending_revision = None;
        self
    }
}

impl From<&Letter> for MessageView {
    fn from(letter: &Letter) -> Self {
        Self::new(&letter.message, &letter.sender, &letter.recipient)
    }
}

/// A message's preview.
pub type LastMessageView = MessageView;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerInfo {
    id: UserId,
    email: String,
    name: Option<String>,
    picture: Option<String>,
    online: Option<bool>,
    last_seen: Option<String>,
}

impl PeerInfo {
    fn new(user: &User, presence: PresenceView) -> Self {
        Self {
            id: user.id,
            email: user.email.as_str().to_owned(),
            name: user.name.clone(),
            picture: user.picture.clone(),
            online: presence.online,
            last_seen: presence.last_seen.map(time_text),
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadView {
    peer: String,
    peer_info: PeerInfo,
    last_message: Option<LastMessageView>,
    unread_count: i64,
    last_seq: i64,
}

impl From<&ThreadEntry> for ThreadView {
    fn from(entry: &ThreadEntry) -> Self {
        Self {
            peer: entry.peer.email.as_str().to_owned(),
            peer_info: PeerInfo::new(&entry.peer, entry.presence),
            last_message: entry.last.as_ref().map(MessageView::listed),
            unread_count: entry.unread_count,
            last_seq: entry.last_seq,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct OnlineUserView {
    email: String,
    name: Option<String>,
    picture: Option<String>,
    since: String,
}

impl From<&OnlineUser> for OnlineUserView {
    fn from(online: &OnlineUser) -> Self {
        Self {
            email: online.user.email.as_str().to_owned(),
            name: online.user.name.clone(),
            picture: online.user.picture.clone(),
            since: time_text(online.since),
        }
    }
}

/// What marking read changed.
#[derive(Debug, Serialize)]
pub struct MarkedView {
    pub updated: i64,
    /// Left out for a whole thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<MessageId>>,
}

impl MarkedView {
    pub fn of_ids(marked: Marked) -> Self {
        Self { updated: marked.updated, ids: Some(marked.ids) }
    }

    pub fn of_thread(marked: &Marked) -> Self {
        Self { updated: marked.updated, ids: None }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotificationView {
    id: MessageId,
    #[serde(rename = "type")]
    kind: &'static str,
    message_id: MessageId,
    from: String,
    title: String,
    body: String,
    data: Option<Json>,
    /// Only where a plugin said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    suppressed_reason: Option<String>,
    created_at: String,
    read_at: Option<String>,
}

impl NotificationView {
    /// The notification of a message that has just come in.
    pub fn of_message(message: &Message, sender: &User) -> Self {
        let name = sender.name.as_deref().unwrap_or(sender.email.as_str());
        Self {
            id: message.id,
            kind: "message",
            message_id: message.id,
            from: sender.email.as_str().to_owned(),
            title: name.to_owned(),
            body: preview(message),
            data: None,
            priority: None,
            suppressed_reason: None,
            created_at: time_text(message.created_at),
            read_at: None,
        }
    }
}

impl From<Notification> for NotificationView {
    fn from(notification: Notification) -> Self {
        let plain = Self::of_message(&notification.message, &notification.from);
        let words = notification.words;
        Self {
            title: words.title.unwrap_or(plain.title),
            body: words.body.unwrap_or(plain.body),
            data: words.data,
            priority: words.priority,
            suppressed_reason: notification.suppressed_reason,
            created_at: time_text(notification.created_at),
            read_at: notification.read_at.map(time_text),
            ..plain
        }
    }
}

/// What the owner of its type gave, the first 200 characters, or what kind of thing it is.
fn preview(message: &Message) -> String {
    let body = &message.body;
    if let Some(preview) = &body.preview {
        preview.clone()
    } else if body.content.is_empty() {
        body.content_type.as_str().to_owned()
    } else {
        body.content.chars().take(200).collect()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        let time = datetime!(2026-11-22 16:30:05.1239 +02:00);

        assert_eq!(time_text(time), "2026-11-22T14:30:05.123Z");
    }
}
