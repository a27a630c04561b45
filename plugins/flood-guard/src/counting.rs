//! Counting messages and copies.

use crate::config::{Config, Limits};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 3_600_000;

/// A message as far as it is counted. People and texts are hashes.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    pub sender: u64,
    pub recipient: u64,
    /// None: it is no copy of anything.
    pub text: Option<u64>,
    pub is_stranger: bool,
    pub is_edit: bool,
    /// False where the server asks once more about what was counted already.
    pub is_first_time: bool,
    pub now_ms: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    Pass,
    /// Too fast for anybody, or for a stranger; the time until that ends.
    TooFast {
        as_stranger: bool,
        retry_after_ms: u32,
    },
    /// One text to more people than may have it.
    Copied,
}

/// Counts and judges. `count` adds to the number under a key that goes after some seconds, and
/// answers the sum.
pub fn judge<E>(
    config: &Config,
    message: &Message,
    mut count: impl FnMut(&str, i64, u32) -> Result<i64, E>,
) -> Result<Judgement, E> {
    let limits = [(false, "all", config.everybody), (true, "new", config.strangers_limits)];
    for (as_stranger, name, limits) in limits {
        if message.is_edit || (as_stranger && !message.is_stranger) {
            continue;
        }
        if let Some(retry_after_ms) = too_fast(name, limits, message, &mut count)? {
            return Ok(Judgement::TooFast { as_stranger, retry_after_ms });
        }
    }
    if is_copied(config, message, &mut count)? {
        return Ok(Judgement::Copied);
    }
    Ok(Judgement::Pass)
}

/// How long a limit stays exceeded, if one is.
fn too_fast<E>(
    name: &str,
    limits: Limits,
    message: &Message,
    mut count: impl FnMut(&str, i64, u32) -> Result<i64, E>,
) -> Result<Option<u32>, E> {
    let mut wait = None;
    for (unit, length_ms, limit) in
        [("m", MINUTE_MS, limits.per_minute), ("h", HOUR_MS, limits.per_hour)]
    {
        if limit == 0 {
            continue;
        }
        let window = Window::at(message.now_ms, length_ms);
        let key = format!("{name}:{unit}:{:x}:{}", message.sender, window.number);
        let sum = count(&key, i64::from(message.is_first_time), window.seconds)?;
        if sum > i64::from(limit) {
            wait = wait.max(Some(window.left_ms));
        }
    }
    Ok(wait)
}

fn is_copied<E>(
    config: &Config,
    message: &Message,
    mut count: impl FnMut(&str, i64, u32) -> Result<i64, E>,
) -> Result<bool, E> {
    let copies = config.copies;
    let Some(text) = message.text.filter(|_| copies.people > 0) else { return Ok(false) };
    let window = Window::at(message.now_ms, u64::from(copies.minutes) * MINUTE_MS);
    let key = format!("copy:{:x}:{text:x}:{}", message.sender, window.number);
    let to_this_one = format!("{key}:{:x}", message.recipient);
    let delta = i64::from(message.is_first_time);
    let is_new = count(&to_this_one, delta, window.seconds)? == 1 && message.is_first_time;
    Ok(count(&key, i64::from(is_new), window.seconds)? > i64::from(copies.people))
}

/// A minute, an hour or the like of the clock.
struct Window {
    number: u64,
    seconds: u32,
    left_ms: u32,
}

