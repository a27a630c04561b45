use std::{collections::HashMap, sync::Arc};

use serde::Serialize;

use super::message::{MessageView, time_text};
use crate::{
    domain::{ChangeKind, DeleteScope, MessageId, User, UserId},
    service::Sync,
};

/// One change as apps apply it, by id.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ChangeView {
    Message { message: MessageView },
    Updated { message: MessageView },
    Deleted { message_id: MessageId, peer: String, scope: DeleteScope, was_unread: bool },
    Read { message_id: MessageId, by: String, peer: String, read_at: String },
    ThreadRead { peer: String, by: String, up_to_seq: i64, count: i64, read_at: String },
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum SyncView {
    Resync { resync: bool },
    Start { changes: [(); 0], cursor: String },
    Page { changes: Vec<ChangeView>, cursor: String, more: bool },
}

impl From<Sync> for SyncView {
    fn from(sync: Sync) -> Self {
        match sync {
            Sync::Resync => Self::Resync { resync: true },
            Sync::Start { cursor } => Self::Start { changes: [], cursor },
            Sync::Page { changes, people, cursor, more } => Self::Page {
                changes: changes.iter().filter_map(|change| view(&change.kind, &people)).collect(),
                cursor,
                more,
            },
        }
    }
}

/// `None` where a person is missing, which the schema rules out.
fn view(change: &ChangeKind, people: &HashMap<UserId, Arc<User>>) -> Option<ChangeView> {
    let email = |id: &UserId| Some(people.get(id)?.email.as_str().to_owned());
    let message = |message: &crate::domain::Message| {
        let sender = people.get(&message.sender_id)?;
        let recipient = people.get(&message.recipient_id)?;
        Some(MessageView::new(message, sender, recipient))
    };
    Some(match change {
        ChangeKind::Message(new) => ChangeView::Message { message: message(new)? },
        ChangeKind::Updated(edited) => ChangeView::Updated { message: message(edited)? },
        ChangeKind::Deleted { message_id, peer_id, scope, was_unread } => ChangeView::Deleted {
            message_id: *message_id,
            peer: email(peer_id)?,
            scope: *scope,
            was_unread: *was_unread,
        },
        ChangeKind::Read { message_id, by, peer_id, read_at } => ChangeView::Read {
            message_id: *message_id,
            by: email(by)?,
            peer: email(peer_id)?,
            read_at: time_text(*read_at),
        },
        ChangeKind::ThreadRead { peer_id, by, up_to_seq, count, read_at } => {
            ChangeView::ThreadRead {
                peer: email(peer_id)?,
                by: email(by)?,
                up_to_seq: *up_to_seq,
                count: *count,
                read_at: time_text(*read_at),
            }
        }
    })
}
