//! Editing a stored message, which goes by the same rules and plugins as sending one.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;

use super::{
    holding::{self, Judged, Scene},
    messages::{MESSAGE, Messages},
    plugins::Heard,
    receipts::{self, Unsettled},
    refusals::Target,
    sending::{Letter, Via},
    terms::{no_room, quota, shadow_as_hold, sterner},
};
use crate::{
    Error, Result,
    db::{
        OrgConn, held,
        kv::{self, Committed},
        messages,
    },
    domain::{
        Attachment, Body, BodyLimits, Caller, Decision, Happening, Held, Hold, Judgement, Message,
        MessageId, MessageState, Metadata, Outcome, Rejection, Subject,
    },
    events::Event,
    plugin::BeforeSend,
};

/// What an edit replaces; a field that is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct EditCommand {
    pub content: Option<String>,
    pub attachments: Option<Vec<Attachment>>,
    pub metadata: Option<Metadata>,
}

/// What became of an edit that plugins have judged.
pub enum StoredEdit {
    Done(Arc<Message>),
    /// Another edit came between.
    Outdated,
    /// What a plugin had read for its decision has changed.
    Conflict,
}

impl Messages {
    /// Replaces part of a message, through the same checks and hooks as a new one. An edit that
    /// plugins hold leaves what stands, and waits beside it.
    pub async fn edit(
        &self,
        caller: &Caller,
        via: Via,
        id: MessageId,
        edit: EditCommand,
    ) -> Result<Letter> {
        let mut conflicts = 0;
        let mut receipts = None;
        for attempt in 1..=Self::EDIT_ATTEMPTS {
            let before = self.find(caller, id).await?;
            require_editable(caller, &before.message)?;
            let again = (via, attempt, &mut receipts);
            let (judgement, heard) = self.judged(caller, again, &before, edit.clone()).await?;
            // Boxed, because it is large as a future.
            let stored = Box::pin(self.store_edit((caller, via), &before, judgement)).await?;
            match (heard, &stored) {
                (Some(heard), StoredEdit::Done(_)) => heard.settle(Subject::Edit(id)),
                (heard, _) => heard.into_iter().for_each(Heard::forget),
            }
            match stored {
                StoredEdit::Done(message) => {
                    if let Some(receipts) = receipts {
                        receipts.stored(id);
                    }
                    return Ok(Letter { message, ..before });
                }
                StoredEdit::Outdated => {}
                StoredEdit::Conflict if conflicts == 0 => conflicts += 1,
                StoredEdit::Conflict => {
                    let rejection = Rejection::moderation_unavailable();
                    self.note_refusal(caller, &before, (&rejection, None), receipts);
                    return Err(Error::Rejected(rejection));
                }
            }
        }
        Err(Error::Conflict("others are editing this message; try again".into()))
    }

    /// How often an edit is asked about anew because another one came between.
    const EDIT_ATTEMPTS: u32 = 5;

    /// The message's body with the edit applied, as the org's rules leave it.
    async fn judged(
        &self,
        caller: &Caller,
        (via, attempt, receipts): (Via, u32, &mut Option<Unsettled>),
        before: &Letter,
        edit: EditCommand,
    ) -> Result<(Judgement, Option<Heard>)> {
        let previous = &before.message.body;
        let limits = BodyLimits::from(&caller.org.settings);
        let body = edited(previous, edit);
        body.check(&limits)?;
        let ask = BeforeSend {
            caller,
            to: &before.recipient,
            body: &body,
            reply_to: before.message.reply_to,
            previous: Some(previous),
            door: via.door(),
            attempt,
            now: OffsetDateTime::now_utc(),
            limits: &limits,
        };
        let mut judgement = self.plugins.judge(&ask).await?;
        let judged = receipts::Judged { recipient: before.recipient.id, is_edit: true, attempt };
        self.receipts.add(receipts, caller, judged, &mut judgement);
        let heard = self.plugins.hear(&ask, &mut judgement);
        if let Outcome::Reject(rejection) = &judgement.outcome {
            let refusal = (rejection, judgement.decision());
            self.note_refusal(caller, before, refusal, receipts.take());
            return Err(Error::Rejected(rejection.clone()));
        }
        Ok((judgement, heard))
    }

    fn note_refusal(
        &self,
        caller: &Caller,
        before: &Letter,
        (rejection, decision): (&Rejection, Option<Decision>),
        receipts: Option<Unsettled>,
    ) {
        let target = Target {
            recipient: before.recipient.id,
            message: Some(before.message.id),
            origin: None,
        };
        self.refusals.note(caller, target, rejection, decision);
        if let Some(receipts) = receipts {
            receipts.refused(rejection.id, target.message);
        }
    }

