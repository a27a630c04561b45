//! What an org's admins look at and decide: the review queue, flags, refusals, the audit log.

mod receipts;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::json;

use super::{
    history::{Page, cut},
    holding::{Ends, Holding, Ruling},
    messages::MESSAGE,
    people::People,
    receipts::Receipts,
    sending::Letter,
};
use crate::{
    Error, Result,
    db::{
        Db, OrgConn,
        audit::{self, AuditRow},
        flags,
        held::{self, Ending},
        messages,
        refusals::{self, RefusalRow},
    },
    domain::{
        Actor, AdminReads, Caller, Decision, EntryId, Held, HoldState, InvalidField, Message,
        MessageId, MessageState, User, UserId,
    },
};

pub use receipts::{ReceiptCall, ReceiptEntry};

/// The most that one page holds.
pub const PAGE: i64 = 100;
const MAX_NOTE_CHARS: usize = 2000;

/// A message as its org's admins may see it.
#[derive(Clone)]
pub struct Reviewed {
    pub letter: Letter,
    /// How plugins decided; `None` where none was asked.
    pub decision: Option<Decision>,
    /// The admin may read what it says.
    pub readable: bool,
}

/// What waits, or has waited, with the message that it is about.
pub struct HeldEntry {
    pub held: Held,
    pub reviewed: Reviewed,
    pub decided_by: Option<Arc<User>>,
}

/// A refused draft and its two people.
pub struct Refusal {
    pub row: RefusalRow,
    pub sender: Arc<User>,
    pub recipient: Arc<User>,
}

/// What an admin says about what waits.
#[derive(Clone, Debug)]
pub struct ReviewCommand {
    /// The revision that they looked at.
    pub revision: i32,
    /// For other admins.
    pub note: Option<String>,
    /// For the sender: a word, where it is refused.
    pub reason: Option<String>,
}

#[derive(Clone)]
pub struct Review {
    pub(super) db: Db,
    pub(super) people: People,
    pub(super) holding: Holding,
    pub(super) receipts: Receipts,
}

impl Review {
    /// What waits, oldest first; or what came to another end.
    pub async fn held(
        &self,
        caller: &Caller,
        state: HoldState,
        after: Option<EntryId>,
        limit: i64,
    ) -> Result<Page<HeldEntry, EntryId>> {
        let mut handle = self.db.org(caller.org.id).await?;
        let mut rows = held::list(&mut handle.conn(), state, after, limit + 1).await?;
        handle.done();
        let next = cut(&mut rows, limit, |row| row.id);
        let ids: Vec<MessageId> = rows.iter().map(|row| row.message_id).collect();
        let reviewed = self.look_at(caller, "held", &ids).await?;
        let deciders: Vec<UserId> = rows.iter().filter_map(|row| row.decided_by).collect();
        let deciders = self.people.map(caller.org.id, &deciders).await?;
        let mut items = Vec::with_capacity(rows.len());
        for held in rows {
            let Some(reviewed) = reviewed.get(&held.message_id) else { continue };
            let decided_by = held.decided_by.and_then(|id| deciders.get(&id).cloned());
            items.push(HeldEntry { held, reviewed: reviewed.clone(), decided_by });
        }
        Ok(Page { items, next })
    }

    /// Lets what waits go, as it is; plugins are not asked again.
    pub async fn release(
        &self,
        caller: &Caller,
        id: MessageId,
        command: ReviewCommand,
    ) -> Result<Letter> {
        if command.reason.is_some() {
            return Err(Error::invalid("reason", "is for refusals; a release takes a note"));
        }
        Box::pin(self.decide(caller, id, command, Ends::Release)).await
    }

    /// Refuses what waits; its sender learns the reason.
    pub async fn refuse(
        &self,
        caller: &Caller,
        id: MessageId,
        command: ReviewCommand,
    ) -> Result<Letter> {
        let reason = command.reason.clone().unwrap_or_else(|| "review_refused".to_owned());
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(c);
        if !(1..=64).contains(&reason.len()) || !reason.chars().all(is_word) {
            return Err(Error::invalid("reason", "must be 1 to 64 characters of a-z 0-9 _ . -"));
        }
        Box::pin(self.decide(caller, id, command, Ends::Refuse { reason })).await
    }

    async fn decide(
        &self,
        caller: &Caller,
        id: MessageId,
        command: ReviewCommand,
        ends: Ends,
    ) -> Result<Letter> {
        check_note(command.note.as_deref())?;
        let ending = Ending { by: Some(caller.user.id), note: command.note };
        let ruling = Ruling { revision: command.revision, ending, ends };
        Box::pin(self.holding.decide(&caller.org, id, ruling)).await
    }

    /// Messages that carry a label, newest first.
    pub async fn flagged(
        &self,
        caller: &Caller,
        before: Option<MessageId>,
        limit: i64,
    ) -> Result<Page<Reviewed>> {
        let mut handle = self.db.org(caller.org.id).await?;
        let mut ids = flags::list(&mut handle.conn(), before, limit + 1).await?;
        handle.done();
        let next = cut(&mut ids, limit, |id| *id);
        let mut reviewed = self.look_at(caller, "flagged", &ids).await?;
        let items = ids.iter().filter_map(|id| reviewed.remove(id)).collect();
        Ok(Page { items, next })
    }

