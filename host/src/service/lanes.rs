//! Which of the messages that wait may be stored next, beside those that are being stored.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    hash::Hash,
};

use crate::domain::{OrgId, UserId};

/// Somebody to whom, or from whom, a message goes.
pub(super) type Person = (OrgId, UserId);

/// A message that waits.
pub(super) trait Waits {
    /// What one batch may hold only once.
    type Key: Eq + Hash;

    fn people(&self) -> [Person; 2];
    fn key(&self) -> Option<Self::Key>;
    /// The org of a message that is to be a batch of its own; `None`: it may share one.
    fn alone(&self) -> Option<OrgId>;
}

/// A batch on its way, by its number.
#[derive(Debug)]
struct Lane {
    people: Vec<Person>,
    alone: Option<OrgId>,
}

/// Batches are stored one after another while much waits, because a large one costs less for
/// each message; and side by side while little does, because then a commit is what takes the
/// time. Two batches on their way never have a person in common: what somebody sends, or is
/// sent, is stored in the order in which it came.
///
/// A message that is a batch of its own keeps nobody else from being stored beside it. Of one
/// org there is one such batch at a time: they would mostly wait for each other, and keep the
/// lanes from other orgs.
#[derive(Debug)]
pub(super) struct Lanes<W> {
    waiting: VecDeque<W>,
    running: BTreeMap<u64, Lane>,
    begun: u64,
    /// Messages in the batches of late, in eighths.
    usual: usize,
    /// The most messages in a batch.
    batch: usize,
}

impl<W: Waits> Lanes<W> {
    /// The most batches at a time.
    pub(super) const MOST: usize = 4;
    /// What counts as little: so many waiting, in a batch, or in a batch of late.
    const LITTLE: usize = 2;

