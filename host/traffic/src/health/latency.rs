//! Times to first token in a small histogram whose counts halve each minute, so that the newer weigh more.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Four buckets for each doubling, up to two minutes; a bucket is at most a quarter wide.
const BUCKETS: usize = 64;
/// What one sample adds: it counts for a few minutes where there are no others.
const WEIGHT: u32 = 16;
/// Milliseconds in which counts halve.
const HALF_LIFE_MS: u64 = 60_000;
/// Counts stop here: nothing overflows however many samples a minute brings.
const COUNT_MAX: u32 = u32::MAX / 2;

#[derive(Debug)]
pub(super) struct Latency {
    counts: [AtomicU32; BUCKETS],
    /// Half-lives since the clock's zero that the counts have been through.
    halved: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            counts: std::array::from_fn(|_| AtomicU32::new(0)),
            halved: AtomicU64::new(0),
        }
    }
}

impl Latency {
    pub(super) fn record(&self, ms: u64, now_ms: u64) {
        self.halve(now_ms);
        let add = |count: u32| Some(count.saturating_add(WEIGHT).min(COUNT_MAX));
        let count = &self.counts[bucket(ms)];
        // The closure always returns a value, so the update cannot fail.
        let _previous = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// The time below which the share `q` of samples lies: the middle of its bucket.
    pub(super) fn quantile_ms(&self, q: f64, now_ms: u64) -> Option<f64> {
        self.halve(now_ms);
        let counts: [u32; BUCKETS] =
            std::array::from_fn(|index| self.counts[index].load(Ordering::Relaxed));
        let total: u64 = counts.iter().copied().map(u64::from).sum();
        if total == 0 {
            return None;
        }
        let wanted = ((total as f64 * q).ceil() as u64).max(1);
        let mut below = 0;
        counts
            .iter()
            .position(|&count| {
                below += u64::from(count);
                below >= wanted
            })
            .map(middle_ms)
    }

    /// Catches up with the clock. One caller halves; a sample that comes in between loses at most half its weight.
    fn halve(&self, now_ms: u64) {
        let due = now_ms / HALF_LIFE_MS;
        let before = self.halved.load(Ordering::Relaxed);
        if due <= before {
            return;
        }
        let won = self
            .halved
            .compare_exchange(before, due, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        if won {
            let times = u32::try_from(due - before).unwrap_or(u32::MAX);
            for count in &self.counts {
                let halved = |count: u32| Some(count.checked_shr(times).unwrap_or(0));
                let _previous = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, halved);
            }
        }
    }
}

/// 0 to 3 ms have a bucket each; above, the two bits below the highest choose among a doubling's four.
fn bucket(ms: u64) -> usize {
    if ms < 4 {
        return ms as usize;
    }
    let doubling = ms.ilog2() as usize;
    let quarter = (ms >> (doubling - 2)) as usize & 3;
    ((doubling - 1) * 4 + quarter).min(BUCKETS - 1)
}

fn middle_ms(bucket: usize) -> f64 {
    if bucket < 4 {
        return bucket as f64;
    }
    let width = (1u64 << (bucket / 4 - 1)) as f64;
    let low = (4 + bucket % 4) as f64 * width;
    low + (width - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_middle_is_within_an_eighth_of_the_sample() {
        for ms in (0..10_000).chain([50_000, 100_000, 114_000]) {
            let told = middle_ms(bucket(ms));
            assert!(
                (told - ms as f64).abs() <= ms as f64 / 8.0,
                "{ms} told as {told}"
            );
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }
}