    /// Stores an edit as plugins judged it, with what they staged for it.
    pub async fn store_edit(
        &self,
        (caller, via): (&Caller, Via),
        before: &Letter,
        mut judgement: Judgement,
    ) -> Result<StoredEdit> {
        let id = before.message.id;
        let mut tx = self.db.begin(caller.org.id).await?;
        let conn = &mut tx.conn();
        let waits = waiting(conn, &before.message).await?;
        let hold = terms(&mut judgement, (&before.message, waits.as_ref()))?;
        // First, as wherever staged writes are stored.
        if kv::commit_all(conn, &judgement.staged).await? == Committed::Conflict {
            return Ok(StoredEdit::Conflict);
        }
        let message = messages::lock(conn, caller.user.id, id).await?.ok_or(MESSAGE)?;
        require_editable(caller, &message)?;
        let id_of = |held: Option<Held>| held.map(|held| held.id);
        let is_same = id_of(waiting(conn, &message).await?) == id_of(waits);
        if message.body != before.message.body || !is_same {
            return Ok(StoredEdit::Outdated);
        }
        let decision = judgement.decision();
        // What was staged is stored by now.
        let judged = Judged { body: judgement.body, decision, staged: Vec::new() };
        let mut scene = Scene { org: &caller.org, letter: before, message };
        let event = if scene.message.state == MessageState::Held {
            let hold = hold.ok_or(MESSAGE)?;
            self.revise(conn, (caller, via), &mut scene, (judged, hold)).await?
        } else if let Some(hold) = hold {
            self.propose(conn, (caller, via), &mut scene, (judged, hold)).await?
        } else {
            if scene.message.pending_revision.is_some() {
                holding::supersede(conn, id).await?;
            }
            let event = holding::apply_edit(conn, &mut scene, &judged).await?;
            self.record_edit(conn, &scene).await?;
            event
        };
        let message = Arc::new(scene.message);
        self.telling.commit(tx, vec![event]).await?;
        Ok(StoredEdit::Done(message))
    }

    /// A held message goes on waiting, as what it says now.
    async fn revise(
        &self,
        conn: &mut OrgConn<'_>,
        (caller, via): (&Caller, Via),
        scene: &mut Scene<'_>,
        (judged, hold): (Judged, Hold),
    ) -> Result<Event> {
        let hold = self.holding.new_hold(caller, via, hold);
        let revision = holding::queue(conn, &scene.message, &judged, &hold).await?;
        self.record_hold(conn, scene, (revision, &hold.hold)).await?;
        holding::apply_edit(conn, scene, &judged).await
    }

    /// An edit of a sent message waits beside it.
    async fn propose(
        &self,
        conn: &mut OrgConn<'_>,
        (caller, via): (&Caller, Via),
        scene: &mut Scene<'_>,
        (judged, hold): (Judged, Hold),
    ) -> Result<Event> {
        // Else it takes the place of another one that waits.
        if scene.message.pending_revision.is_none() {
            let quota = quota(&caller.org);
            let waiting = held::count_waiting(conn, caller.user.id, quota).await?;
            if !quota.admits(waiting.of_sender, waiting.of_org) {
                return Err(no_room(hold.cause));
            }
        }
        let hold = self.holding.new_hold(caller, via, hold);
        let revision = holding::queue(conn, &scene.message, &judged, &hold).await?;
        scene.message.pending_revision = Some(revision);
        self.record_hold(conn, scene, (revision, &hold.hold)).await?;
        holding::tell_sender(conn, scene).await
    }

    /// For plugins that listen. A shadowed message is nobody's event.
    async fn record_edit(&self, conn: &mut OrgConn<'_>, scene: &Scene<'_>) -> Result<()> {
        if scene.message.shadowed {
            return Ok(());
        }
        let edited = Happening::Edited { message: scene.message.id };
        self.listeners.record(conn, scene.org.id, &[edited]).await
    }

    async fn record_hold(
        &self,
        conn: &mut OrgConn<'_>,
        scene: &Scene<'_>,
        (revision, hold): (i32, &Hold),
    ) -> Result<()> {
        if scene.message.shadowed {
            return Ok(());
        }
        let plugin = hold.plugin.clone();
        let waits = Happening::Held { message: scene.message.id, revision, plugin };
        self.listeners.record(conn, scene.org.id, &[waits]).await
    }
}

/// What waits of a message that has not been sent yet. It changes only under the message's lock.
async fn waiting(conn: &mut OrgConn<'_>, message: &Message) -> Result<Option<Held>> {
    if message.state != MessageState::Held {
        return Ok(None);
    }
    let held = held::find_pending(conn, message.id).await?;
    Ok(held.filter(|held| !held.is_edit))
}

/// The terms on which an edit is to wait; `None`: it takes the place of what stands. `waits`: of
/// the message itself. Where plugins are to be asked again, nothing that they staged is kept.
fn terms(
    judgement: &mut Judgement,
    (message, waits): (&Message, Option<&Held>),
) -> Result<Option<Hold>> {
    let hold = match &judgement.outcome {
        Outcome::Send => None,
        // Its sender is to see it edited, as they see it sent.
        Outcome::Shadow if message.shadowed => None,
        Outcome::Shadow => Some(shadow_as_hold(&judgement.steps)),
        Outcome::Hold(hold) => Some(hold.clone()),
        Outcome::Reject(rejection) => return Err(Error::Rejected(rejection.clone())),
    };
    let hold = match waits {
        Some(earlier) => Some(sterner(earlier, hold)),
        None => hold,
    };
    if hold.as_ref().is_some_and(Hold::is_asked_again) {
        judgement.staged.clear();
    }
    Ok(hold)
}

fn require_editable(caller: &Caller, message: &Message) -> Result<()> {
    if message.sender_id != caller.user.id {
        return Err(Error::Forbidden("only its sender can edit a message".into()));
    }
    if message.is_tombstone() {
        return Err(Error::Conflict("the message has been deleted".into()));
    }
    if message.state == MessageState::Refused {
        return Err(Error::Conflict("the message has been refused; send a new one".into()));
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
        preview: None,
    }
}
