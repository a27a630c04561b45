//! What has been said: lists of threads, parts of a thread, the badge.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    people::{People, PersonRef},
    presence::{Presence, PresenceView},
    sending::Letter,
};
use crate::{
    Error, Result,
    db::{
        Db, OrgConn,
        history::{self, Part, Place},
        messages, threads,
    },
    domain::{Caller, Message, MessageId, ThreadId, User, UserId},
};

/// The most that one page holds, and what a request without `limit` gets.
pub const PAGE: i64 = 1000;
/// How much of a message a preview shows.
pub(super) const PREVIEW_CHARS: i32 = 200;

/// A page, and where the listing goes on.
pub struct Page<T, C = MessageId> {
    pub items: Vec<T>,
    pub next: Option<C>,
}

/// A thread as one person's list shows it.
pub struct ThreadEntry {
    pub peer: Arc<User>,
    pub presence: PresenceView,
    pub last: Option<Letter>,
    pub unread_count: i64,
    pub last_seq: i64,
}

/// Where in a thread a page lies.
#[derive(Clone, Copy, Debug, Default)]
pub enum Anchor {
    #[default]
    Newest,
    Before(MessageId),
    After(MessageId),
    /// Half of the page on either side.
    Around(MessageId),
}

/// Where a thread's listing goes on: further back, or further on.
#[derive(Clone, Copy, Debug)]
pub enum NextPart {
    Before(MessageId),
    After(MessageId),
}

#[derive(Clone)]
pub struct History {
    db: Db,
    people: People,
    presence: Presence,
}

impl History {
    pub fn new(db: Db, people: People, presence: Presence) -> Self {
        Self { db, people, presence }
    }

    /// The caller's threads, the last active first.
    pub async fn threads(
        &self,
        caller: &Caller,
        before: Option<MessageId>,
        limit: i64,
    ) -> Result<Page<ThreadEntry>> {
        let (org_id, me) = (caller.org.id, caller.user.id);
        let mut handle = self.db.org(org_id).await?;
        let mut states = threads::list(&mut handle.conn(), me, before, limit + 1).await?;
        let next = cut(&mut states, limit, |state| state.active_id);
        let last: Vec<MessageId> =
            states.iter().filter_map(|state| state.last_message_id).collect();
        let previews = if last.is_empty() {
            Vec::new()
        } else {
            messages::list_by_id(&mut handle.conn(), me, &last, PREVIEW_CHARS).await?
        };
        handle.done();
        let peers: Vec<_> = states.iter().map(|state| state.peer_id).collect();
        let people = self.people.map(org_id, &peers).await?;
        let known: Vec<Arc<User>> = people.values().cloned().collect();
        let presence = self.presence.of_peers(&caller.org, &known);
        let mut previews: std::collections::HashMap<_, _> =
            previews.into_iter().map(|message| (message.id, message)).collect();
        let entries = states.into_iter().filter_map(|state| {
            let peer = people.get(&state.peer_id)?.clone();
            let last = state.last_message_id.and_then(|id| previews.remove(&id));
            Some(ThreadEntry {
                presence: presence.get(&peer.id).copied().unwrap_or_default(),
                last: last.map(|message| Letter::between(caller, peer.clone(), message)),
                peer,
                unread_count: state.unread_count,
                last_seq: state.given_seq,
            })
        });
        Ok(Page { items: entries.collect(), next })
    }

    /// Part of the thread with a peer, oldest first. Nobody learns from an empty answer
    /// whether there is such a person.
    pub async fn thread(
        &self,
        caller: &Caller,
        peer: &PersonRef,
        anchor: Anchor,
        limit: i64,
    ) -> Result<Page<Letter, NextPart>> {
        let Some(peer) = self.people.find(caller.org.id, peer).await? else {
            return Ok(Page { items: Vec::new(), next: None });
        };
        let thread_id = ThreadId::of(caller.user.id, peer.id);
        let (messages, next) = self.part(caller, thread_id, anchor, limit).await?;
        let letters =
            messages.into_iter().map(|message| Letter::between(caller, peer.clone(), message));
        Ok(Page { items: letters.collect(), next })
    }

    async fn part(
        &self,
        caller: &Caller,
        thread_id: ThreadId,
        anchor: Anchor,
        limit: i64,
    ) -> Result<(Vec<Message>, Option<NextPart>)> {
        let mut handle = self.db.org(caller.org.id).await?;
        let me = caller.user.id;
        let conn = &mut handle.conn();
        let place = match anchor {
            Anchor::Newest => None,
            Anchor::Before(id) | Anchor::After(id) | Anchor::Around(id) => {
                let place = history::find_place(conn, me, thread_id, id).await?;
                Some(place.ok_or_else(|| unknown_anchor(anchor))?)
            }
        };
        let part = match (anchor, place) {
            (Anchor::After(_), Some(place)) => {
                let mut found = after(conn, (me, thread_id), place, limit + 1).await?;
                let next = cut(&mut found, limit, |message| message.id).map(NextPart::After);
                (found, next)
            }
            (Anchor::Around(id), Some(place)) => {
                let older = limit / 2;
                let before = Part::Before(place);
                let mut found = history::list_thread(conn, me, thread_id, before, older).await?;
                let found_here = messages::find(conn, me, id).await?;
                let newer = limit - older - i64::from(found_here.is_some());
                found.extend(found_here);
                found.extend(after(conn, (me, thread_id), place, newer).await?);
                (found, None)
            }
            (_, place) => {
                let part = place.map_or(Part::Newest, Part::Before);
                let mut found = history::list_thread(conn, me, thread_id, part, limit + 1).await?;
                found.reverse();
                let next = cut(&mut found, limit, |message| message.id).map(NextPart::Before);
                found.reverse();
                (found, next)
            }
        };
        handle.done();
        Ok(part)
    }

    /// The caller's badge.
    pub async fn unread_count(&self, caller: &Caller) -> Result<i64> {
        let mut handle = self.db.org(caller.org.id).await?;
        let unread = threads::count_unread(&mut handle.conn(), caller.user.id).await?;
        handle.done();
        Ok(unread)
    }
}

/// What follows on a place, the reader's held ones last.
async fn after(
    conn: &mut OrgConn<'_>,
    (me, thread_id): (UserId, ThreadId),
    place: Place,
    limit: i64,
) -> Result<Vec<Message>> {
    let mut found = history::list_thread(conn, me, thread_id, Part::After(place), limit).await?;
    let room = limit - i64::try_from(found.len()).unwrap_or(limit);
    if matches!(place, Place::Seq(_)) && room > 0 {
        let unplaced = Part::After(Place::Unplaced(MessageId::from(Uuid::nil())));
        found.extend(history::list_thread(conn, me, thread_id, unplaced, room).await?);
    }
    Ok(found)
}

/// Cuts off what is over the limit; where there was any, names the last that stays.
pub(super) fn cut<T, C>(items: &mut Vec<T>, limit: i64, place: impl Fn(&T) -> C) -> Option<C> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > limit;
    items.truncate(limit);
    if more { items.last().map(place) } else { None }
}

fn unknown_anchor(anchor: Anchor) -> Error {
    let field = match anchor {
        Anchor::Newest | Anchor::Before(_) => "before",
        Anchor::After(_) => "after",
        Anchor::Around(_) => "around",
    };
    Error::invalid(field, "must be the id of a message of this thread")
}