impl Window {
    fn at(now_ms: u64, length_ms: u64) -> Self {
        let small = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
        Self {
            number: now_ms / length_ms,
            seconds: small(length_ms / 1000),
            left_ms: small(length_ms - now_ms % length_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, convert::Infallible};

    use super::*;

    /// Counters as a server has them, but for their end.
    #[derive(Default)]
    struct Guard {
        entries: Vec<(&'static str, &'static str)>,
        counters: HashMap<String, i64>,
    }

    impl Guard {
        fn with<const N: usize>(entries: [(&'static str, &'static str); N]) -> Self {
            Self { entries: entries.into(), ..Self::default() }
        }

        fn judge(&mut self, message: &Message) -> Judgement {
            let get = |key: &str| {
                let entry = self.entries.iter().find(|(name, _)| *name == key);
                entry.map(|(_, value)| (*value).to_owned())
            };
            let config = Config::read(get).unwrap();
            let count = |key: &str, delta: i64, _: u32| {
                let sum = self.counters.entry(key.to_owned()).or_default();
                *sum += delta;
                Ok::<_, Infallible>(*sum)
            };
            judge(&config, message, count).unwrap()
        }
    }

    /// At 15 s of a minute and of an hour.
    fn message() -> Message {
        Message {
            sender: 1,
            recipient: 2,
            text: None,
            is_stranger: false,
            is_edit: false,
            is_first_time: true,
            now_ms: HOUR_MS * 1000 + 15_000,
        }
    }

    #[test]
    fn a_sender_has_so_many_messages_a_minute() {
        let mut guard = Guard::with([("per-minute", "2")]);
        assert_eq!(guard.judge(&message()), Judgement::Pass);
        assert_eq!(guard.judge(&message()), Judgement::Pass);

        let refused = Judgement::TooFast { as_stranger: false, retry_after_ms: 45_000 };
        assert_eq!(guard.judge(&message()), refused);
        let another = Message { sender: 3, ..message() };
        assert_eq!(guard.judge(&another), Judgement::Pass);
        let later = Message { now_ms: message().now_ms + 45_000, ..message() };
        assert_eq!(guard.judge(&later), Judgement::Pass);
    }

    #[test]
    fn an_hours_limit_is_waited_for_longer() {
        let mut guard = Guard::with([("per-minute", "1"), ("per-hour", "1")]);
        guard.judge(&message());

        let wait = u32::try_from(HOUR_MS).unwrap() - 15_000;
        let refused = Judgement::TooFast { as_stranger: false, retry_after_ms: wait };
        assert_eq!(guard.judge(&message()), refused);
    }

    #[test]
    fn a_stranger_has_fewer_and_friends_use_up_none_of_them() {
        let mut guard = Guard::with([("strangers-per-minute", "1")]);
        let as_stranger = Message { is_stranger: true, ..message() };

        for _ in 0..5 {
            assert_eq!(guard.judge(&message()), Judgement::Pass);
        }
        assert_eq!(guard.judge(&as_stranger), Judgement::Pass);
        let refused = Judgement::TooFast { as_stranger: true, retry_after_ms: 45_000 };
        assert_eq!(guard.judge(&as_stranger), refused);
        assert_eq!(guard.judge(&message()), Judgement::Pass);
    }

    #[test]
    fn nothing_is_counted_twice_or_as_an_edit() {
        let mut guard = Guard::with([("per-minute", "1"), ("copies", "1")]);
        let first = Message { text: Some(7), ..message() };
        guard.judge(&first);

        let again = Message { is_first_time: false, ..first };
        assert_eq!(guard.judge(&again), Judgement::Pass);
        let edit = Message { is_edit: true, ..first };
        assert_eq!(guard.judge(&edit), Judgement::Pass);
    }

    #[test]
    fn one_text_may_go_to_so_many_people() {
        let mut guard = Guard::with([("copies", "2")]);
        let mut to = |recipient: u64, text: u64, is_edit: bool| {
            guard.judge(&Message { recipient, text: Some(text), is_edit, ..message() })
        };

        for recipient in [1, 2, 1, 2] {
            assert_eq!(to(recipient, 7, false), Judgement::Pass);
        }
        assert_eq!(to(3, 7, false), Judgement::Copied);
        assert_eq!(to(4, 7, true), Judgement::Copied, "by an edit, too");
        assert_eq!(to(3, 8, false), Judgement::Pass);
    }

    #[test]
    fn a_limit_of_0_is_none_and_counts_nothing() {
        let mut guard = Guard::with([("per-minute", "0"), ("per-hour", "0"), ("copies", "0")]);

        assert_eq!(guard.judge(&Message { text: Some(7), ..message() }), Judgement::Pass);
        assert!(guard.counters.is_empty());
    }
}
