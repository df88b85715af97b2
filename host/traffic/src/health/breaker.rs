//! The circuit breaker: closed, open for a pause, then half-open for one probe. One word, changed by compare-and-swap.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::HealthSettings;

/// Bits of the word: when the pause ends (48), the epoch (14), whether a probe is under way, whether it is open.
/// 48 bits of milliseconds are 8,900 years. An epoch comes round after 16,384 changes within one request.
const OPEN: u64 = 1;
const PROBING: u64 = 1 << 1;
const EPOCH_SHIFT: u32 = 2;
const EPOCH_MASK: u64 = (1 << 14) - 1;
const UNTIL_SHIFT: u32 = 16;
const UNTIL_MAX: u64 = (1 << 48) - 1;

/// What a request remembers of the breaker when it begins, so that late results of an earlier time change nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    epoch: u64,
    probe: bool,
}

#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    fn is_open(self) -> bool {
        self.0 & OPEN != 0
    }

    fn is_probing(self) -> bool {
        self.0 & PROBING != 0
    }

    fn epoch(self) -> u64 {
        (self.0 >> EPOCH_SHIFT) & EPOCH_MASK
    }

    fn until_ms(self) -> u64 {
        self.0 >> UNTIL_SHIFT
    }

    fn opened(self, until_ms: u64) -> Self {
        Self(until_ms.min(UNTIL_MAX) << UNTIL_SHIFT | self.epoch_after() << EPOCH_SHIFT | OPEN)
    }

    fn closed(self) -> Self {
        Self(self.epoch_after() << EPOCH_SHIFT)
    }

    fn epoch_after(self) -> u64 {
        (self.epoch() + 1) & EPOCH_MASK
    }
}

#[derive(Debug, Default)]
pub(super) struct Breaker {
    word: AtomicU64,
    failures_in_row: AtomicU32,
}

impl Breaker {
    /// Whether a request would be let through.
    pub(super) fn allows(&self, now_ms: u64) -> bool {
        let word = Word(self.word.load(Ordering::Acquire));
        !word.is_open() || (now_ms >= word.until_ms() && !word.is_probing())
    }

    pub(super) fn begin(&self, now_ms: u64) -> Pass {
        let probing = |word: Word| {
            let due = word.is_open() && !word.is_probing() && now_ms >= word.until_ms();
            due.then_some(Word(word.0 | PROBING))
        };
        let (word, probe) = self.change(probing);
        let epoch = word.epoch();
        Pass { epoch, probe }
    }

    /// True where this success closed the breaker. Any request that began after it opened proves as much as the probe.
    pub(super) fn succeeded(&self, pass: Pass) -> bool {
        let closing =
            |word: Word| (word.is_open() && word.epoch() == pass.epoch).then(|| word.closed());
        let (word, closed) = self.change(closing);
        if word.epoch() == pass.epoch {
            self.failures_in_row.store(0, Ordering::Relaxed);
        }
        closed
    }

    pub(super) fn failed(
        &self,
        pass: Pass,
        rate_is_high: bool,
        settings: &HealthSettings,
        now_ms: u64,
    ) {
        if Word(self.word.load(Ordering::Acquire)).epoch() != pass.epoch {
            return;
        }
        let in_row = self
            .failures_in_row
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let tripped = rate_is_high || in_row >= settings.failures_max;
        let opening = |word: Word| {
            let counts = if word.is_open() { pass.probe } else { tripped };
            (counts && word.epoch() == pass.epoch)
                .then(|| word.opened(now_ms.saturating_add(settings.pause_ms)))
        };
        if self.change(opening).1 {
            self.failures_in_row.store(0, Ordering::Relaxed);
        }
    }

    /// A probe that proved nothing leaves its place to another.
    pub(super) fn cancelled(&self, pass: Pass) {
        if pass.probe {
            let released = |word: Word| {
                (word.is_open() && word.epoch() == pass.epoch).then_some(Word(word.0 & !PROBING))
            };
            self.change(released);
        }
    }

    /// Applies a change, if there is one to make; the word before it, and whether it was made.
    fn change(&self, change: impl Fn(Word) -> Option<Word>) -> (Word, bool) {
        let changed = self
            .word
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                change(Word(word)).map(|word| word.0)
            });
        match changed {
            Ok(word) => (Word(word), true),
            Err(word) => (Word(word), false),
        }
    }
}