    pub(super) fn new(batch: usize) -> Self {
        Self { waiting: VecDeque::new(), running: BTreeMap::new(), begun: 0, usual: 0, batch }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// How many more should be taken in.
    pub(super) fn room(&self) -> usize {
        self.batch.saturating_sub(self.waiting.len())
    }

    pub(super) fn wait(&mut self, message: W) {
        self.waiting.push_back(message);
    }

    /// How many batches have been begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// The next batch and its number, in the order in which its messages came; `None`: not now.
    pub(super) fn next(&mut self) -> Option<(u64, Vec<W>)> {
        let little = |messages: usize| messages <= Self::LITTLE;
        let may_join = self.running.len() < Self::MOST
            && ((little(self.waiting.len()) && little(self.usual / 8))
                || self.running.values().all(|lane| lane.alone.is_some()))
            && self.running.values().all(|lane| little(lane.people.len() / 2));
        if !self.running.is_empty() && !may_join {
            return None;
        }
        let batch = self.take();
        if batch.is_empty() {
            return None;
        }
        self.begun += 1;
        self.usual = self.usual - self.usual / 8 + batch.len();
        let people = batch.iter().flat_map(Waits::people).collect();
        let alone = batch.first().and_then(Waits::alone);
        self.running.insert(self.begun, Lane { people, alone });
        Some((self.begun, batch))
    }

    /// Whoever must wait makes what came after it, to or from the same people, wait too.
    fn take(&mut self) -> Vec<W> {
        let mut busy: HashSet<Person> =
            self.running.values().flat_map(|lane| lane.people.iter().copied()).collect();
        let lone: HashSet<OrgId> = self.running.values().filter_map(|lane| lane.alone).collect();
        let mut keys = HashSet::new();
        let mut batch: Vec<W> = Vec::new();
        let mut rest = VecDeque::new();
        for message in self.waiting.drain(..) {
            let people = message.people();
            let most = if batch.first().is_some_and(|first| first.alone().is_some()) {
                1
            } else {
                self.batch
            };
            let may_come = match message.alone() {
                Some(org) => batch.is_empty() && !lone.contains(&org),
                None => batch.len() < most,
            };
            let is_free = may_come
                && !people.iter().any(|person| busy.contains(person))
                && message.key().is_none_or(|key| keys.insert(key));
            if is_free {
                batch.push(message);
            } else {
                busy.extend(people);
                rest.push_back(message);
            }
        }
        self.waiting = rest;
        batch
    }

    /// Ends a batch. Answers up to which number all have ended.
    pub(super) fn end(&mut self, number: u64) -> u64 {
        self.running.remove(&number);
        self.running.first_key_value().map_or(self.begun, |(oldest, _)| oldest - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Note(&'static str, [Person; 2], Option<&'static str>);

    impl Waits for Note {
        type Key = &'static str;

        fn people(&self) -> [Person; 2] {
            self.1
        }

        fn key(&self) -> Option<&'static str> {
            self.2
        }

        fn alone(&self) -> Option<OrgId> {
            self.0.starts_with("lone").then_some(self.1[0].0)
        }
    }

    fn names(batch: &[Note]) -> Vec<&'static str> {
        batch.iter().map(|note| note.0).collect()
    }

    fn people<const N: usize>() -> [Person; N] {
        let org = OrgId::new();
        std::array::from_fn(|_| (org, UserId::new()))
    }

    #[test]
    fn people_in_common_wait_and_others_do_not() {
        let [a, b, c, d] = people();
        let mut lanes = Lanes::new(10);
        lanes.wait(Note("first", [a, b], None));
        let (one, batch) = lanes.next().unwrap();
        assert_eq!(names(&batch), ["first"]);

        lanes.wait(Note("answer", [b, a], None));
        lanes.wait(Note("aside", [c, d], None));

        let (two, batch) = lanes.next().unwrap();
        assert_eq!(names(&batch), ["aside"]);
        assert!(lanes.next().is_none());
        assert_eq!(lanes.end(two), 0);
        assert_eq!(lanes.end(one), 2);
        assert_eq!(names(&lanes.next().unwrap().1), ["answer"]);
    }

    #[test]
    fn nobody_overtakes_what_waits_for_somebody_else() {
        let [a, b, c, d] = people();
        let mut lanes = Lanes::new(10);
        lanes.wait(Note("on its way", [a, b], None));
        lanes.next().unwrap();

        lanes.wait(Note("waits for a", [c, a], None));
        lanes.wait(Note("waits for c", [c, d], None));

        assert!(lanes.next().is_none());
    }

    #[test]
    fn a_key_counts_once_a_batch() {
        let [a, b] = people();
        let mut lanes = Lanes::new(10);
        lanes.wait(Note("first", [a, b], Some("k")));
        lanes.wait(Note("repeat", [a, b], Some("k")));
        lanes.wait(Note("after it", [a, b], None));

        let (one, batch) = lanes.next().unwrap();
        assert_eq!(names(&batch), ["first"]);
        lanes.end(one);
        assert_eq!(names(&lanes.next().unwrap().1), ["repeat", "after it"]);
    }

    #[test]
    fn a_message_of_its_own_shares_no_batch_and_holds_up_nobody() {
        let mut lanes = Lanes::new(10);
        let [a, b, c, d] = people();
        lanes.wait(Note("lone one", [a, b], None));
        lanes.wait(Note("lone two", [c, d], None));
        lanes.wait(Note("aside", people(), None));
        lanes.wait(Note("after two", [d, c], None));
        for _ in 0..20 {
            lanes.wait(Note("one of many", people(), None));
        }

        let (one, batch) = lanes.next().unwrap();
        assert_eq!(names(&batch), ["lone one"]);
        let (_, batch) = lanes.next().unwrap();
        assert_eq!((batch.len(), names(&batch)[0]), (10, "aside"));
        assert!(!names(&batch).contains(&"after two"));
        lanes.end(one);
        lanes.end(2);
        assert_eq!(names(&lanes.next().unwrap().1), ["lone two"]);
    }

    #[test]
    fn little_waits_for_its_turn_while_there_was_much_of_late() {
        let mut lanes = Lanes::new(1000);
        let alone = |lanes: &mut Lanes<Note>| {
            lanes.wait(Note("one", people(), None));
            lanes.next().map(|(number, _)| number)
        };
        for _ in 0..100 {
            lanes.wait(Note("one of many", people(), None));
        }
        let (many, _) = lanes.next().unwrap();
        lanes.end(many);

        let first = alone(&mut lanes).unwrap();
        assert_eq!(alone(&mut lanes), None);
        lanes.end(first);
        for _ in 0..40 {
            let (next, _) = lanes.next().unwrap_or_else(|| (alone(&mut lanes).unwrap(), vec![]));
            lanes.end(next);
        }

        assert!(alone(&mut lanes).is_some());
        assert!(alone(&mut lanes).is_some());
    }

    #[test]
    fn much_waits_for_one_large_batch() {
        let mut lanes = Lanes::new(1000);
        let [a, b] = people();
        lanes.wait(Note("on its way", [a, b], None));
        let (one, _) = lanes.next().unwrap();

        for _ in 0..100 {
            let [c, d] = people();
            lanes.wait(Note("one of many", [c, d], None));
        }

        assert!(lanes.next().is_none());
        lanes.end(one);
        assert_eq!(lanes.next().unwrap().1.len(), 100);
    }
}
