//! What a plugin is shown of an event: everything as it is now.

use std::collections::HashMap;

use super::DueEvents;
use crate::{
    Result,
    db::{messages, persons},
    domain::{Happening, MessageId, OrgId, Person, UserId},
    plugin::{Asker, ShownMessage, What},
};

pub(super) struct Shown {
    pub what: What,
    /// Whose doing it was.
    pub subject: UserId,
    /// Between whom, where it is about a message.
    pub asker: Option<Asker>,
}

impl DueEvents {
    /// `None`: what it is about is not there any more.
    pub(super) async fn load_shown(
        &self,
        org_id: OrgId,
        happening: Happening,
    ) -> Result<Option<Shown>> {
        match happening {
            Happening::Sent { message } => self.about(org_id, message, What::Sent).await,
            Happening::Edited { message } => self.about(org_id, message, What::Edited).await,
            Happening::Released { message } => self.about(org_id, message, What::Released).await,
            Happening::Held { message, revision, plugin } => {
                let revision = u32::try_from(revision).unwrap_or(0);
                let held = |message| What::Held { message, revision, plugin };
                self.about(org_id, message, held).await
            }
            Happening::Deleted { message, by, for_everyone } => {
                self.deleted(org_id, message, by, for_everyone).await
            }
            Happening::Read { reader, sender, messages } => {
                let mut people = self.people_by_id(org_id, &[reader, sender]).await?;
                let (Some(by), Some(from)) = (people.remove(&reader), people.remove(&sender))
                else {
                    return Ok(None);
                };
                let what = What::Read { reader: by, sender: from, messages };
                let asker = Asker { caller: sender, peer: reader };
                Ok(Some(Shown { what, subject: reader, asker: Some(asker) }))
            }
            Happening::Rejected { sender, recipient, code } => {
                let mut people = self.people_by_id(org_id, &[sender, recipient]).await?;
                let (Some(from), Some(to)) = (people.remove(&sender), people.remove(&recipient))
                else {
                    return Ok(None);
                };
                let what = What::Rejected { sender: from, recipient: to, code };
                Ok(Some(Shown { what, subject: sender, asker: None }))
            }
            Happening::UserOnline { user } => {
                let person = self.people_by_id(org_id, &[user]).await?.remove(&user);
                let what = person.map(What::UserOnline);
                Ok(what.map(|what| Shown { what, subject: user, asker: None }))
            }
        }
    }

    /// A deleted message is there without a body, or not at all.
    async fn about(
        &self,
        org_id: OrgId,
        id: MessageId,
        what: impl FnOnce(ShownMessage) -> What,
    ) -> Result<Option<Shown>> {
        let mut handle = self.db.org(org_id).await?;
        let conn = &mut handle.conn();
        let Some(message) = messages::list_any(conn, &[id]).await?.pop() else { return Ok(None) };
        let (sender, recipient) = (message.sender_id, message.recipient_id);
        let mut people = persons::map(conn, &[sender, recipient]).await?;
        let (Some(from), Some(to)) = (people.remove(&sender), people.remove(&recipient)) else {
            return Ok(None);
        };
        let asker = Asker { caller: sender, peer: recipient };
        let what = what(ShownMessage { message, sender: from, recipient: to });
        Ok(Some(Shown { what, subject: sender, asker: Some(asker) }))
    }

    async fn deleted(
        &self,
        org_id: OrgId,
        message: MessageId,
        by: UserId,
        for_everyone: bool,
    ) -> Result<Option<Shown>> {
        let Some(person) = self.people_by_id(org_id, &[by]).await?.remove(&by) else {
            return Ok(None);
        };
        let deleted = |_| What::Deleted { message, by: person, for_everyone };
        let shown = self.about(org_id, message, deleted).await?;
        Ok(shown.map(|shown| Shown { subject: by, ..shown }))
    }

    async fn people_by_id(&self, org_id: OrgId, ids: &[UserId]) -> Result<HashMap<UserId, Person>> {
        let mut handle = self.db.org(org_id).await?;
        Ok(persons::map(&mut handle.conn(), ids).await?)
    }
}
