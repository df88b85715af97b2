//! Sliding counts: how much of something there was in the last seconds or minutes, in a fixed number of buckets.
//! Promises to be wait-free in practice, like health: atomics only. A clock that steps back counts in the newest bucket.
//! Refuses to know what is counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Seconds of the longest window.
pub const WINDOW_S_MAX: u32 = 3_600;
/// Seconds up to which a window is counted to the second; a longer one is rounded up to whole minutes.
pub const FINE_S_MAX: u32 = 60;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const BUCKETS: usize = 60;

/// One bucket a unit of time, each with the unit that it counts (high half) and its count (low half).
#[derive(Debug)]
struct Ring([AtomicU64; BUCKETS]);

impl Ring {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    fn add(&self, unit: u32, count: u32) {
        let bucket = &self.0[unit as usize % BUCKETS];
        let counted = |word: u64| {
            let (known, sum) = parts(word);
            // A word of a later unit: the clock went back, and what happens now is the newest there is.
            Some(if known < unit {
                word_of(unit, count)
            } else {
                word_of(known, sum.saturating_add(count))
            })
        };
        let _always_changed = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// Of the last so many units, the one that is under way included.
    fn count(&self, unit: u32, units: u32) -> u64 {
        let words = self
            .0
            .iter()
            .map(|word| parts(word.load(Ordering::Relaxed)));
        words
            .filter(|(known, _)| known.saturating_add(units) > unit)
            .map(|(_, count)| u64::from(count))
            .sum()
    }
}

const fn word_of(unit: u32, count: u32) -> u64 {
    (unit as u64) << 32 | count as u64
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of a word are what is meant"
)]
const fn parts(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

fn unit(epoch_ms: u64, unit_ms: u64) -> u32 {
    u32::try_from(epoch_ms / unit_ms).unwrap_or(u32::MAX)
}

/// How much of one thing there was lately.
#[derive(Debug)]
pub struct SlidingCount {
    seconds: Ring,
    minutes: Ring,
}

impl Default for SlidingCount {
    fn default() -> Self {
        Self {
            seconds: Ring::new(),
            minutes: Ring::new(),
        }
    }
}

impl SlidingCount {
    /// So much more of it; milliseconds since the epoch.
    pub fn add(&self, count: u32, epoch_ms: u64) {
        self.seconds.add(unit(epoch_ms, SECOND_MS), count);
        self.minutes.add(unit(epoch_ms, MINUTE_MS), count);
    }

    /// How much there was in the window that ends now. The second (above `FINE_S_MAX` the minute) that is under way
    /// counts as a whole one. At most `WINDOW_S_MAX` seconds are known.
    #[must_use]
    pub fn count(&self, window_s: u32, epoch_ms: u64) -> u64 {
        let window_s = window_s.min(WINDOW_S_MAX);
        if window_s <= FINE_S_MAX {
            self.seconds.count(unit(epoch_ms, SECOND_MS), window_s)
        } else {
            let minutes = window_s.div_ceil(60);
            self.minutes.count(unit(epoch_ms, MINUTE_MS), minutes)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T0: u64 = 1_795_510_920_000;

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let count = SlidingCount::default();
        count.add(1, T0);
        count.add(2, T0 + 5_000);
        assert_eq!(count.count(5, T0 + 5_000), 2);
        assert_eq!(count.count(6, T0 + 5_000), 3);
        assert_eq!(count.count(60, T0 + 64_999), 2);
        assert_eq!(count.count(60, T0 + 65_000), 0);
        assert_eq!(count.count(3_600, T0 + 65_000), 3);
        assert_eq!(count.count(u32::MAX, T0 + 65_000), 3);
        assert_eq!(count.count(3_600, T0 + 4_000_000), 0);
    }

    #[test]
    fn a_clock_that_steps_back_loses_nothing() {
        let count = SlidingCount::default();
        count.add(1, T0 + 60_000);
        count.add(1, T0);
        assert_eq!(count.count(10, T0), 2);
        assert_eq!(count.count(10, T0 + 60_000), 2);
    }

    proptest! {
        #[test]
        fn counts_are_the_true_ones_to_a_bucket(
            gaps in prop::collection::vec(0_u64..90_000, 1..60),
            window_s in 1_u32..=WINDOW_S_MAX,
        ) {
            let count = SlidingCount::default();
            let mut at = T0;
            let mut times = Vec::new();
            for gap in gaps {
                at += gap;
                count.add(1, at);
                times.push(at);
            }
            let of = |ms: u64| times.iter().filter(|time| **time + ms > at).count() as u64;
            let bucket_ms = if window_s <= FINE_S_MAX { SECOND_MS } else { MINUTE_MS };
            let window_ms = u64::from(window_s).div_ceil(bucket_ms / 1_000) * bucket_ms;
            let told = count.count(window_s, at);
            prop_assert!(told <= of(window_ms), "{told}");
            prop_assert!(told >= of(window_ms - bucket_ms), "{told}");
        }
    }
}
