//! What processes use, as Linux counts it: a rate says little on a machine that others use too,
//! processor time for each operation still does.

use std::{collections::HashMap, fs, time::Instant};

use serde_json::{Map, Value, json};

use crate::latency::rounded;

/// `/proc` counts in hundredths of a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where all that is counted stood at a moment.
pub struct Snapshot {
    at: Instant,
    processes: Vec<Process>,
    own_ticks: u64,
    machine: Machine,
}

/// Ticks of all processors.
#[derive(Default)]
struct Machine {
    /// User, nice, system and both kinds of interrupts.
    busy: u64,
    /// What the hypervisor gave to others while there was work here.
    stolen: u64,
}

/// A named process with its children.
struct Process {
    name: String,
    ticks: u64,
    resident_kib: u64,
}

impl Snapshot {
    /// `named`: the `NAME=PID` of each.
    pub fn take(named: &[String]) -> Self {
        let all = all();
        let processes = named.iter().filter_map(|named| {
            let (name, pid) = named.split_once('=')?;
            let (ticks, resident_kib) = with_children(pid.parse().ok()?, &all);
            Some(Process { name: name.to_owned(), ticks, resident_kib })
        });
        Self {
            at: Instant::now(),
            processes: processes.collect(),
            own_ticks: all.get(&std::process::id()).map_or(0, |own| own.ticks),
            machine: Machine::read(),
        }
    }

    /// Seconds between the two.
    pub fn secs_since(&self, before: &Self) -> f64 {
        (self.at - before.at).as_secs_f64()
    }

    pub fn resident_mib(&self) -> Value {
        let mib = |process: &Process| json!(rounded(process.resident_kib as f64 / 1024.0));
        self.processes.iter().map(|process| (process.name.clone(), mib(process))).collect()
    }

    /// What was used since, by whom and for each of so many operations. `others` is what none of
    /// the named processes used, and `stolen` what the machine did not get, in processors.
    pub fn used_since(&self, before: &Self, operations: u64) -> Value {
        let wall = self.secs_since(before);
        let mut known = 0;
        let mut used = Map::new();
        let mut add = |name: &str, ticks: u64| {
            known += ticks;
            let secs = ticks as f64 / TICKS_PER_SECOND;
            let micros = (operations > 0).then(|| rounded(secs * 1e6 / operations as f64));
            used.insert(
                name.to_owned(),
                json!({ "cores": rounded(secs / wall), "micros": micros }),
            );
        };
        for (now, then) in self.processes.iter().zip(&before.processes) {
            add(&now.name, now.ticks.saturating_sub(then.ticks));
        }
        add("load", self.own_ticks.saturating_sub(before.own_ticks));
        let cores = |ticks: u64| json!(rounded(ticks as f64 / TICKS_PER_SECOND / wall));
        let Machine { busy, stolen } = &self.machine;
        used.insert("others".to_owned(), cores((busy - before.machine.busy).saturating_sub(known)));
        used.insert("stolen".to_owned(), cores(stolen.saturating_sub(before.machine.stolen)));
        used.into()
    }
}

struct Stat {
    parent: u32,
    /// Its own.
    ticks: u64,
    /// Of the children that it has waited for.
    reaped_ticks: u64,
}

fn all() -> HashMap<u32, Stat> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, stat(pid)?))).collect()
}

fn stat(pid: u32) -> Option<Stat> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // What follows the name, which may hold anything: state, parent and so on.
    let fields: Vec<&str> = line.get(line.rfind(')')? + 2..)?.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
        reaped_ticks: number(13)? + number(14)?,
    })
}

/// Ticks, and KiB of resident memory.
fn with_children(pid: u32, all: &HashMap<u32, Stat>) -> (u64, u64) {
    let mut ticks = all.get(&pid).map_or(0, |stat| stat.reaped_ticks);
    let mut resident = 0;
    let mut waiting = vec![pid];
    while let Some(pid) = waiting.pop() {
        ticks += all.get(&pid).map_or(0, |stat| stat.ticks);
        resident += resident_kib(pid);
        waiting.extend(all.iter().filter(|(_, stat)| stat.parent == pid).map(|(pid, _)| pid));
    }
    (ticks, resident)
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

impl Machine {
    fn read() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let Some(line) = stat.lines().next() else { return Self::default() };
        let fields: Vec<u64> =
            line.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
        let sum = |indices: &[usize]| indices.iter().filter_map(|index| fields.get(*index)).sum();
        Self { busy: sum(&[0, 1, 2, 5, 6]), stolen: sum(&[7]) }
    }
}
