//! Read marks.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use super::{
    listeners::Listeners,
    people::{People, PersonRef},
    telling::Telling,
};
use crate::{
    Result,
    db::{
        Db,
        changes::{self, NewChange},
        reading,
        reading::Read,
    },
    domain::{Caller, Happening, MessageId, ThreadId, UserId},
    events::{Event, ReadMessage},
};

/// The most messages that one call may name, and that one bulk read names in events.
pub const MOST_IDS: usize = 500;

/// What a mark changed.
pub struct Marked {
    pub updated: i64,
    /// Empty for a whole thread.
    pub ids: Vec<MessageId>,
}

#[derive(Clone)]
pub struct Reading {
    db: Db,
    people: People,
    telling: Telling,
    listeners: Listeners,
}

impl Reading {
    pub(super) fn new(db: Db, people: People, telling: Telling, listeners: Listeners) -> Self {
        Self { db, people, telling, listeners }
    }

    /// Marks single messages; those that are not the caller's to read are passed over.
    pub async fn mark(&self, caller: &Caller, ids: &[MessageId]) -> Result<Marked> {
        if ids.is_empty() {
            return Ok(Marked { updated: 0, ids: Vec::new() });
        }
        let me = caller.user.id;
        self.listeners.ready(caller.org.id).await?;
        let mut tx = self.db.begin(caller.org.id).await?;
        let conn = &mut tx.conn();
        let read = reading::mark(conn, me, ids).await?;
        if read.is_empty() {
            return Ok(Marked { updated: 0, ids: Vec::new() });
        }
        let mut counts: BTreeMap<ThreadId, i64> = BTreeMap::new();
        for one in &read {
            *counts.entry(one.thread_id).or_default() += 1;
        }
        let counts: Vec<(ThreadId, i64)> = counts.into_iter().collect();
        reading::subtract_unread(conn, me, &counts).await?;
        let told: Vec<NewChange> = read.iter().flat_map(|one| read_changes(me, one)).collect();
        changes::insert(conn, &told).await?;
        let events = self.marked(caller, &read).await?;
        let reads: Vec<Happening> = events.iter().filter_map(reading_of).collect();
        self.listeners.record(conn, caller.org.id, &reads).await?;
        self.telling.commit(tx, events).await?;
        let ids: Vec<MessageId> = read.iter().map(|one| one.id).collect();
        Ok(Marked { updated: i64::try_from(ids.len()).unwrap_or(i64::MAX), ids })
    }

    /// What is told of single messages, one event a sender.
    async fn marked(&self, caller: &Caller, read: &[Read]) -> Result<Vec<Event>> {
        let mut by_sender: BTreeMap<UserId, (Vec<ReadMessage>, OffsetDateTime)> = BTreeMap::new();
        for one in read {
            let message = ReadMessage { id: one.id, sender_sees: !one.hidden_for_sender };
            by_sender.entry(one.sender_id).or_insert((Vec::new(), one.read_at)).0.push(message);
        }
        let (org_id, reader) = (caller.org.id, &caller.user);
        let mut events = Vec::with_capacity(by_sender.len());
        for (sender, (mut messages, read_at)) in by_sender {
            messages.sort_by_key(|message| message.id);
            let sender = self.people.load(org_id, sender).await?;
            let reader = reader.clone();
            events.push(Event::MessagesRead { org_id, reader, sender, messages, read_at });
        }
        Ok(events)
    }

    /// Marks all that the caller has received from a peer.
    pub async fn mark_thread(&self, caller: &Caller, peer: &PersonRef) -> Result<Marked> {
        let nothing = Marked { updated: 0, ids: Vec::new() };
        let Some(peer) = self.people.find(caller.org.id, peer).await? else { return Ok(nothing) };
        let me = caller.user.id;
        let thread_id = ThreadId::of(me, peer.id);
        self.listeners.ready(caller.org.id).await?;
        let mut tx = self.db.begin(caller.org.id).await?;
        let conn = &mut tx.conn();
        let named = i32::try_from(MOST_IDS).unwrap_or(i32::MAX);
        let Some(read) = reading::mark_thread(conn, me, thread_id, named).await? else {
            return Ok(nothing);
        };
        reading::update_read_seq(conn, me, thread_id, read.read_seq).await?;
        let up_to_seq = read.up_to_seq.unwrap_or(read.read_seq);
        if read.count > 0 {
            reading::subtract_unread(conn, me, &[(thread_id, read.count)]).await?;
            let detail = |peer: UserId| {
                json!({
                    "by": me,
                    "peerId": peer,
                    "upToSeq": up_to_seq,
                    "count": read.count,
                    "readAt": read.read_at.unix_timestamp_nanos() / 1_000_000,
                })
            };
            let told = [
                change(me, "threadRead", None, detail(peer.id), -read.count),
                change(peer.id, "threadRead", None, detail(me), 0),
            ];
            changes::insert(conn, &told).await?;
        }
        let hidden = read.newest_hidden.iter();
        let named = read.newest.iter().zip(hidden);
        let messages =
            named.map(|(id, hidden)| ReadMessage { id: *id, sender_sees: !hidden }).collect();
        let marked = Event::ThreadRead {
            org_id: caller.org.id,
            reader: caller.user.clone(),
            peer,
            messages,
            up_to_seq,
            count: read.count,
            read_at: read.read_at,
        };
        let events = if read.count > 0 { vec![marked] } else { Vec::new() };
        let reads: Vec<Happening> = events.iter().filter_map(reading_of).collect();
        self.listeners.record(conn, caller.org.id, &reads).await?;
        self.telling.commit(tx, events).await?;
        Ok(Marked { updated: read.count, ids: Vec::new() })
    }
}

/// The same as plugins hear of it.
fn reading_of(event: &Event) -> Option<Happening> {
    let (reader, sender, read) = match event {
        Event::MessagesRead { reader, sender, messages, .. } => (reader, sender, messages),
        Event::ThreadRead { reader, peer, messages, .. } => (reader, peer, messages),
        _ => return None,
    };
    let messages = read.iter().map(|message| message.id).collect();
    Some(Happening::Read { reader: reader.id, sender: sender.id, messages })
}

/// What the reader's own apps, and the sender's where the message is in sight, must learn.
fn read_changes(reader: UserId, read: &Read) -> impl Iterator<Item = NewChange> {
    let detail = |peer: UserId| {
        json!({
            "by": reader,
            "peerId": peer,
            "readAt": read.read_at.unix_timestamp_nanos() / 1_000_000,
        })
    };
    let told = change(read.sender_id, "read", Some(read.id), detail(reader), 0);
    let own = change(reader, "read", Some(read.id), detail(read.sender_id), -1);
    [Some(own), Some(told).filter(|_| !read.hidden_for_sender)].into_iter().flatten()
}

fn change(
    user_id: UserId,
    kind: &'static str,
    message_id: Option<MessageId>,
    detail: Json,
    unread: i64,
) -> NewChange {
    NewChange { user_id, kind, message_id, detail: Some(detail), unread }
}
