//! Made-up arguments for tests on your own machine, and what stands in for the server there.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    mem,
};

#[cfg(not(target_family = "wasm"))]
use crate::memory;
use crate::{
    Body, Call, Caller, Context, Door, Draft, Kind, Message, Person,
    directory::Profile,
    event::{Event, What},
    history::Earlier,
    log::Level,
    notify::{LocalTime, Notification, Priority, Recipient},
};

thread_local! {
    static CONFIG: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
    static LOG: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static CLOCK_MS: Cell<u64> = const { Cell::new(NOW_MS) };
}

/// 2026-01-01 12:00 UTC.
const NOW_MS: u64 = 1_767_268_800_000;

/// The time on this thread: 2026-01-01 12:00 UTC, and what [`pass_time`] has added.
pub fn now_ms() -> u64 {
    CLOCK_MS.get()
}

/// Lets time pass on this thread: for what is made here from then on, and for keys with a TTL.
pub fn pass_time(ms: u64) {
    CLOCK_MS.set(now_ms() + ms);
}

/// Replaces what [`history::previous`](crate::history::previous) finds on this thread.
#[cfg(not(target_family = "wasm"))]
pub fn set_history<const N: usize>(earlier: [Earlier; N]) {
    memory::with(|server| server.earlier = earlier.into());
}

/// Replaces whom [`directory::find`](crate::directory::find) finds on this thread.
#[cfg(not(target_family = "wasm"))]
pub fn set_people<const N: usize>(people: [Profile; N]) {
    memory::with(|server| server.people = people.into());
}

/// What was sent by [`messages::send`](crate::messages::send) on this thread since this was last
/// asked.
#[cfg(not(target_family = "wasm"))]
pub fn take_sent() -> Vec<Draft> {
    memory::take_sent()
}

/// Forgets all of this thread: keys, what was laid out, sent and logged, and the time.
#[cfg(not(target_family = "wasm"))]
pub fn reset() {
    memory::reset();
    set_config([]);
    LOG.take();
    CLOCK_MS.set(NOW_MS);
}

/// Something that the caller wrote a moment ago, or the recipient.
pub fn earlier(from_caller: bool, content: &str) -> Earlier {
    Earlier {
        from_caller,
        content: content.to_owned(),
        content_type: "text".to_owned(),
        created_at_ms: now_ms() - 60_000,
    }
}

/// A customer who signed in yesterday.
pub fn profile(email: &str) -> Profile {
    Profile {
        email: email.to_owned(),
        kind: Kind::Customer,
        name: None,
        picture: None,
        zoneinfo: None,
        locale: None,
        first_seen_ms: Some(now_ms() - 86_400_000),
    }
}

/// Replaces what [`config::get`](crate::config::get) finds on this thread.
pub fn set_config<const N: usize>(entries: [(&str, &str); N]) {
    let entries = entries.map(|(key, value)| (key.to_owned(), value.to_owned()));
    CONFIG.set(entries.into());
}

/// The lines that were written on this thread since this was last asked.
pub fn take_log() -> Vec<(Level, String)> {
    LOG.with_borrow_mut(mem::take)
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn get(key: &str) -> Option<String> {
    CONFIG.with_borrow(|config| config.get(key).cloned())
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn write(level: Level, text: &str) {
    LOG.with_borrow_mut(|log| log.push((level, text.to_owned())));
}

/// A customer, `alice@example.com`, who sends by REST.
pub fn context() -> Context {
    Context {
        org: "acme".to_owned(),
        call_id: "0198f000-0000-7000-8000-000000000000".to_owned(),
        caller: Caller {
            email: "alice@example.com".to_owned(),
            kind: Kind::Customer,
            admin: false,
            roles: Vec::new(),
            first_seen_ms: Some(now_ms() - 86_400_000),
            messages_24h: 0,
        },
        door: Door::Rest,
        attempt: 1,
        now_ms: now_ms(),
        budget_ms: 100,
    }
}

/// A call off the path of a send.
pub fn call() -> Call {
    Call {
        org: "acme".to_owned(),
        id: "0198f000-0000-7000-8000-000000000000".to_owned(),
        attempt: 1,
        now_ms: now_ms(),
        budget_ms: 1500,
    }
}

/// A text from Alice to `bob@example.com`.
pub fn draft(content: &str) -> Draft {
    Draft { to: "bob@example.com".to_owned(), reply_to: None, body: body("text", content) }
}

/// Without attachments and metadata.
pub fn body(content_type: &str, content: &str) -> Body {
    Body {
        content: content.to_owned(),
        content_type: content_type.to_owned(),
        attachments: Vec::new(),
        metadata: Vec::new(),
    }
}

/// A stored text from Alice to Bob.
pub fn message(content: &str) -> Message {
    Message {
        id: "0198f000-0000-7000-8000-000000000001".to_owned(),
        sender: person("alice@example.com"),
        recipient: person("bob@example.com"),
        body: body("text", content),
        reply_to: None,
        seq: Some(1),
        created_at_ms: now_ms(),
    }
}

/// A customer without a name.
pub fn person(email: &str) -> Person {
    Person { email: email.to_owned(), kind: Kind::Customer, name: None }
}

/// A notification of a text from Alice to Bob.
pub fn notification(content: &str) -> Notification {
    Notification {
        message: message(content),
        title: None,
        body: None,
        data: None,
        priority: Priority::Normal,
    }
}

/// Bob, offline, with one unread message.
pub fn recipient(local: Option<LocalTime>) -> Recipient {
    Recipient { online: false, last_seen_ms: None, unread: 1, zoneinfo: None, local }
}

/// A time on Thursday, 2026-01-01, in UTC.
pub fn local_time(hour: u8, minute: u8) -> LocalTime {
    LocalTime { year: 2026, month: 1, day: 1, weekday: 4, hour, minute, offset_minutes: 0 }
}

/// Something that happened just now.
pub fn event(what: What) -> Event {
    Event { id: "0198f000-0000-7000-8000-000000000002".to_owned(), at_ms: now_ms(), what }
}
