//! What one call may use, and what it may ask of the host.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};

use super::{
    Limits,
    bindings::{config, log, types},
    engine::{self, TICK},
    imports::Served,
    lines::GuestLog,
    printed::Taken,
    runtime::Runtime,
    tape::Tape,
};
use crate::domain::StagedWrites;

/// Where the lines of guests go, at debug: they may hold what people write to each other.
const GUEST_LOG: &str = "duologue::guest";

/// Live handles of a guest, its own and those of its runtime.
const MAX_HANDLES: usize = 1000;

#[derive(Debug, thiserror::Error)]
#[error("the guest wanted more memory than it may have")]
pub(super) struct OverMemory;

#[derive(Debug, thiserror::Error)]
#[error("the guest computed for too long")]
pub(super) struct OverTime;

#[derive(Debug, thiserror::Error)]
#[error("the guest asked the server for too much")]
pub(super) struct OverCalls;

/// Who is called, for the log and for the guest's own questions.
#[derive(Clone, Debug)]
pub(super) struct Callee {
    pub(super) org: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) config: BTreeMap<String, String>,
    /// Where the lines of its guests go.
    pub(super) log: Arc<GuestLog>,
}

/// What belongs to one call and ends with it.
pub(super) struct Guest {
    callee: Arc<Callee>,
    room: Room,
    ticks_left: u128,
    lines: Lines,
    pub(super) runtime: Runtime,
    host_calls_left: u32,
    /// `None`: this is a rehearsal, and the server has nothing to tell.
    served: Option<Served>,
}

/// A store for one call: bounded in memory and time, and giving its thread back at every tick, so
/// that the timeout around the call can end it.
pub(super) fn store(
    engine: &Engine,
    limits: &Limits,
    callee: Arc<Callee>,
    served: Option<Served>,
    now_ms: u64,
) -> Store<Guest> {
    let guest = Guest {
        callee,
        room: Room {
            memory_taken: 0,
            memory_bytes: limits.memory_bytes,
            table_elements: limits.table_elements,
        },
        ticks_left: ticks(limits.call_cpu),
        lines: Lines { left: limits.log_lines, bytes: limits.log_line_bytes, dropped: 0 },
        runtime: Runtime::new(now_ms, limits),
        host_calls_left: limits.host_calls,
        served,
    };
    let mut store = Store::new(engine, guest);
    store.limiter(|guest| &mut guest.room);
    store.set_hostcall_fuel(limits.handed_over_bytes);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| store.data_mut().tick());
    store
}

fn ticks(time: Duration) -> u128 {
    time.as_millis().div_ceil(TICK.as_millis())
}

impl Guest {
    /// What its linear memories have come to. They never shrink.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.room.memory_taken
    }

    /// Comes first in each import that takes more than a look at the call itself.
    pub(super) fn take_host_call(&mut self) -> wasmtime::Result<()> {
        self.host_calls_left = self.host_calls_left.checked_sub(1).ok_or(OverCalls)?;
        Ok(())
    }

    /// `None`: this is a rehearsal.
    pub(super) fn served(&mut self) -> Option<&mut Served> {
        self.served.as_mut()
    }

    /// For what leaves a trace; `None` also where the hook may leave none.
    pub(super) fn acting(&mut self) -> Option<&mut Served> {
        self.served().filter(|served| served.may_act())
    }

    /// What it wants stored with the message, and what it was told, at the end of the call.
    pub(super) fn take_served(&mut self) -> (Option<StagedWrites>, Option<Tape>) {
        self.served.take().map_or((None, None), |served| (served.staged, served.tape))
    }

    /// Where it could not decide, the log says why.
    pub(super) fn note_declined<T>(&mut self, answer: &Result<T, types::Failure>) {
        if let Err(types::Failure::Declined(reason)) = answer {
            log::Host::write(self, log::Level::Warn, reason.clone());
        }
    }

    /// Called at the first check after a tick, so only while the guest computes.
    fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.ticks_left = self.ticks_left.checked_sub(1).ok_or(OverTime)?;
        Ok(UpdateDeadline::Yield(1))
    }

    fn log_printed(&mut self, printed: Taken) {
        for (level, line) in printed.lines {
            self.log_line(level, &line);
        }
        self.lines.dropped += printed.beyond;
    }

    fn log_line(&mut self, level: log::Level, text: &str) {
        if self.lines.left == 0 {
            self.lines.dropped += 1;
            return;
        }
        self.lines.left -= 1;
        let line = &text[..text.floor_char_boundary(self.lines.bytes)];
        self.callee.log.write(level, &self.callee.version, line);
        tracing::debug!(
            target: GUEST_LOG,
            {
                org.id = %self.callee.org,
                plugin.name = %self.callee.name,
                plugin.version = %self.callee.version,
                guest.level = ?level,
                // Quoted, so that a guest cannot write what looks like a line of ours.
                line = ?line
            },
            "guest"
        );
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.log_printed(self.runtime.take_all_printed());
        if self.lines.dropped > 0 {
            self.callee.log.drop_lines(self.lines.dropped);
            tracing::debug!(
                target: GUEST_LOG,
                {
                    org.id = %self.callee.org,
                    plugin.name = %self.callee.name,
                    plugin.version = %self.callee.version,
                    dropped = self.lines.dropped
                },
                "guest logged beyond its limit"
            );
        }
    }
}

/// What is left of the memory of a call, over all memories and tables of its instance.
struct Room {
    memory_taken: u64,
    memory_bytes: usize,
    table_elements: usize,
}

impl Room {
    /// Takes the growth from what is left. A guest that is refused ends at once: most would only
    /// go on to trap, and some would ask for ever.
    fn take(left: &mut usize, current: usize, desired: usize) -> wasmtime::Result<bool> {
        *left = left.checked_sub(desired.saturating_sub(current)).ok_or(OverMemory)?;
        Ok(true)
    }
}

impl ResourceLimiter for Room {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grown = Self::take(&mut self.memory_bytes, current, desired)?;
        self.memory_taken += desired.saturating_sub(current) as u64;
        Ok(grown)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Self::take(&mut self.table_elements, current, desired)
    }

    // The pool counts these too, but there is not always a pool.

    fn instances(&self) -> usize {
        engine::MAX_CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        engine::MAX_MEMORIES as usize
    }

    fn tables(&self) -> usize {
        engine::MAX_TABLES as usize
    }
}

/// What is left of the log of a call.
struct Lines {
    left: usize,
    bytes: usize,
    dropped: u64,
}

impl types::Host for Guest {}

impl config::Host for Guest {
    fn get(&mut self, key: String) -> Option<String> {
        self.callee.config.get(&key).cloned()
    }
}

impl log::Host for Guest {
    fn write(&mut self, level: log::Level, text: String) {
        // First what was printed before.
        self.log_printed(self.runtime.take_printed());
        self.log_line(level, &text);
    }
}
