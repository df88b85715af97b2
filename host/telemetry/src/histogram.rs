//! A histogram of times that counts without a lock; the registry's own takes a mutex for each observation.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Times, in buckets of seconds.
#[derive(Debug)]
pub(crate) struct Times {
    /// Upper bounds in nanoseconds, rising.
    bounds_ns: &'static [u64],
    /// One more than bounds: the last holds what is above all of them.
    counts: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
}

impl Times {
    pub(crate) fn new(bounds_ns: &'static [u64]) -> Self {
        Self {
            bounds_ns,
            counts: (0..=bounds_ns.len()).map(|_| AtomicU64::new(0)).collect(),
            sum_ns: AtomicU64::new(0),
        }
    }

    pub(crate) fn observe_ns(&self, time_ns: u64) {
        let bucket = self.bounds_ns.partition_point(|&bound| bound < time_ns);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(time_ns, Ordering::Relaxed);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds for people: 53 bits of nanoseconds are 104 days exactly"
)]
fn seconds(time_ns: u64) -> f64 {
    time_ns as f64 / 1e9
}

impl EncodeMetric for Times {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let bounds = self
            .bounds_ns
            .iter()
            .map(|&bound| seconds(bound))
            .chain([f64::INFINITY]);
        let counts = self
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // Summed from what was read, so that count and buckets agree whatever is counted meanwhile.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(self.sum_ns.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Times {
    const TYPE: MetricType = MetricType::Histogram;
}
