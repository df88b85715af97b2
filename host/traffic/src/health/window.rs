//! Results of the last minute, by slots of ten seconds; each slot is one word that says which ten seconds it counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Milliseconds of one slot.
const SLOT_MS: u64 = 10_000;
/// Slots of the window: one minute.
const SLOTS: usize = 6;

/// Bits of a slot: its number (24, five years of ten seconds), failures (20), results (20).
const COUNT_BITS: u32 = 20;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const NUMBER_MAX: u64 = (1 << 24) - 1;

/// Results and failures among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) results: u32,
    pub(super) failures: u32,
}

impl Tally {
    pub(super) fn rate(self) -> Option<f64> {
        (self.results > 0).then(|| f64::from(self.failures) / f64::from(self.results))
    }
}

#[derive(Debug, Default)]
pub(super) struct Window {
    slots: [AtomicU64; SLOTS],
}

impl Window {
    pub(super) fn record(&self, failed: bool, now_ms: u64) {
        let number = number(now_ms);
        let slot = &self.slots[(now_ms / SLOT_MS) as usize % SLOTS];
        let counted = |word: u64| {
            let (mut failures, mut results) = if word >> (2 * COUNT_BITS) == number {
                (word >> COUNT_BITS & COUNT_MAX, word & COUNT_MAX)
            } else {
                (0, 0)
            };
            // A full slot keeps its rate: 2^20 results say enough.
            if results < COUNT_MAX {
                results += 1;
                failures += u64::from(failed);
            }
            Some(number << (2 * COUNT_BITS) | failures << COUNT_BITS | results)
        };
        // The closure always returns a value, so the update cannot fail.
        let _previous = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    pub(super) fn tally(&self, now_ms: u64) -> Tally {
        let newest = number(now_ms);
        let mut tally = Tally::default();
        for slot in &self.slots {
            let word = slot.load(Ordering::Relaxed);
            let age = newest.wrapping_sub(word >> (2 * COUNT_BITS)) & NUMBER_MAX;
            if age < SLOTS as u64 {
                tally.failures += count(word >> COUNT_BITS);
                tally.results += count(word);
            }
        }
        tally
    }

    pub(super) fn clear(&self) {
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

fn number(now_ms: u64) -> u64 {
    (now_ms / SLOT_MS) & NUMBER_MAX
}

fn count(word: u64) -> u32 {
    (word & COUNT_MAX) as u32
}
