//! Spares a plugin that fails again and again, and the messages that would wait for it.
//!
//! It counts senders, not faults alone: one sender who knows how to make a plugin trap must not be
//! able to switch it off for everybody.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use super::limits::BreakerLimits;
use crate::domain::UserId;

/// Parts of the window: what is older goes part by part.
const PARTS: u32 = 30;

#[derive(Debug)]
pub(super) struct Breaker {
    limits: BreakerLimits,
    state: Mutex<State>,
    /// It has opened for faults of enough senders, and nobody has taken note yet.
    opened: AtomicBool,
}

#[derive(Debug)]
struct State {
    circuit: Circuit,
    /// The senders of the newest faults, each once, oldest first.
    failed: VecDeque<(UserId, Instant)>,
    parts: VecDeque<Part>,
    pause: Duration,
    /// Whose message was the last probe.
    probed: Option<UserId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circuit {
    Closed,
    Open { until: Instant },
    Probing,
}

#[derive(Debug)]
struct Part {
    began: Instant,
    calls: u64,
    faults: u64,
}

/// Whether the plugin is asked, as its admins see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum BreakerState {
    Closed,
    /// It is not asked: its `onFault` decides.
    #[serde(rename_all = "camelCase")]
    Open {
        /// When one message tries it again.
        retry_in_ms: u64,
    },
    /// One message is trying it.
    HalfOpen,
}

/// Leave to make one call. Dropped unsettled, as when a client goes away, it counts for nothing.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    sender: UserId,
    is_probe: bool,
    is_settled: bool,
}

impl Breaker {
    pub(super) fn new(limits: BreakerLimits) -> Self {
        let state = State {
            circuit: Circuit::Closed,
            failed: VecDeque::new(),
            parts: VecDeque::new(),
            pause: limits.pause,
            probed: None,
        };
        Self { limits, state: Mutex::new(state), opened: AtomicBool::new(false) }
    }

    /// `None`: the plugin is not to be asked.
    pub(super) fn admit(&self, sender: UserId, now: Instant) -> Option<Pass<'_>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_probe = match state.circuit {
            Circuit::Closed => false,
            Circuit::Open { until } => {
                // The next probe is somebody else's, or one sender could keep it open.
                let pause = if state.probed == Some(sender) { state.pause } else { Duration::ZERO };
                if now < until + pause {
                    return None;
                }
                state.circuit = Circuit::Probing;
                state.probed = Some(sender);
                true
            }
            Circuit::Probing => return None,
        };
        Some(Pass { breaker: self, sender, is_probe, is_settled: false })
    }

    pub(super) fn read(&self, now: Instant) -> BreakerState {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.circuit {
            Circuit::Closed => BreakerState::Closed,
            Circuit::Open { until } => {
                let left = until.saturating_duration_since(now).as_millis();
                BreakerState::Open { retry_in_ms: u64::try_from(left).unwrap_or(u64::MAX) }
            }
            Circuit::Probing => BreakerState::HalfOpen,
        }
    }

    /// Whether it has opened since this was last asked, for the faults of so many senders that
    /// another version may take over.
    pub(super) fn take_opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed) && self.opened.swap(false, Ordering::Relaxed)
    }

    fn settle(&self, pass: &Pass<'_>, failed: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (pass.is_probe, failed) {
            (true, false) => {
                state.circuit = Circuit::Closed;
                state.failed.clear();
                state.parts.clear();
                state.pause = self.limits.pause;
                state.probed = None;
            }
            (true, true) => {
                state.pause = (state.pause * 2).min(self.limits.max_pause);
                state.circuit = Circuit::Open { until: now + state.pause };
            }
            (false, _) if state.circuit == Circuit::Closed => {
                self.count(&mut state, pass, failed, now);
            }
            // It opened while this call was under way.
            (false, _) => {}
        }
    }

    fn count(&self, state: &mut State, pass: &Pass<'_>, failed: bool, now: Instant) {
        state.add(failed, now, self.limits.window);
        if !failed {
            return;
        }
        state.failed.retain(|(sender, _)| *sender != pass.sender);
        state.failed.push_back((pass.sender, now));
        let most = self.limits.senders.max(self.limits.rollback_senders);
        while state.failed.len() > most {
            state.failed.pop_front();
        }
        let recent = |at: &Instant| now.duration_since(*at) <= self.limits.window;
        let senders = state.failed.iter().filter(|(_, at)| recent(at)).count();
        let (calls, faults) =
            state.parts.iter().fold((0, 0), |sum, part| (sum.0 + part.calls, sum.1 + part.faults));
        if senders >= self.limits.senders && faults * 100 >= calls * self.limits.percent {
            state.circuit = Circuit::Open { until: now + state.pause };
            self.opened.store(senders >= self.limits.rollback_senders, Ordering::Relaxed);
        }
    }

    /// A probe that came to nothing: the next message may try.
    fn release(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.circuit = Circuit::Open { until: Instant::now() };
        state.probed = None;
    }
}

