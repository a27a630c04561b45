use serde::Deserialize;
use time::OffsetDateTime;

use super::{MadeUpDraft, parse_email};
use crate::{
    Result,
    domain::{
        BodyLimits, Caller, InvalidField, Kind, Message, MessageId, MessageState, Person, ThreadId,
        UserId,
    },
    service::{ShownMessage, What},
};

/// What happened, as if it had. People that are left out are the caller and a peer.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[serde(deny_unknown_fields)]
pub(super) enum MadeUpEvent {
    Sent {
        message: MadeUpMessage,
    },
    Edited {
        message: MadeUpMessage,
    },
    Released {
        message: MadeUpMessage,
    },
    Held {
        message: MadeUpMessage,
        #[serde(default = "one")]
        revision: u32,
        plugin: String,
    },
    Deleted {
        by: Option<MadeUpPerson>,
        #[serde(default)]
        for_everyone: bool,
    },
    Read {
        reader: MadeUpPerson,
        sender: Option<MadeUpPerson>,
    },
    Rejected {
        sender: Option<MadeUpPerson>,
        recipient: MadeUpPerson,
        code: String,
    },
    UserOnline {
        user: MadeUpPerson,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MadeUpMessage {
    sender: Option<MadeUpPerson>,
    recipient: Option<MadeUpPerson>,
    body: MadeUpDraft,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct MadeUpPerson {
    email: String,
    #[serde(default)]
    kind: Kind,
    name: Option<String>,
}

fn one() -> u32 {
    1
}

impl MadeUpEvent {
    pub(super) fn parse(self, caller: &Caller) -> Result<What> {
        let person = |person: Option<MadeUpPerson>| match person {
            Some(person) => person.parse(),
            None => Ok(this_person(caller)),
        };
        Ok(match self {
            Self::Sent { message } => What::Sent(message.parse(caller)?),
            Self::Edited { message } => What::Edited(message.parse(caller)?),
            Self::Released { message } => What::Released(message.parse(caller)?),
            Self::Held { message, revision, plugin } => {
                What::Held { message: message.parse(caller)?, revision, plugin }
            }
            Self::Deleted { by, for_everyone } => {
                What::Deleted { message: MessageId::new(), by: person(by)?, for_everyone }
            }
            Self::Read { reader, sender } => What::Read {
                reader: reader.parse()?,
                sender: person(sender)?,
                messages: vec![MessageId::new()],
            },
            Self::Rejected { sender, recipient, code } => {
                What::Rejected { sender: person(sender)?, recipient: recipient.parse()?, code }
            }
            Self::UserOnline { user } => What::UserOnline(user.parse()?),
        })
    }
}

impl MadeUpMessage {
    pub(super) fn parse(self, caller: &Caller) -> Result<ShownMessage> {
        let sender = self.sender.map_or_else(|| Ok(this_person(caller)), MadeUpPerson::parse)?;
        let peer = || MadeUpPerson { email: super::PEER.into(), kind: Kind::Customer, name: None };
        let recipient = self.recipient.unwrap_or_else(peer).parse()?;
        let (sender_id, recipient_id) = (caller.user.id, UserId::new());
        let reply_to = self.body.reply_to;
        let message = Message {
            id: MessageId::new(),
            thread_id: ThreadId::of(sender_id, recipient_id),
            sender_id,
            recipient_id,
            client_id: None,
            body: self.body.parse(&BodyLimits::from(&caller.org.settings))?,
            reply_to,
            seq: Some(1),
            state: MessageState::Sent,
            shadowed: false,
            refused_reason: None,
            pending_revision: None,
            created_at: OffsetDateTime::now_utc(),
            edited_at: None,
            deleted_at: None,
            read_at: None,
            hidden_for_sender: false,
            hidden_for_recipient: false,
        };
        Ok(ShownMessage { message, sender, recipient })
    }
}

impl MadeUpPerson {
    fn parse(self) -> Result<Person, InvalidField> {
        let email = parse_email("event", &self.email)?;
        Ok(Person { email, kind: self.kind, name: self.name })
    }
}

fn this_person(caller: &Caller) -> Person {
    let (email, name) = (caller.user.email.clone(), caller.user.name.clone());
    Person { email, kind: caller.kind, name }
}
