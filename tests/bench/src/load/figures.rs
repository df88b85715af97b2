//! What was measured.

use std::time::Duration;

use serde_json::{Value, json};

use super::exchange::{Streamed, Whole};

/// Of all connections together.
#[derive(Default)]
pub(super) struct Figures {
    /// Whole answers; of streams, the time to the first event.
    pub(super) latencies_ns: Vec<u64>,
    pub(super) streams_ns: Vec<u64>,
    pub(super) gaps_ns: Vec<u64>,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) not_ok: u64,
    pub(super) errors: u64,
    pub(super) incomplete: u64,
}

impl Figures {
    pub(super) fn whole(&mut self, whole: Option<Whole>, latency: Duration) {
        let Some(whole) = whole else {
            self.errors += 1;
            return;
        };
        self.bytes += whole.bytes;
        if whole.ok {
            self.latencies_ns.push(ns(latency));
        } else {
            self.not_ok += 1;
        }
    }

    pub(super) fn stream(&mut self, streamed: Option<Streamed>) {
        let Some(streamed) = streamed else {
            self.errors += 1;
            return;
        };
        self.bytes += streamed.bytes;
        self.events += streamed.events;
        if !streamed.ok {
            self.not_ok += 1;
            return;
        }
        self.gaps_ns.extend(streamed.gaps_ns);
        self.incomplete += u64::from(!streamed.done);
        if let Some(first) = streamed.first {
            self.latencies_ns.push(ns(first));
            self.streams_ns.push(ns(streamed.total));
        }
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Count, mean and quantiles, in microseconds; null where there is nothing.
pub(super) fn distribution(values_ns: &mut [u64]) -> Value {
    values_ns.sort_unstable();
    let Some(&max) = values_ns.last() else {
        return json!({"n": 0});
    };
    let us = |ns: f64| (ns / 100.0).round() / 10.0;
    let mean = values_ns.iter().map(|&ns| ns as f64).sum::<f64>() / values_ns.len() as f64;
    // The smallest value that so many do not exceed.
    let quantile = |share: f64| {
        let place = (values_ns.len() as f64 * share).ceil() as usize;
        us(values_ns[place.clamp(1, values_ns.len()) - 1] as f64)
    };
    json!({
        "n": values_ns.len(), "mean": us(mean), "p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99),
        "p999": quantile(0.999), "max": us(max as f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let mut values: Vec<u64> = (1..=100).rev().map(|n| n * 1000).collect();
        let shown = distribution(&mut values);
        assert_eq!(shown["p50"], 50.0);
        assert_eq!(shown["p99"], 99.0);
        assert_eq!(shown["max"], 100.0);
        assert_eq!(shown["mean"], 50.5);
        assert_eq!(distribution(&mut []), json!({"n": 0}));
    }
}
