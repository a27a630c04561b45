//! The newest lines that a plugin's guests wrote, for its org's admins. In memory of this server.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;
use time::OffsetDateTime;

use super::bindings::log::Level;

#[derive(Debug)]
pub(super) struct GuestLog {
    most_lines: usize,
    most_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<GuestLine>,
    bytes: usize,
    written: u64,
    dropped: u64,
}

/// A line that a guest wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestLine {
    /// Counts the lines of this plugin, from 1.
    pub number: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub level: &'static str,
    /// The version that wrote it.
    pub version: String,
    pub text: String,
}

/// A part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogPage {
    pub lines: Vec<GuestLine>,
    /// Where the next page goes on.
    pub cursor: u64,
    /// Lines that were not kept because a call wrote too many.
    pub dropped: u64,
}

impl GuestLog {
    pub(super) fn new(most_lines: usize, most_bytes: usize) -> Self {
        Self { most_lines, most_bytes, kept: Mutex::default() }
    }

    pub(super) fn write(&self, level: Level, version: &str, text: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.written += 1;
        let line = GuestLine {
            number: kept.written,
            at: OffsetDateTime::now_utc(),
            level: word(level),
            version: version.to_owned(),
            text: text.to_owned(),
        };
        kept.push(line, self);
    }

    /// Takes over lines that were written elsewhere.
    pub(super) fn append(&self, lines: &[GuestLine]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines {
            kept.written += 1;
            let line = GuestLine { number: kept.written, ..line.clone() };
            kept.push(line, self);
        }
    }

    pub(super) fn drop_lines(&self, count: u64) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).dropped += count;
    }

    /// The lines after a number, oldest first.
    pub(super) fn page(&self, after: u64, most: usize) -> LogPage {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let later = kept.lines.iter().filter(|line| line.number > after);
        let lines: Vec<GuestLine> = later.take(most).cloned().collect();
        let cursor = lines.last().map_or(after, |line| line.number);
        LogPage { lines, cursor, dropped: kept.dropped }
    }
}

impl Kept {
    fn push(&mut self, line: GuestLine, log: &GuestLog) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > log.most_lines || self.bytes > log.most_bytes {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len();
        }
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(page: &LogPage) -> Vec<u64> {
        page.lines.iter().map(|line| line.number).collect()
    }

    #[test]
    fn the_oldest_lines_make_room_by_number_and_by_size() {
        let log = GuestLog::new(3, 10);
        for text in ["a", "b", "c", "d"] {
            log.write(Level::Info, "v", text);
        }
        assert_eq!(numbers(&log.page(0, 10)), [2, 3, 4]);

        log.write(Level::Info, "v", "123456789");
        assert_eq!(numbers(&log.page(0, 10)), [4, 5]);

        log.write(Level::Info, "v", "longer than all of it");
        assert_eq!(numbers(&log.page(0, 10)), [0; 0]);
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended() {
        let log = GuestLog::new(10, 1000);
        for text in ["a", "b", "c"] {
            log.write(Level::Warn, "v", text);
        }
        log.drop_lines(7);

        let first = log.page(0, 2);
        let second = log.page(first.cursor, 2);

        assert_eq!((numbers(&first), first.dropped), (vec![1, 2], 7));
        assert_eq!((numbers(&second), second.cursor), (vec![3], 3));
        assert_eq!(log.page(second.cursor, 2).cursor, 3);
    }
}
