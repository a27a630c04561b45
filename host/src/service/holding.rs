//! How a hold begins, and every way in which it ends. The message's row is locked first, so that
//! a release, a refusal, an edit and a deletion that meet are decided one after another.

use std::sync::Arc;

use serde_json::json;

use super::{
    listeners::Listeners,
    messages::MESSAGE,
    nudges::Notify,
    people::People,
    plugins::Plugins,
    sending::{Letter, Via},
    telling::Telling,
    terms::{Asked, ReviewSettings, quota},
};
use crate::{
    Error, Result,
    db::{
        Db, OrgConn, audit,
        changes::{self, NewChange},
        held::{self, Ending, NewHold, NewRevision},
        kv::{self, Committed},
        messages,
        releases::{self, Release},
    },
    domain::{
        Actor, Body, Caller, Decision, Happening, Held, Hold, HoldState, Message, MessageId,
        MessageState, Org, OrgId, PendingBody, StagedWrites, UserId,
    },
    events::{Event, Exchange},
};

/// A body as plugins left it, what they noted, and what they want stored with it.
pub(super) struct Judged {
    pub body: Body,
    pub decision: Option<Decision>,
    pub staged: Vec<StagedWrites>,
}

/// A decision about what waits of a message.
pub(super) struct Ruling {
    /// The revision that was looked at.
    pub revision: i32,
    pub ending: Ending,
    pub ends: Ends,
}

pub(super) enum Ends {
    /// As it waits.
    Release,
    /// As plugins that were asked again left it.
    Pass {
        judged: Judged,
        shadow: bool,
    },
    Refuse {
        reason: String,
    },
}

/// One message in a transaction that changes it, and its two people.
pub(super) struct Scene<'a> {
    pub org: &'a Org,
    pub letter: &'a Letter,
    pub message: Message,
}

impl Scene<'_> {
    fn exchange(&self, recipient_reply_to: Option<MessageId>) -> Exchange {
        Exchange {
            org_id: self.org.id,
            message: Arc::new(self.message.clone()),
            sender: self.letter.sender.clone(),
            recipient: self.letter.recipient.clone(),
            recipient_reply_to,
        }
    }
}

#[derive(Clone)]
pub(super) struct Holding {
    db: Db,
    people: People,
    plugins: Plugins,
    telling: Telling,
    listeners: Listeners,
    settings: ReviewSettings,
}

/// What [`Holding`] is made of.
pub(super) struct Parts {
    pub(super) db: Db,
    pub(super) people: People,
    pub(super) plugins: Plugins,
    pub(super) telling: Telling,
    pub(super) listeners: Listeners,
    pub(super) settings: ReviewSettings,
}

