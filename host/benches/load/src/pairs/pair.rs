use std::{
    cell::{Cell, RefCell},
    time::Instant,
};

use tokio::sync::Semaphore;

use crate::latency::{Errors, Latency};

/// What is known of one pair's messages, which are numbered from 0.
pub struct Pair {
    pub number: usize,
    /// When each was meant to be sent, and whether it has come.
    messages: RefCell<Vec<(Instant, bool)>>,
    newest: Cell<usize>,
    /// Room for messages under way.
    pub window: Semaphore,
}

/// What is seen over all pairs.
#[derive(Default)]
pub struct Watch {
    pub latency: RefCell<Latency>,
    pub errors: RefCell<Errors>,
    pub measured_from: Cell<Option<Instant>>,
    pub measured_to: Cell<Option<Instant>>,
    pub is_over: Cell<bool>,
    pub duplicates: Cell<u64>,
    /// Came after one that was sent later.
    pub out_of_order: Cell<u64>,
    /// Reached somebody else.
    pub foreign: Cell<u64>,
}

impl Watch {
    pub fn failed(&self, what: impl Into<String>) {
        if !self.is_over.get() {
            self.errors.borrow_mut().add(what);
        }
    }

    fn measures(&self, meant: Instant) -> bool {
        self.measured_from.get().is_some_and(|from| meant >= from)
            && self.measured_to.get().is_none_or(|to| meant < to)
    }
}

impl Pair {
    pub fn new(number: usize, window: usize) -> Self {
        Self {
            number,
            messages: RefCell::default(),
            newest: Cell::new(0),
            window: Semaphore::new(window),
        }
    }

    pub fn sender(&self) -> String {
        format!("s{}@load.test", self.number)
    }

    pub fn recipient(&self) -> String {
        format!("r{}@load.test", self.number)
    }

    /// The number of a message that is to be sent.
    pub fn next(&self, meant: Instant) -> usize {
        let mut messages = self.messages.borrow_mut();
        messages.push((meant, false));
        messages.len() - 1
    }

    /// What a message says: by whom it was sent, and which one it is.
    pub fn content(&self, message: usize) -> String {
        format!("{} {} {message}", std::process::id(), self.number)
    }

    /// Notes that the recipient got a message that says this.
    pub fn received(&self, content: &str, watch: &Watch) {
        let mut numbers = content.split(' ').map(str::parse);
        let (run, pair, message) = (numbers.next(), numbers.next(), numbers.next());
        let is_own = run == Some(Ok(std::process::id() as usize)) && pair == Some(Ok(self.number));
        let mut messages = self.messages.borrow_mut();
        let known = message.and_then(|message: Result<usize, _>| message.ok()).filter(|_| is_own);
        let Some((number, (meant, came))) =
            known.and_then(|number| Some((number, messages.get_mut(number)?)))
        else {
            watch.foreign.update(|count| count + 1);
            return;
        };
        if std::mem::replace(came, true) {
            watch.duplicates.update(|count| count + 1);
            return;
        }
        if number < self.newest.get() {
            watch.out_of_order.update(|count| count + 1);
        }
        self.newest.set(number.max(self.newest.get()));
        if watch.measures(*meant) {
            watch.latency.borrow_mut().add(meant.elapsed());
        }
        self.window.add_permits(1);
    }

    pub fn missing(&self) -> usize {
        self.messages.borrow().iter().filter(|(_, came)| !came).count()
    }
}
