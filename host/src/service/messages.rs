//! A stored message: seen, edited, deleted.

use std::borrow::Cow;

use serde_json::json;

use super::{
    holding::Holding, listeners::Listeners, people::People, plugins::Plugins, receipts::Receipts,
    refusals::Refusals, sending::Letter, telling::Telling,
};
use crate::{
    Error, Result,
    db::{
        Db, OrgConn,
        changes::{self, NewChange},
        held::{self, Ending},
        messages, notifications, receipts, threads,
    },
    domain::{Caller, DeleteScope, Happening, HoldState, Message, MessageId, UserId},
    events::Event,
};

pub(super) const MESSAGE: Error = Error::NotFound(Cow::Borrowed("the message"));

#[derive(Clone)]
pub struct Messages {
    pub(super) db: Db,
    pub(super) people: People,
    pub(super) plugins: Plugins,
    pub(super) telling: Telling,
    pub(super) holding: Holding,
    pub(super) refusals: Refusals,
    pub(super) receipts: Receipts,
    pub(super) listeners: Listeners,
}

impl Messages {
    /// A message as the caller may see it.
    pub async fn find(&self, caller: &Caller, id: MessageId) -> Result<Letter> {
        let mut handle = self.db.org(caller.org.id).await?;
        let message =
            messages::find(&mut handle.conn(), caller.user.id, id).await?.ok_or(MESSAGE)?;
        handle.done();
        self.letter(caller, message).await
    }

    /// Deletes for everyone or for the caller alone. `None`: a sender's own goes for
    /// everyone, a received one for its recipient. Doing it again is no error.
    pub async fn delete(
        &self,
        caller: &Caller,
        id: MessageId,
        scope: Option<DeleteScope>,
    ) -> Result<()> {
        self.listeners.ready(caller.org.id).await?;
        let mut tx = self.db.begin(caller.org.id).await?;
        let conn = &mut tx.conn();
        let mut found = messages::lock(conn, caller.user.id, id).await?;
        if found.is_none() && scope == Some(DeleteScope::Everyone) {
            // What its sender no longer sees, the recipient still may.
            found = messages::lock_sent(conn, caller.user.id, id).await?;
        }
        let Some(message) = found else {
            // Hidden by an earlier call: repeated. Never the caller's: unknown.
            let is_party = messages::is_party(conn, caller.user.id, id).await?;
            return if is_party { Ok(()) } else { Err(MESSAGE) };
        };
        let is_sender = message.sender_id == caller.user.id;
        let default = if is_sender { DeleteScope::Everyone } else { DeleteScope::Me };
        // What never got its place is withdrawn: nobody else has it.
        let withdraws = is_sender && message.seq.is_none();
        let scope = if withdraws { default } else { scope.unwrap_or(default) };
        if scope == DeleteScope::Everyone && !is_sender {
            return Err(Error::Forbidden(
                "only its sender can delete a message for everyone".into(),
            ));
        }
        if scope == DeleteScope::Everyone && message.is_tombstone() {
            return Ok(());
        }
        match scope {
            DeleteScope::Everyone => {
                messages::update_deleted(conn, id).await?;
                if withdraws || message.pending_revision.is_some() {
                    held::end(conn, id, HoldState::Withdrawn, &Ending::default()).await?;
                }
                if withdraws {
                    messages::update_hidden(conn, id, caller.user.id).await?;
                }
                notifications::delete(conn, message.recipient_id, id).await?;
            }
            DeleteScope::Me => messages::update_hidden(conn, id, caller.user.id).await?,
        }
        let told = match scope {
            DeleteScope::Everyone => vec![message.sender_id, message.recipient_id],
            DeleteScope::Me => vec![caller.user.id],
        };
        let told: Vec<UserId> = told.into_iter().filter(|user| message.visible_to(*user)).collect();
        forget(conn, &message, scope, &told).await?;
        if !message.shadowed {
            let for_everyone = scope == DeleteScope::Everyone;
            let deleted = Happening::Deleted { message: id, by: caller.user.id, for_everyone };
            self.listeners.record(conn, caller.org.id, &[deleted]).await?;
        }
        let events = self.deletion(caller, &message, scope, &told).await?;
        if scope == DeleteScope::Everyone {
            receipts::blank(conn, message.thread_id, id).await?;
        }
        self.telling.commit(tx, events).await
    }

    async fn deletion(
        &self,
        caller: &Caller,
        message: &Message,
        scope: DeleteScope,
        told: &[UserId],
    ) -> Result<Vec<Event>> {
        let org_id = caller.org.id;
        let mut events = Vec::with_capacity(told.len());
        for to in told {
            // Both were read when the message was sent or found: mostly at hand.
            let peer = self.people.load(org_id, message.peer_of(*to)).await?;
            events.push(Event::MessageDeleted {
                org_id,
                to: *to,
                message_id: message.id,
                peer,
                scope,
                was_unread: was_unread(message, *to),
            });
        }
        Ok(events)
    }

    async fn letter(&self, caller: &Caller, message: Message) -> Result<Letter> {
        let peer = self.people.load(caller.org.id, message.peer_of(caller.user.id)).await?;
        Ok(Letter::between(caller, peer, message))
    }
}

fn was_unread(message: &Message, user: UserId) -> bool {
    user == message.recipient_id && message.read_at.is_none() && !message.is_tombstone()
}

/// Takes a message out of the lists, badges and previews of those who are told.
async fn forget(
    conn: &mut OrgConn<'_>,
    message: &Message,
    scope: DeleteScope,
    told: &[UserId],
) -> Result<()> {
    // In the order of ids, like the writer's batch, so that neither locks the other out.
    let mut ordered = told.to_vec();
    ordered.sort();
    for user in &ordered {
        let unread = was_unread(message, *user);
        threads::forget_message(conn, *user, message.thread_id, message.id, unread).await?;
    }
    let told: Vec<NewChange> = told
        .iter()
        .map(|user| {
            let was_unread = was_unread(message, *user);
            NewChange {
                user_id: *user,
                kind: "deleted",
                message_id: Some(message.id),
                detail: Some(json!({
                    "peerId": message.peer_of(*user),
                    "scope": scope,
                    "wasUnread": was_unread,
                })),
                unread: if was_unread { -1 } else { 0 },
            }
        })
        .collect();
    Ok(changes::insert(conn, &told).await?)
}