impl Holding {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { db, people, plugins, telling, listeners, settings } = parts;
        Self { db, people, plugins, telling, listeners, settings }
    }

    pub(super) fn new_hold(&self, caller: &Caller, via: Via, hold: Hold) -> NewHold {
        let asked = json!(Asked::of(caller, via));
        NewHold { hold, asked, ask_after: self.settings.ask_again, quota: quota(&caller.org) }
    }

    /// Ends what waits of a message. Whoever comes second finds nothing pending, or another
    /// revision, and is told so.
    pub(super) async fn decide(&self, org: &Org, id: MessageId, ruling: Ruling) -> Result<Letter> {
        let letter = self.load(org.id, id).await?;
        self.listeners.ready(org.id).await?;
        let notify = self.plugins.notify(org).await?;
        let mut tx = self.db.begin(org.id).await?;
        let conn = &mut tx.conn();
        if let Ends::Pass { judged, .. } = &ruling.ends
            && kv::commit_all(conn, &judged.staged).await? == Committed::Conflict
        {
            return Err(changed());
        }
        let message = messages::lock_any(conn, id).await?.ok_or(MESSAGE)?;
        let held = held::lock_pending(conn, id).await?.ok_or_else(|| {
            Error::Conflict("nothing of this message waits for a review any more".into())
        })?;
        if held.revision != ruling.revision {
            return Err(Error::Conflict(format!(
                "revision {} of this message waits now; look at it before you decide",
                held.revision
            )));
        }
        let mut scene = Scene { org, letter: &letter, message };
        let is_new = scene.message.state == MessageState::Held;
        let (ending, revision) = (ruling.ending, ruling.revision);
        let (state, reason, event) = match ruling.ends {
            Ends::Refuse { reason } => {
                let event = if is_new {
                    refuse_message(conn, &mut scene, &reason).await?
                } else {
                    refuse_edit(conn, &mut scene).await?
                };
                (HoldState::Refused, Some(reason), event)
            }
            ends => (
                HoldState::Released,
                None,
                release(conn, &mut scene, &held, (ends, &notify)).await?,
            ),
        };
        held::end(conn, id, state, &ending).await?;
        // A shadowed message is nobody's event.
        if state == HoldState::Released && !scene.message.shadowed {
            let released = Happening::Released { message: id };
            self.listeners.record(conn, org.id, &[released]).await?;
        }
        let detail = json!({
            "revision": revision,
            "plugin": held.plugin,
            "version": held.version,
            "cause": held.cause,
            "reason": reason,
        });
        let action = if state == HoldState::Released { "held.release" } else { "held.refuse" };
        let actor = ending.by.map_or(Actor::System, Actor::User);
        audit::insert(conn, actor, action, &id.to_string(), &detail).await?;
        let message = Arc::new(scene.message);
        self.telling.commit(tx, vec![event]).await?;
        notify.stored();
        Ok(Letter { message, ..letter })
    }

    /// Any message of the org with its people, for those who review and for the server itself.
    pub(super) async fn load(&self, org_id: OrgId, id: MessageId) -> Result<Letter> {
        let mut handle = self.db.org(org_id).await?;
        let message = messages::list_any(&mut handle.conn(), &[id]).await?.pop().ok_or(MESSAGE)?;
        handle.done();
        let sender = self.people.load(org_id, message.sender_id).await?;
        let recipient = self.people.load(org_id, message.recipient_id).await?;
        Ok(Letter { message: Arc::new(message), sender, recipient })
    }

    /// Plugins that were asked again want a person to look at it: an ordinary hold from now on.
    pub(super) async fn hold_again(
        &self,
        (org, letter): (&Org, &Letter),
        held: &Held,
        judged: Judged,
        again: Hold,
    ) -> Result<()> {
        let id = held.message_id;
        let mut tx = self.db.begin(org.id).await?;
        let conn = &mut tx.conn();
        if kv::commit_all(conn, &judged.staged).await? == Committed::Conflict {
            return Err(changed());
        }
        let message = messages::lock_any(conn, id).await?.ok_or(MESSAGE)?;
        let pending = held::lock_pending(conn, id).await?;
        if pending.is_none_or(|pending| pending.revision != held.revision) {
            return Ok(());
        }
        if message.state == MessageState::Held {
            releases::update_held(conn, id, &judged.body, judged.decision.as_ref()).await?;
        }
        let new = NewHold {
            hold: again,
            asked: held.asked.clone(),
            ask_after: self.settings.ask_again,
            quota: quota(org),
        };
        let revision = queue(conn, &message, &judged, &new).await?;
        let mut scene = Scene { org, letter, message };
        if scene.message.state == MessageState::Held {
            scene.message.body = judged.body;
        } else {
            scene.message.pending_revision = Some(revision);
        }
        // Their app shows what the plugins had not seen yet.
        let event = tell_sender(conn, &scene).await?;
        self.telling.commit(tx, vec![event]).await
    }
}

/// Puts a revision into the place of the one that waited, if one did; its number.
pub(super) async fn queue(
    conn: &mut OrgConn<'_>,
    message: &Message,
    judged: &Judged,
    hold: &NewHold,
) -> Result<i32> {
    held::end(conn, message.id, HoldState::Superseded, &Ending::default()).await?;
    let revision = held::next_revision(conn, message.id).await?;
    let is_edit = message.state != MessageState::Held;
    let body = is_edit.then(|| PendingBody::of(&judged.body));
    let decision = judged.decision.as_ref();
    let new = NewRevision { revision, body: body.as_ref(), decision };
    held::insert_revision(conn, message, new, hold).await?;
    if is_edit {
        releases::update_pending(conn, message.id, Some(revision)).await?;
    }
    Ok(revision)
}

/// An edit that waited is over: another one passed.
pub(super) async fn supersede(conn: &mut OrgConn<'_>, id: MessageId) -> Result<()> {
    held::end(conn, id, HoldState::Superseded, &Ending::default()).await?;
    Ok(())
}

