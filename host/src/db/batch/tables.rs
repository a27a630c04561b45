//! What a batch comes to in each table, in columns: the statement only adds it to what is stored.

use std::collections::BTreeMap;

use super::{Fate, NewMessage};
use crate::domain::{ClientId, MessageId, OrgId, ThreadId, UserId};

/// Rows by their keys, in the order in which they are locked. Outside of here only made to see
/// what that costs (`benches/hot.rs`).
#[derive(Default)]
pub struct Tables<'a> {
    pub(super) threads: Threads,
    pub(super) states: States,
    pub(super) users: Users,
    pub(super) changes: Changes,
    pub(super) messages: Messages<'a>,
}

/// How many `seq` each thread gives out.
#[derive(Default)]
pub(super) struct Threads {
    pub(super) org_ids: Vec<OrgId>,
    pub(super) ids: Vec<ThreadId>,
    pub(super) counts: Vec<i64>,
}

/// Both sides of each thread.
#[derive(Default)]
pub(super) struct States {
    pub(super) org_ids: Vec<OrgId>,
    pub(super) user_ids: Vec<UserId>,
    pub(super) thread_ids: Vec<ThreadId>,
    pub(super) peer_ids: Vec<UserId>,
    /// How far below the thread's last `seq` the last one given is; `None`: none is given.
    pub(super) below: Vec<Option<i64>>,
    pub(super) unread: Vec<i64>,
    pub(super) last_ids: Vec<MessageId>,
    pub(super) active_seconds: Vec<i64>,
    pub(super) opened: Vec<bool>,
}

/// How many changes each person gets, and how many of them count as unread.
#[derive(Default)]
pub(super) struct Users {
    pub(super) org_ids: Vec<OrgId>,
    pub(super) ids: Vec<UserId>,
    pub(super) changes: Vec<i64>,
    pub(super) unread: Vec<i64>,
}

/// What each person is to learn.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) org_ids: Vec<OrgId>,
    pub(super) user_ids: Vec<UserId>,
    /// How far below the person's last position.
    pub(super) below: Vec<i64>,
    pub(super) message_ids: Vec<MessageId>,
}

/// The messages themselves, in the batch's order.
#[derive(Default)]
pub(super) struct Messages<'a> {
    pub(super) org_ids: Vec<OrgId>,
    pub(super) ids: Vec<MessageId>,
    pub(super) thread_ids: Vec<ThreadId>,
    /// How far below the thread's last `seq`; `None`: it gets none yet.
    pub(super) below: Vec<Option<i64>>,
    pub(super) sender_ids: Vec<UserId>,
    pub(super) recipient_ids: Vec<UserId>,
    pub(super) client_ids: Vec<Option<&'a str>>,
    pub(super) request_hashes: Vec<&'a [u8]>,
    pub(super) contents: Vec<&'a str>,
    pub(super) content_types: Vec<&'a str>,
    /// `None`: it has none.
    pub(super) attachments: Vec<Option<String>>,
    pub(super) metadata: Vec<Option<String>>,
    pub(super) reply_tos: Vec<Option<MessageId>>,
    pub(super) fates: Vec<i16>,
    pub(super) decisions: Vec<Option<String>>,
    pub(super) previews: Vec<Option<&'a str>>,
    pub(super) asks_notify: Vec<bool>,
}

/// One side of a thread, as the batch leaves it.
struct State {
    peer: UserId,
    below: Option<i64>,
    unread: i64,
    last: MessageId,
    opened: bool,
}

/// What the batch adds, gathered from its end: what comes last is what stands.
#[derive(Default)]
struct Sums {
    threads: BTreeMap<(OrgId, ThreadId), i64>,
    states: BTreeMap<(OrgId, UserId, ThreadId), State>,
    users: BTreeMap<(OrgId, UserId), (i64, i64)>,
    changes: Changes,
    below: Vec<Option<i64>>,
}

