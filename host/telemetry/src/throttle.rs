//! A log line at most every so often, with a count of those that were not written.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets a line pass, then none until its time is over.
#[derive(Debug)]
pub struct Throttle {
    every: Duration,
    last: Mutex<(Option<Instant>, u64)>,
}

impl Throttle {
    /// At most one line in `every`.
    #[must_use]
    pub const fn new(every: Duration) -> Self {
        Self {
            every,
            last: Mutex::new((None, 0)),
        }
    }

    /// How many were held back since the last that passed, where one may pass now.
    pub fn pass(&self) -> Option<u64> {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.is_some_and(|last| now - last < self.every) {
            last.1 += 1;
            return None;
        }
        Some(std::mem::replace(&mut *last, (Some(now), 0)).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_and_the_next_says_how_many_did_not() {
        let throttle = Throttle::new(Duration::from_secs(3600));
        assert_eq!(throttle.pass(), Some(0));
        assert_eq!((throttle.pass(), throttle.pass()), (None, None));
        throttle.last.lock().expect("not poisoned").0 = None;
        assert_eq!(throttle.pass(), Some(2));
        let open = Throttle::new(Duration::ZERO);
        assert_eq!((open.pass(), open.pass()), (Some(0), Some(0)));
    }
}
