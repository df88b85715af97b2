//! Tokens per minute: a bucket that is drawn on for the worst case and given back what was not used.
//!
//! Request rates are `governor`'s, which cannot give back: there what was taken is used.
//! Promises exact whole-number arithmetic: no token is lost or made by rounding. Refuses to know what a token is.

/// Parts of a token: what one token a minute refills in a millisecond.
const PARTS: i128 = 60_000;

/// Why a bucket refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// There will be enough in so many milliseconds, if nobody else takes them.
    Later {
        /// At least 1.
        wait_ms: u64,
    },
    /// It never holds so many.
    Never,
}

/// A bucket that holds a minute's tokens and refills evenly.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    limit: u64,
    /// In parts; below zero where more was used than was reserved.
    level: i128,
    at_ms: u64,
}

impl TokenBucket {
    /// A full one; `now_ms` is a clock that never goes back.
    #[must_use]
    pub const fn new(limit: u64, now_ms: u64) -> Self {
        Self {
            limit,
            level: full(limit),
            at_ms: now_ms,
        }
    }

    /// Tokens a minute.
    #[must_use]
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// Another limit, at once: what was used stays used.
    pub fn set_limit(&mut self, limit: u64, now_ms: u64) {
        self.refill(now_ms);
        self.level += full(limit) - full(self.limit);
        self.limit = limit;
    }

    /// Takes tokens ahead of their use.
    ///
    /// # Errors
    /// Where there are not enough; nothing is taken then.
    pub fn take(&mut self, tokens: u64, now_ms: u64) -> Result<(), Short> {
        self.refill(now_ms);
        if tokens > self.limit {
            return Err(Short::Never);
        }
        let missing = full(tokens) - self.level;
        if missing > 0 && tokens > 0 {
            let wait = (missing - 1) / i128::from(self.limit) + 1;
            return Err(Short::Later {
                wait_ms: u64::try_from(wait).unwrap_or(u64::MAX),
            });
        }
        self.level -= full(tokens);
        Ok(())
    }

    /// What was taken is known to have come to `used`: the rest goes back, or what is missing is taken after all.
    pub fn settle(&mut self, taken: u64, used: u64, now_ms: u64) {
        self.refill(now_ms);
        self.level = (self.level + full(taken) - full(used)).min(full(self.limit));
    }

    /// Whole tokens that can be taken now.
    pub fn left(&mut self, now_ms: u64) -> u64 {
        self.refill(now_ms);
        u64::try_from(self.level.max(0) / PARTS).unwrap_or(u64::MAX)
    }

    /// Milliseconds until it is full.
    pub fn full_in_ms(&mut self, now_ms: u64) -> u64 {
        self.refill(now_ms);
        let missing = full(self.limit) - self.level;
        if missing <= 0 || self.limit == 0 {
            return 0;
        }
        u64::try_from((missing - 1) / i128::from(self.limit) + 1).unwrap_or(u64::MAX)
    }

    fn refill(&mut self, now_ms: u64) {
        let elapsed = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        let refilled = i128::from(self.limit) * i128::from(elapsed);
        self.level = self.level.saturating_add(refilled).min(full(self.limit));
    }
}

/// So many tokens in parts.
const fn full(tokens: u64) -> i128 {
    // `From` is not const; a u64 fits.
    tokens as i128 * PARTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_not_used_goes_back() {
        let mut bucket = TokenBucket::new(1_000, 0);
        assert_eq!(bucket.take(800, 0), Ok(()));
        assert_eq!(bucket.take(300, 0), Err(Short::Later { wait_ms: 6_000 }));
        bucket.settle(800, 100, 0);
        assert_eq!(bucket.left(0), 900);
        assert_eq!(bucket.take(300, 0), Ok(()));
    }

    #[test]
    fn what_was_used_beyond_the_reservation_is_owed() {
        let mut bucket = TokenBucket::new(600, 0);
        assert_eq!(bucket.take(100, 0), Ok(()));
        bucket.settle(100, 1_000, 0);
        assert_eq!(bucket.left(0), 0);
        assert_eq!(bucket.take(1, 0), Err(Short::Later { wait_ms: 40_100 }));
        assert_eq!(bucket.take(0, 0), Ok(()), "nothing is always there");
    }

    #[test]
    fn more_than_the_limit_is_never_there() {
        let mut bucket = TokenBucket::new(10, 0);
        assert_eq!(bucket.take(11, 0), Err(Short::Never));
        let mut none = TokenBucket::new(0, 0);
        assert_eq!(none.take(1, 0), Err(Short::Never));
        assert_eq!(none.take(0, u64::MAX), Ok(()));
    }

    #[test]
    fn another_limit_forgets_no_use() {
        let mut bucket = TokenBucket::new(1_000, 0);
        assert_eq!(bucket.take(900, 0), Ok(()));
        bucket.set_limit(500, 0);
        assert_eq!(bucket.left(0), 0);
        bucket.set_limit(2_000, 0);
        assert_eq!(bucket.left(0), 1_100);
    }

    #[test]
    fn the_wait_is_long_enough_and_not_longer() {
        let mut bucket = TokenBucket::new(7, 0);
        assert_eq!(bucket.take(7, 0), Ok(()));
        let Err(Short::Later { wait_ms }) = bucket.take(1, 0) else {
            panic!("taken");
        };
        assert!(bucket.clone().take(1, wait_ms - 1).is_err());
        assert_eq!(bucket.take(1, wait_ms), Ok(()));
    }

    proptest! {
        /// In any stretch of time no more is used than a full bucket and what refills, where reservations bound use.
        #[test]
        fn use_is_bounded_by_burst_and_refill(
            limit in 1_u64..10_000,
            steps in prop::collection::vec((0_u64..12_000, 0_u64..5_000, 0_u64..=100), 1..60),
        ) {
            let mut bucket = TokenBucket::new(limit, 0);
            let (mut now, mut used) = (0, 0_u64);
            for (pause, wanted, share) in steps {
                now += pause;
                if bucket.take(wanted, now).is_ok() {
                    let really = wanted * share / 100;
                    bucket.settle(wanted, really, now);
                    used += really;
                }
                prop_assert!(u128::from(used) * 60_000 <= u128::from(limit) * u128::from(60_000 + now));
            }
        }
    }
}
