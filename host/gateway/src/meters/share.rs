//! What one tenant may hold of what all requests of the node share.
//!
//! Promises: a tenant may take more while it holds less than a fixed multiple of what is free. So one alone comes to
//! its percentage of the whole, several to equal parts, and there is room left for one that holds nothing yet.
//! Refuses to know: what is held, and how much there is of it.

use std::sync::atomic::AtomicUsize;

use crate::aside::Turns;

/// The percentage that a tenant alone may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    percent: u32,
}

/// What a tenant's requests hold.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) requests: AtomicUsize,
    pub(crate) body_bytes: AtomicUsize,
    /// To work aside.
    pub(crate) turns: Turns,
}

impl Share {
    /// 100: a tenant may take everything.
    pub(crate) const fn new(percent: u32) -> Self {
        Self { percent }
    }

    pub(crate) const fn percent(self) -> u32 {
        self.percent
    }

    /// Whether who holds `mine` may take more of what has so much `free`.
    pub(crate) const fn allows(self, mine: usize, free: usize) -> bool {
        let left = 100_u64.saturating_sub(self.percent as u64);
        (mine as u64).saturating_mul(left) < (free as u64).saturating_mul(self.percent as u64)
            || left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of so many tenants comes to when all take one after the other for as long as they may.
    fn shares(percent: u32, whole: usize, tenants: usize) -> Vec<usize> {
        let share = Share::new(percent);
        let mut held = vec![0; tenants];
        loop {
            let before = held.clone();
            for tenant in 0..tenants {
                let free = whole - held.iter().sum::<usize>();
                if free > 0 && share.allows(held[tenant], free) {
                    held[tenant] += 1;
                }
            }
            if held == before {
                return held;
            }
        }
    }

    #[test]
    fn one_tenant_leaves_room_and_several_have_equal_parts() {
        assert_eq!(shares(75, 1024, 1), [768]);
        assert_eq!(shares(75, 1024, 2), [439, 439]);
        assert_eq!(shares(50, 1000, 4), [200; 4]);
        assert_eq!(shares(100, 1024, 1), [1024]);
    }

    #[test]
    fn small_wholes_serve_somebody() {
        assert_eq!(shares(75, 1, 1), [1]);
        assert_eq!(shares(75, 2, 1), [2]);
        assert_eq!(shares(1, 4, 1), [1]);
    }
}
