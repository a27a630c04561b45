//! What plugins are told of what happened, in words of the server and in those of `wit/`.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{
    bindings::{on_event, types, unix_ms},
    services::{Asker, Correspondence},
};
use crate::domain::{EventId, EventKind, Message, MessageId, Org, Person, PluginId, UserId};

/// One plugin is told of one event.
pub struct OnEvent<'a> {
    pub org: &'a Arc<Org>,
    pub plugin: PluginId,
    pub id: EventId,
    pub at: OffsetDateTime,
    /// 1 for the first time.
    pub attempt: u32,
    pub what: &'a What,
    /// Whose doing it was: the plugin's faults count by them.
    pub subject: UserId,
    /// `None`: it is about no thread.
    pub asker: Option<Asker>,
    /// Sends what the plugin answers.
    pub correspondence: Arc<dyn Correspondence>,
}

/// What happened, with all that is shown of it.
#[derive(Clone, Debug)]
pub enum What {
    Sent(ShownMessage),
    Edited(ShownMessage),
    Deleted {
        message: MessageId,
        by: Person,
        for_everyone: bool,
    },
    Read {
        reader: Person,
        sender: Person,
        messages: Vec<MessageId>,
    },
    Held {
        message: ShownMessage,
        revision: u32,
        /// Which plugin asked for it, by name.
        plugin: String,
    },
    Released(ShownMessage),
    Rejected {
        sender: Person,
        recipient: Person,
        code: String,
    },
    UserOnline(Person),
}

/// A message as it is now, and its two people.
#[derive(Clone, Debug)]
pub struct ShownMessage {
    pub message: Message,
    pub sender: Person,
    pub recipient: Person,
}

impl OnEvent<'_> {
    /// Which event it is, by its ids.
    pub(super) fn about(&self) -> String {
        let message = match self.what {
            What::Sent(shown) | What::Edited(shown) | What::Released(shown) => {
                Some(shown.message.id)
            }
            What::Held { message, .. } => Some(message.message.id),
            What::Deleted { message, .. } => Some(*message),
            What::Read { .. } | What::Rejected { .. } | What::UserOnline(_) => None,
        };
        let message = message.map(|id| format!(", message {id}"));
        format!("event {}{}", self.id, message.unwrap_or_default())
    }

    pub(super) fn event(&self) -> on_event::Event {
        on_event::Event { id: self.id.to_string(), at_ms: unix_ms(self.at), what: self.what.into() }
    }
}

impl From<&What> for on_event::What {
    fn from(what: &What) -> Self {
        match what {
            What::Sent(message) => Self::Sent(message.into()),
            What::Edited(message) => Self::Edited(message.into()),
            What::Deleted { message, by, for_everyone } => Self::Deleted(on_event::Deletion {
                message_id: message.to_string(),
                by: by.into(),
                for_everyone: *for_everyone,
            }),
            What::Read { reader, sender, messages } => Self::Read(on_event::Reading {
                reader: reader.into(),
                sender: sender.into(),
                message_ids: messages.iter().map(ToString::to_string).collect(),
            }),
            What::Held { message, revision, plugin } => Self::Held(on_event::Holding {
                message: message.into(),
                revision: *revision,
                plugin: plugin.clone(),
            }),
            What::Released(message) => Self::Released(message.into()),
            What::Rejected { sender, recipient, code } => Self::Rejected(on_event::Rejection {
                sender: sender.into(),
                recipient: recipient.into(),
                code: code.clone(),
            }),
            What::UserOnline(person) => Self::UserOnline(person.into()),
        }
    }
}

impl From<&ShownMessage> for types::Message {
    fn from(shown: &ShownMessage) -> Self {
        Self::new(&shown.message, &shown.sender, &shown.recipient)
    }
}

impl From<&Person> for types::Person {
    fn from(person: &Person) -> Self {
        Self {
            email: person.email.as_str().to_owned(),
            kind: person.kind.into(),
            name: person.name.clone(),
        }
    }
}

impl From<on_event::Kind> for EventKind {
    fn from(kind: on_event::Kind) -> Self {
        match kind {
            on_event::Kind::Sent => Self::Sent,
            on_event::Kind::Edited => Self::Edited,
            on_event::Kind::Deleted => Self::Deleted,
            on_event::Kind::Read => Self::Read,
            on_event::Kind::Held => Self::Held,
            on_event::Kind::Released => Self::Released,
            on_event::Kind::Rejected => Self::Rejected,
            on_event::Kind::UserOnline => Self::UserOnline,
        }
    }
}
