//! A stored message: seen, edited, deleted.

use std::{borrow::Cow, sync::Arc, time::Duration};

use serde_json::json;
use time::OffsetDateTime;

use super::{
    people::People,
    plugins::Plugins,
    sending::{Letter, Via},
    telling::Telling,
};
use crate::{
    Error, Result,
    db::{
        Db, OrgConn,
        changes::{self, NewChange},
        messages, notifications, threads,
    },
    domain::{
        Attachment, Body, BodyLimits, Caller, DeleteScope, Message, MessageId, Metadata, UserId,
    },
    events::{Event, Exchange},
    plugin::BeforeSend,
};

const MESSAGE: Error = Error::NotFound(Cow::Borrowed("the message"));

/// What an edit replaces; a field that is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct EditCommand {
    pub content: Option<String>,
    pub attachments: Option<Vec<Attachment>>,
    pub metadata: Option<Metadata>,
}

#[derive(Clone)]
pub struct Messages {
    db: Db,
    people: People,
    plugins: Plugins,
    telling: Telling,
}

impl Messages {
    pub fn new(db: Db, people: People, plugins: Plugins, telling: Telling) -> Self {
        Self { db, people, plugins, telling }
    }

    /// A message as the caller may see it.
    pub async fn find(&self, caller: &Caller, id: MessageId) -> Result<Letter> {
        let mut handle = self.db.org(caller.org.id).await?;
        let message =
            messages::find(&mut handle.conn(), caller.user.id, id).await?.ok_or(MESSAGE)?;
        drop(handle);
        self.letter(caller, message).await
    }

    /// Replaces part of a message, through the same checks and hooks as a new one.
    pub async fn edit(
        &self,
        caller: &Caller,
        via: Via,
        id: MessageId,
        edit: EditCommand,
    ) -> Result<Letter> {
        for attempt in 1..=Self::EDIT_ATTEMPTS {
            let before = self.find(caller, id).await?;
            require_editable(caller, &before.message)?;
            let body = self.checked(caller, (via, attempt), &before, edit.clone()).await?;
            if let Some(message) = self.store_edit(caller, &before, &body).await? {
                return Ok(Letter { message, ..before });
            }
        }
        Err(Error::Conflict("others are editing this message; try again".into()))
    }

    /// How often an edit is asked about anew because another one came between.
    const EDIT_ATTEMPTS: u32 = 5;

    /// The message's body with the edit applied, as the org's rules leave it.
    async fn checked(
        &self,
        caller: &Caller,
        (via, attempt): (Via, u32),
        before: &Letter,
        edit: EditCommand,
    ) -> Result<Body> {
        let previous = &before.message.body;
        let limits = BodyLimits::from(&caller.org.settings);
        let body = edited(previous, edit);
        body.check(&limits)?;
        let judgement = self
            .plugins
            .before_send(&BeforeSend {
                caller,
                to: &before.recipient,
                body: &body,
                reply_to: before.message.reply_to,
                previous: Some(previous),
                door: via.door(),
                attempt,
                now: OffsetDateTime::now_utc(),
                limits: &limits,
            })
            .await?;
        Ok(judgement.body)
    }

    /// `None`: the message was edited while its hooks were asked.
    async fn store_edit(
        &self,
        caller: &Caller,
        before: &Letter,
        body: &Body,
    ) -> Result<Option<Arc<Message>>> {
        let id = before.message.id;
        let mut tx = self.db.begin(caller.org.id).await?;
        let conn = &mut tx.conn();
        let mut message = messages::lock(conn, caller.user.id, id).await?.ok_or(MESSAGE)?;
        require_editable(caller, &message)?;
        if message.body != before.message.body {
            return Ok(None);
        }
        message.edited_at = Some(messages::update_body(conn, id, body).await?);
        message.body = body.clone();
        let told = [message.sender_id, message.recipient_id];
        let told: Vec<NewChange> = told
            .into_iter()
            .filter(|user| message.visible_to(*user))
            .map(|user_id| NewChange {
                user_id,
                kind: "updated",
                message_id: Some(id),
                detail: None,
                unread: 0,
            })
            .collect();
        changes::insert(conn, &told).await?;
        let as_received = messages::find(conn, message.recipient_id, id).await?;
        let message = Arc::new(message);
        let updated = Event::MessageUpdated(Exchange {
            org_id: caller.org.id,
            recipient_reply_to: as_received.and_then(|message| message.reply_to),
            message: message.clone(),
            sender: before.sender.clone(),
            recipient: before.recipient.clone(),
        });
        self.telling.commit(tx, vec![updated]).await?;
        Ok(Some(message))
    }

    /// Deletes for everyone or for the caller alone. `None`: a sender's own goes for
    /// everyone, a received one for its recipient. Doing it again is no error.
    pub async fn delete(
        &self,
        caller: &Caller,
        id: MessageId,
        scope: Option<DeleteScope>,
    ) -> Result<()> {
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
        let scope = scope.unwrap_or(default);
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
        let events = self.deletion(caller, &message, scope, &told).await?;
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

fn require_editable(caller: &Caller, message: &Message) -> Result<()> {
    if message.sender_id != caller.user.id {
        return Err(Error::Forbidden("only its sender can edit a message".into()));
    }
    if message.is_tombstone() {
        return Err(Error::Conflict("the message has been deleted".into()));
    }
    let window = Duration::from_secs(caller.org.settings.edit_window_seconds.into());
    if OffsetDateTime::now_utc() - message.created_at > window {
        return Err(Error::Forbidden(format!(
            "a message can be edited for {} s after it was sent",
            window.as_secs()
        )));
    }
    Ok(())
}

fn edited(previous: &Body, edit: EditCommand) -> Body {
    Body {
        content: edit.content.unwrap_or_else(|| previous.content.clone()),
        content_type: previous.content_type.clone(),
        attachments: edit.attachments.unwrap_or_else(|| previous.attachments.clone()),
        metadata: edit.metadata.unwrap_or_else(|| previous.metadata.clone()),
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
