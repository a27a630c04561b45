//! What a plugin has done at one hook since this server put it in place.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

/// Four to each power of two, up to an hour in microseconds.
const BUCKETS: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Tally>);

#[derive(Debug)]
struct Tally {
    calls: u64,
    verdicts: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    dropped: BTreeMap<&'static str, u64>,
    micros: [u64; BUCKETS],
    longest: Duration,
    most_memory_bytes: u64,
    unasked: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            calls: 0,
            verdicts: BTreeMap::new(),
            faults: BTreeMap::new(),
            dropped: BTreeMap::new(),
            micros: [0; BUCKETS],
            longest: Duration::ZERO,
            most_memory_bytes: 0,
            unasked: 0,
        }
    }
}

/// The counts, as the plugin's admins see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    pub calls: u64,
    pub verdicts: BTreeMap<&'static str, u64>,
    pub faults: BTreeMap<&'static str, u64>,
    /// Contents that its schema refused, so that it was not asked; no calls.
    #[serde(skip_serializing_if = "is_none")]
    pub refused_by_schema: u64,
    /// Events that it was not told, by the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<&'static str, u64>,
    /// At most a fifth too high; waiting included.
    pub p50_micros: u64,
    pub p99_micros: u64,
    /// The most that any call took, of what a call may.
    pub peak_time_percent: u64,
    pub peak_memory_percent: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Meter {
    /// One more call: its verdict, or its fault.
    pub(super) fn count(
        &self,
        outcome: Result<&'static str, &'static str>,
        took: Duration,
        memory_bytes: u64,
    ) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.calls += 1;
        match outcome {
            Ok(verdict) => *tally.verdicts.entry(verdict).or_default() += 1,
            Err(fault) => *tally.faults.entry(fault).or_default() += 1,
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tally.micros[bucket(micros)] += 1;
        tally.longest = tally.longest.max(took);
        tally.most_memory_bytes = tally.most_memory_bytes.max(memory_bytes);
    }

    /// One more content that needed no call.
    pub(super) fn count_unasked(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unasked += 1;
    }

    /// One more event without a call.
    pub(super) fn count_dropped(&self, why: &'static str) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *tally.dropped.entry(why).or_default() += 1;
    }

    /// `patience` and `memory_bytes` are what a call may take.
    pub(super) fn read(&self, patience: Duration, memory_bytes: usize) -> Counters {
        let tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = u64::try_from(patience.as_micros()).unwrap_or(u64::MAX);
        let longest = u64::try_from(tally.longest.as_micros()).unwrap_or(u64::MAX);
        Counters {
            calls: tally.calls,
            verdicts: tally.verdicts.clone(),
            faults: tally.faults.clone(),
            refused_by_schema: tally.unasked,
            dropped: tally.dropped.clone(),
            p50_micros: tally.percentile(50),
            p99_micros: tally.percentile(99),
            peak_time_percent: percent(longest, most),
            peak_memory_percent: percent(tally.most_memory_bytes, memory_bytes as u64),
        }
    }
}

impl Tally {
    /// The end of the bucket in which the call lies that so many per cent are not longer than.
    fn percentile(&self, percent: u64) -> u64 {
        let wanted = (self.calls * percent).div_ceil(100);
        let mut seen = 0;
        let reached = self.micros.iter().position(|count| {
            seen += count;
            seen >= wanted && wanted > 0
        });
        reached.map_or(0, end_of)
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

/// 0 to 3 have one each; above, each power of two has four.
fn bucket(micros: u64) -> usize {
    let Some(power) = micros.checked_ilog2().filter(|power| *power >= 2) else {
        return usize::try_from(micros).unwrap_or(0);
    };
    let quarter = (micros >> (power - 2)) & 3;
    let index = u64::from(power - 1) * 4 + quarter;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The highest value of a bucket.
fn end_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    match bucket.checked_sub(4) {
        None => bucket,
        Some(above) => ((bucket % 4 + 5) << (above / 4)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_on_each_other_without_a_gap() {
        for index in 0..100 {
            assert_eq!(bucket(end_of(index)), index);
            assert_eq!(bucket(end_of(index) + 1), index + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_and_peaks_are_of_all_calls() {
        let meter = Meter::default();
        for _ in 0..98 {
            meter.count(Ok("pass"), Duration::from_micros(100), 64 << 10);
        }
        for _ in 0..2 {
            meter.count(Err("timed_out"), Duration::from_millis(50), 32 << 20);
        }

        let counters = meter.read(Duration::from_millis(100), 64 << 20);

        assert_eq!((counters.calls, counters.verdicts["pass"]), (100, 98));
        assert_eq!(counters.faults["timed_out"], 2);
        assert!((100..=120).contains(&counters.p50_micros), "{counters:?}");
        assert!((50_000..=60_000).contains(&counters.p99_micros), "{counters:?}");
        assert_eq!((counters.peak_time_percent, counters.peak_memory_percent), (50, 50));
    }

    #[test]
    fn what_needed_no_call_is_none() {
        let meter = Meter::default();
        meter.count(Ok("valid"), Duration::from_millis(8), 0);
        for _ in 0..99 {
            meter.count_unasked();
        }

        let counters = meter.read(Duration::from_secs(1), 1);

        assert_eq!((counters.calls, counters.refused_by_schema), (1, 99));
        assert!(counters.p50_micros >= 8000, "{counters:?}");
    }

    #[test]
    fn nothing_is_zero() {
        assert_eq!(Meter::default().read(Duration::from_secs(1), 1).p99_micros, 0);
    }
}