/// Puts a body into the place of what stands.
pub(super) async fn apply_edit(
    conn: &mut OrgConn<'_>,
    scene: &mut Scene<'_>,
    judged: &Judged,
) -> Result<Event> {
    let decision = judged.decision.as_ref();
    let message = &mut scene.message;
    message.edited_at =
        Some(messages::update_body(conn, message.id, &judged.body, decision).await?);
    message.body = judged.body.clone();
    message.pending_revision = None;
    let told = [message.sender_id, message.recipient_id];
    let told: Vec<UserId> = told.into_iter().filter(|user| message.visible_to(*user)).collect();
    changes::insert(conn, &updates(message.id, &told)).await?;
    let as_received = messages::find(conn, message.recipient_id, message.id).await?;
    let reply_to = as_received.and_then(|message| message.reply_to);
    Ok(Event::MessageUpdated(scene.exchange(reply_to)))
}

/// Tells its sender alone that something about their message, or an edit of it, has changed.
pub(super) async fn tell_sender(conn: &mut OrgConn<'_>, scene: &Scene<'_>) -> Result<Event> {
    let message = &scene.message;
    changes::insert(conn, &updates(message.id, &[message.sender_id])).await?;
    Ok(Event::PendingEdit(scene.exchange(None)))
}

async fn release(
    conn: &mut OrgConn<'_>,
    scene: &mut Scene<'_>,
    held: &Held,
    (ends, notify): (Ends, &Notify),
) -> Result<Event> {
    let standing = &scene.message.body;
    let (judged, shadow) = match ends {
        Ends::Pass { judged, shadow } => (judged, shadow),
        Ends::Release | Ends::Refuse { .. } => {
            let body = match held.body.clone() {
                Some(pending) => pending.over(standing),
                None => standing.clone(),
            };
            (Judged { body, decision: held.decision.clone(), staged: Vec::new() }, false)
        }
    };
    if scene.message.state == MessageState::Held {
        release_message(conn, scene, judged, (shadow || held.shadow, notify)).await
    } else {
        apply_edit(conn, scene, &judged).await
    }
}

/// Gives a message its place in the thread, as the writer's batch gives it to others.
async fn release_message(
    conn: &mut OrgConn<'_>,
    scene: &mut Scene<'_>,
    judged: Judged,
    (shadow, notify): (bool, &Notify),
) -> Result<Event> {
    let message = &mut scene.message;
    let id = message.id;
    let seq = releases::take_seq(conn, message.thread_id).await?;
    let release = Release { seq, shadow, body: &judged.body, decision: judged.decision.as_ref() };
    releases::update_sent(conn, id, &release).await?;
    message.state = MessageState::Sent;
    message.seq = Some(seq);
    message.shadowed = shadow;
    message.body = judged.body;
    let (sender, recipient) = (message.sender_id, message.recipient_id);
    let mut sides = if shadow { vec![sender] } else { vec![sender, recipient] };
    sides.sort();
    let mut recipient_prev_seq = 0;
    for side in sides {
        let given = releases::give(conn, side, message, seq).await?;
        if side == recipient {
            recipient_prev_seq = given;
        }
    }
    let mut told = updates(id, &[sender]);
    let mut reply_to = None;
    if !shadow {
        told.push(NewChange {
            user_id: recipient,
            kind: "message",
            message_id: Some(id),
            detail: None,
            unread: 1,
        });
    }
    changes::insert(conn, &told).await?;
    if !shadow {
        releases::insert_notification(conn, recipient, id, notify.is_asked()).await?;
        reply_to = messages::find(conn, recipient, id).await?.and_then(|message| message.reply_to);
    }
    let exchange = scene.exchange(reply_to);
    Ok(Event::MessageReleased { exchange, recipient_prev_seq, notify: notify.is_live() })
}

async fn refuse_message(
    conn: &mut OrgConn<'_>,
    scene: &mut Scene<'_>,
    reason: &str,
) -> Result<Event> {
    releases::update_refused(conn, scene.message.id, reason).await?;
    scene.message.state = MessageState::Refused;
    scene.message.refused_reason = Some(reason.to_owned());
    tell_sender(conn, scene).await
}

async fn refuse_edit(conn: &mut OrgConn<'_>, scene: &mut Scene<'_>) -> Result<Event> {
    releases::update_pending(conn, scene.message.id, None).await?;
    scene.message.pending_revision = None;
    tell_sender(conn, scene).await
}

fn updates(id: MessageId, told: &[UserId]) -> Vec<NewChange> {
    let update = |user_id: &UserId| NewChange {
        user_id: *user_id,
        kind: "updated",
        message_id: Some(id),
        detail: None,
        unread: 0,
    };
    told.iter().map(update).collect()
}

/// The message stays as it is, and plugins are asked again.
fn changed() -> Error {
    Error::Conflict("what a plugin had read has changed: it is asked again".into())
}
