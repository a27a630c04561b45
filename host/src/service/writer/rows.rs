//! What the writer's batch stores, and the message that comes of it.

use super::Waiting;
use crate::{
    db::batch::{Fate, NewMessage, Placed},
    domain::{Message, MessageId, MessageState},
};

/// Ids are given out here, in the order of the queue, so that they sort as messages do.
pub(super) fn row(waiting: &Waiting) -> NewMessage {
    NewMessage {
        org_id: waiting.job.org_id,
        id: MessageId::new(),
        draft: waiting.job.draft.clone(),
        fate: waiting.job.fate.clone(),
        decision: waiting.job.decision.clone(),
        news: waiting.job.news.as_ref().map(|news| Box::new(news.row())),
        asks_notify: waiting.job.notify.is_asked(),
    }
}

pub(super) fn stored_message(row: NewMessage, placed: Placed) -> Message {
    let draft = row.draft;
    Message {
        id: row.id,
        thread_id: draft.thread_id(),
        sender_id: draft.sender_id,
        recipient_id: draft.recipient_id,
        client_id: draft.client_id.map(|id| id.as_str().to_owned()),
        body: draft.body,
        reply_to: draft.reply_to,
        seq: placed.seq,
        state: match row.fate {
            Fate::Held(_) => MessageState::Held,
            Fate::Sent | Fate::Shadowed => MessageState::Sent,
        },
        shadowed: matches!(row.fate, Fate::Shadowed),
        refused_reason: None,
        pending_revision: None,
        created_at: placed.created_at,
        edited_at: None,
        deleted_at: None,
        read_at: None,
        hidden_for_sender: false,
        hidden_for_recipient: false,
    }
}
