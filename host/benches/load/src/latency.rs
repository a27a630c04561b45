//! How long things took, and what went wrong.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, 120_000_000, 3).expect("good bounds"))
    }
}

impl Latency {
    pub fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros.max(1));
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// In milliseconds; null where nothing was measured.
    pub fn json(&self) -> Value {
        if self.0.is_empty() {
            return Value::Null;
        }
        let at = |quantile| rounded(self.0.value_at_quantile(quantile) as f64 / 1000.0);
        json!({
            "mean": rounded(self.0.mean() / 1000.0),
            "p50": at(0.5),
            "p90": at(0.9),
            "p99": at(0.99),
            "max": rounded(self.0.max() as f64 / 1000.0),
        })
    }
}

/// How often each thing went wrong.
#[derive(Default)]
pub struct Errors(BTreeMap<String, u64>);

impl Errors {
    pub fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub fn json(&self) -> Value {
        json!(self.0)
    }
}

/// To three places.
pub fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
