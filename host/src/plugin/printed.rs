//! What a guest prints, on its way to the log of its plugin.

use std::{
    io, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    async_trait,
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamResult},
};

use super::{Limits, bindings::log::Level};

/// What a guest may write at a time. It is taken at once, so there is never less room.
const WRITE_BYTES: usize = 64 << 10;

/// A clone is the same: both streams fill it, the host empties it.
#[derive(Clone)]
pub(super) struct Printed(Arc<Mutex<Sheet>>);

/// Whole lines that the host has not taken yet, and of each stream the line that is not whole.
struct Sheet {
    whole: Vec<(Level, String)>,
    beyond: u64,
    out: Vec<u8>,
    err: Vec<u8>,
    most_lines: usize,
    most_bytes: usize,
}

/// What was printed since the host last asked: at most as many lines as a call may log, and how
/// many there were beyond.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) lines: Vec<(Level, String)>,
    pub(super) beyond: u64,
}

impl Printed {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Mutex::new(Sheet {
            whole: Vec::new(),
            beyond: 0,
            out: Vec::new(),
            err: Vec::new(),
            most_lines: limits.log_lines,
            most_bytes: limits.log_line_bytes,
        })))
    }

    pub(super) fn stdout(&self) -> impl StdoutStream + use<> {
        Stream { level: Level::Info, printed: self.clone() }
    }

    pub(super) fn stderr(&self) -> impl StdoutStream + use<> {
        Stream { level: Level::Warn, printed: self.clone() }
    }

    /// The whole lines.
    pub(super) fn take(&self) -> Taken {
        let mut sheet = self.sheet();
        Taken { lines: mem::take(&mut sheet.whole), beyond: mem::take(&mut sheet.beyond) }
    }

    /// Everything, at the end of a call.
    pub(super) fn take_all(&self) -> Taken {
        let mut sheet = self.sheet();
        for level in [Level::Info, Level::Warn] {
            if !sheet.begun(level).is_empty() {
                sheet.end(level);
            }
        }
        drop(sheet);
        self.take()
    }

    fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sheet {
    fn begun(&mut self, level: Level) -> &mut Vec<u8> {
        if level == Level::Info { &mut self.out } else { &mut self.err }
    }

    fn print(&mut self, level: Level, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            // Where the log cuts a line, what follows need not be kept.
            let room = self.most_bytes.saturating_sub(self.begun(level).len()).min(text.len());
            self.begun(level).extend_from_slice(&text[..room]);
            if ends {
                self.end(level);
            }
        }
    }

    fn end(&mut self, level: Level) {
        if self.whole.len() == self.most_lines {
            self.beyond += 1;
            self.begun(level).clear();
            return;
        }
        let line = mem::take(self.begun(level));
        self.whole.push((level, String::from_utf8_lossy(&line).into_owned()));
    }
}

/// Standard output or standard error, told apart by the level at which their lines are logged.
#[derive(Clone)]
struct Stream {
    level: Level,
    printed: Printed,
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // The crate's own would write from a task of its own.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.printed.sheet().print(self.level, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.printed.sheet().print(self.level, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed() -> Printed {
        Printed::new(&Limits { log_lines: 3, log_line_bytes: 4, ..Limits::default() })
    }

    fn texts(taken: &Taken) -> Vec<&str> {
        taken.lines.iter().map(|(_, line)| line.as_str()).collect()
    }

    #[test]
    fn lines_are_whole_however_they_were_written() {
        let printed = printed();

        printed.sheet().print(Level::Info, b"a");
        printed.sheet().print(Level::Warn, b"x\n");
        printed.sheet().print(Level::Info, b"b\n\nc");

        assert_eq!(texts(&printed.take()), ["x", "ab", ""]);
        assert_eq!(texts(&printed.take()), [""; 0]);
        assert_eq!(texts(&printed.take_all()), ["c"]);
    }

    #[test]
    fn neither_long_lines_nor_many_are_kept() {
        let printed = printed();

        printed.sheet().print(Level::Info, &vec![b'x'; 100_000]);
        printed.sheet().print(Level::Info, b"xxxx\n1\n2\n3\n4\n");
        let kept = printed.sheet().out.capacity();
        let taken = printed.take_all();

        assert_eq!(texts(&taken), ["xxxx", "1", "2"]);
        assert_eq!(taken.beyond, 2);
        assert!(kept <= 64, "{kept}");
    }

    #[test]
    fn what_is_not_utf_8_is_a_line_too() {
        let printed = printed();

        printed.sheet().print(Level::Warn, b"a\xff\n");

        assert_eq!(texts(&printed.take()), ["a\u{fffd}"]);
    }
}