impl State {
    fn add(&mut self, failed: bool, now: Instant, window: Duration) {
        while self.parts.front().is_some_and(|part| now.duration_since(part.began) > window) {
            self.parts.pop_front();
        }
        let is_current = |part: &&mut Part| now.duration_since(part.began) < window / PARTS;
        match self.parts.back_mut().filter(is_current) {
            Some(part) => {
                part.calls += 1;
                part.faults += u64::from(failed);
            }
            None => {
                self.parts.push_back(Part { began: now, calls: 1, faults: u64::from(failed) });
            }
        }
    }
}

impl Pass<'_> {
    /// How the call went. What was no doing of the plugin's is not settled.
    pub(super) fn settle(mut self, failed: bool, now: Instant) {
        self.is_settled = true;
        self.breaker.settle(&self, failed, now);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe && !self.is_settled {
            self.breaker.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(BreakerLimits::default())
    }

    fn people<const N: usize>() -> [UserId; N] {
        std::array::from_fn(|_| UserId::new())
    }

    fn call(breaker: &Breaker, sender: UserId, failed: bool, now: Instant) {
        breaker.admit(sender, now).unwrap().settle(failed, now);
    }

    fn opened(start: Instant) -> Breaker {
        let breaker = breaker();
        for sender in people::<5>() {
            call(&breaker, sender, true, start);
        }
        breaker
    }

    #[test]
    fn one_sender_alone_never_opens_it() {
        let (breaker, now) = (breaker(), Instant::now());
        let [sender] = people();
        for _ in 0..1000 {
            call(&breaker, sender, true, now);
        }

        assert_eq!(breaker.read(now), BreakerState::Closed);
    }

    #[test]
    fn five_senders_open_it_and_nobody_is_asked_until_the_pause_is_over() {
        let start = Instant::now();
        let breaker = opened(start);
        let [sender] = people();

        assert_eq!(breaker.read(start), BreakerState::Open { retry_in_ms: 10_000 });
        assert!(breaker.take_opened());
        assert!(!breaker.take_opened());
        assert!(breaker.admit(sender, start + Duration::from_secs(9)).is_none());
        assert!(breaker.admit(sender, start + Duration::from_secs(10)).is_some());
    }

    #[test]
    fn faults_that_are_few_among_many_calls_do_not_open_it() {
        let (breaker, now) = (breaker(), Instant::now());
        let [content] = people();
        for sender in people::<5>() {
            call(&breaker, content, false, now);
            call(&breaker, content, false, now);
            call(&breaker, sender, true, now);
        }

        assert_eq!(breaker.read(now), BreakerState::Closed);
    }

    #[test]
    fn faults_that_lie_far_apart_do_not_open_it() {
        let (breaker, start) = (breaker(), Instant::now());
        for (n, sender) in (0..).zip(people::<20>()) {
            call(&breaker, sender, true, start + Duration::from_secs(8 * n));
        }

        assert_eq!(breaker.read(start), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_succeeds_closes_it() {
        let start = Instant::now();
        let breaker = opened(start);
        let later = start + Duration::from_secs(10);
        let [one, other] = people();

        let probe = breaker.admit(one, later).unwrap();
        assert_eq!(breaker.read(later), BreakerState::HalfOpen);
        assert!(breaker.admit(other, later).is_none());
        probe.settle(false, later);

        assert_eq!(breaker.read(later), BreakerState::Closed);
    }

    #[test]
    fn each_probe_that_fails_doubles_the_pause_up_to_the_most() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for seconds in [20, 40, 80, 160, 300, 300] {
            now += Duration::from_mins(10);
            let [sender] = people();
            call(&breaker, sender, true, now);

            assert_eq!(breaker.read(now), BreakerState::Open { retry_in_ms: seconds * 1000 });
        }
    }

    #[test]
    fn a_sender_whose_probe_failed_lets_others_go_first() {
        let start = Instant::now();
        let breaker = opened(start);
        let [attacker, other] = people();
        call(&breaker, attacker, true, start + Duration::from_secs(10));
        let over = start + Duration::from_secs(30);

        assert!(breaker.admit(attacker, over).is_none());
        assert!(breaker.admit(other, over).is_some());
        assert!(breaker.admit(attacker, over + Duration::from_secs(20)).is_some());
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_the_place_to_the_next() {
        let start = Instant::now();
        let breaker = opened(start);
        let [sender] = people();

        drop(breaker.admit(sender, start + Duration::from_secs(10)).unwrap());

        assert!(breaker.admit(sender, start + Duration::from_secs(11)).is_some());
    }
}