    /// How plugins decided about one message.
    pub async fn decision(&self, caller: &Caller, id: MessageId) -> Result<Reviewed> {
        let mut reviewed = self.look_at(caller, &id.to_string(), &[id]).await?;
        reviewed.remove(&id).ok_or(MESSAGE)
    }

    /// What plugins refused, newest first.
    pub async fn refusals(
        &self,
        caller: &Caller,
        before: Option<EntryId>,
        limit: i64,
    ) -> Result<Page<Refusal, EntryId>> {
        let mut handle = self.db.org(caller.org.id).await?;
        let mut rows = refusals::list(&mut handle.conn(), before, None, limit + 1).await?;
        handle.done();
        let next = cut(&mut rows, limit, |row| row.id);
        Ok(Page { items: self.with_people(caller, rows).await?, next })
    }

    /// One of them, by the `requestId` that its sender has read.
    pub async fn refusal(&self, caller: &Caller, id: EntryId) -> Result<Refusal> {
        let mut handle = self.db.org(caller.org.id).await?;
        let rows = refusals::list(&mut handle.conn(), None, Some(id), 1).await?;
        handle.done();
        let found = self.with_people(caller, rows).await?.pop();
        found.ok_or(Error::NotFound("a refusal of that requestId".into()))
    }

    async fn with_people(&self, caller: &Caller, rows: Vec<RefusalRow>) -> Result<Vec<Refusal>> {
        let ids: Vec<UserId> =
            rows.iter().flat_map(|row| [row.sender_id, row.recipient_id]).collect();
        let people = self.people.map(caller.org.id, &ids).await?;
        let refusals = rows.into_iter().filter_map(|row| {
            let sender = people.get(&row.sender_id)?.clone();
            let recipient = people.get(&row.recipient_id)?.clone();
            Some(Refusal { row, sender, recipient })
        });
        Ok(refusals.collect())
    }

    /// Who did what, newest first.
    pub async fn audit(
        &self,
        caller: &Caller,
        before: Option<EntryId>,
        limit: i64,
    ) -> Result<Page<AuditRow, EntryId>> {
        let mut handle = self.db.org(caller.org.id).await?;
        let mut items = audit::list(&mut handle.conn(), before, limit + 1).await?;
        let next = cut(&mut items, limit, |row| row.id);
        Ok(Page { items, next })
    }

    /// Messages with what plugins noted. Where the admin may read some of them, the reading is
    /// in the audit log before they are handed out.
    async fn look_at(
        &self,
        caller: &Caller,
        subject: &str,
        ids: &[MessageId],
    ) -> Result<HashMap<MessageId, Reviewed>> {
        self.look_at_showing(caller, subject, ids, &[]).await
    }

    /// The same, where others are shown along with them.
    async fn look_at_showing(
        &self,
        caller: &Caller,
        subject: &str,
        ids: &[MessageId],
        shown: &[MessageId],
    ) -> Result<HashMap<MessageId, Reviewed>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let org_id = caller.org.id;
        let mut handle = self.db.org(org_id).await?;
        let conn = &mut handle.conn();
        let found = messages::list_any(conn, ids).await?;
        let decisions: HashMap<MessageId, Decision> =
            flags::list_decisions(conn, ids).await?.into_iter().collect();
        let may_read = |message: &Message| {
            let flagged =
                decisions.get(&message.id).is_some_and(|decision| !decision.labels.is_empty());
            match caller.org.settings.admin_reads {
                AdminReads::None => false,
                AdminReads::HeldAndFlagged => flagged || is_held(message),
                AdminReads::All => true,
            }
        };
        let readable: HashSet<MessageId> =
            found.iter().filter(|message| may_read(message)).map(|message| message.id).collect();
        note_reading(conn, caller, subject, (&readable, shown)).await?;
        handle.done();
        let people: Vec<UserId> =
            found.iter().flat_map(|message| [message.sender_id, message.recipient_id]).collect();
        let people = self.people.map(org_id, &people).await?;
        let reviewed = found.into_iter().filter_map(|message| {
            let id = message.id;
            let sender = people.get(&message.sender_id)?.clone();
            let recipient = people.get(&message.recipient_id)?.clone();
            let letter = Letter { message: Arc::new(message), sender, recipient };
            let decision = decisions.get(&id).cloned();
            Some((id, Reviewed { letter, decision, readable: readable.contains(&id) }))
        });
        Ok(reviewed.collect())
    }
}

/// What waits, and what was refused after it had waited.
fn is_held(message: &Message) -> bool {
    let was_held = matches!(message.state, MessageState::Held | MessageState::Refused);
    was_held || message.pending_revision.is_some()
}

/// One entry for one reading, whatever number of messages it shows.
async fn note_reading(
    conn: &mut OrgConn<'_>,
    caller: &Caller,
    subject: &str,
    (readable, shown): (&HashSet<MessageId>, &[MessageId]),
) -> Result<()> {
    if readable.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<&MessageId> = readable.iter().chain(shown).collect();
    ids.sort();
    ids.dedup();
    let detail = json!({ "messageIds": ids });
    let actor = Actor::User(caller.user.id);
    Ok(audit::insert(conn, actor, "content.read", subject, &detail).await?)
}

fn check_note(note: Option<&str>) -> Result<(), InvalidField> {
    let fits = |note: &str| note.chars().count() <= MAX_NOTE_CHARS && !note.contains('\0');
    if note.is_none_or(fits) {
        return Ok(());
    }
    Err(InvalidField::new("note", "may have at most 2000 characters and no U+0000"))
}