impl Sums {
    fn of(batch: &[NewMessage]) -> Self {
        let mut sums = Self::default();
        for row in batch.iter().rev() {
            let count = sums.threads.entry((row.org_id, row.draft.thread_id())).or_default();
            let below = (!matches!(row.fate, Fate::Held(_))).then_some(*count);
            *count += i64::from(below.is_some());
            sums.below.push(below);
            let (sender, recipient) = (row.draft.sender_id, row.draft.recipient_id);
            if matches!(row.fate, Fate::Sent) {
                sums.add_side(row, (recipient, sender), below);
            }
            sums.add_side(row, (sender, recipient), below);
        }
        sums.below.reverse();
        sums
    }

    fn add_side(&mut self, row: &NewMessage, (user, peer): (UserId, UserId), below: Option<i64>) {
        let NewMessage { org_id, id, draft, .. } = row;
        let wrote = user == draft.sender_id;
        let unread = i64::from(!wrote);
        let new = State { peer, below, unread: 0, last: *id, opened: wrote };
        let state = self.states.entry((*org_id, user, draft.thread_id())).or_insert(new);
        state.below = state.below.or(below);
        state.unread += unread;
        state.opened = wrote;
        let (changes, of_unread) = self.users.entry((*org_id, user)).or_default();
        self.changes.org_ids.push(*org_id);
        self.changes.user_ids.push(user);
        self.changes.below.push(*changes);
        self.changes.message_ids.push(*id);
        *changes += 1;
        *of_unread += unread;
    }
}

impl<'a> Tables<'a> {
    pub fn of(batch: &'a [NewMessage]) -> Self {
        let Sums { threads, states, users, changes, below } = Sums::of(batch);
        let mut tables = Self { changes, messages: Messages::of(batch, below), ..Self::default() };
        for ((org_id, id), count) in threads {
            tables.threads.org_ids.push(org_id);
            tables.threads.ids.push(id);
            tables.threads.counts.push(count);
        }
        for ((org_id, user_id, thread_id), state) in states {
            tables.states.org_ids.push(org_id);
            tables.states.user_ids.push(user_id);
            tables.states.thread_ids.push(thread_id);
            tables.states.peer_ids.push(state.peer);
            tables.states.below.push(state.below);
            tables.states.unread.push(state.unread);
            tables.states.last_ids.push(state.last);
            tables.states.active_seconds.push(state.last.second());
            tables.states.opened.push(state.opened);
        }
        for ((org_id, id), (changes, unread)) in users {
            tables.users.org_ids.push(org_id);
            tables.users.ids.push(id);
            tables.users.changes.push(changes);
            tables.users.unread.push(unread);
        }
        tables
    }
}

impl<'a> Messages<'a> {
    fn of(batch: &'a [NewMessage], below: Vec<Option<i64>>) -> Self {
        let mut messages = Self { below, ..Self::default() };
        for NewMessage { org_id, id, draft, fate, decision, asks_notify, .. } in batch {
            messages.org_ids.push(*org_id);
            messages.ids.push(*id);
            messages.thread_ids.push(draft.thread_id());
            messages.sender_ids.push(draft.sender_id);
            messages.recipient_ids.push(draft.recipient_id);
            messages.client_ids.push(draft.client_id.as_ref().map(ClientId::as_str));
            messages.request_hashes.push(&draft.request_hash);
            messages.contents.push(&draft.body.content);
            messages.content_types.push(draft.body.content_type.as_str());
            let (attachments, metadata) = (&draft.body.attachments, &draft.body.metadata);
            messages.attachments.push((!attachments.is_empty()).then(|| json_text(attachments)));
            messages.metadata.push((!metadata.is_empty()).then(|| json_text(metadata)));
            messages.reply_tos.push(draft.reply_to);
            messages.fates.push(fate.code());
            messages.decisions.push(decision.as_ref().map(json_text));
            messages.previews.push(draft.body.preview.as_deref());
            messages.asks_notify.push(*asks_notify);
        }
        messages
    }
}

fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers have a JSON form")
}
