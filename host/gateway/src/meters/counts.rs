//! What a tenant did lately, as its own plugins may ask.

use std::sync::OnceLock;

use pointsman_domain::decision::Outcome;
use pointsman_plugin::{Counted, Tenant};
use pointsman_traffic::counts::SlidingCount;

use super::ScopeMeter;

/// Sliding counts, each made when there is something to count.
#[derive(Debug, Default)]
pub(super) struct Counts([OnceLock<Box<SlidingCount>>; Counted::ALL.len()]);

impl Counts {
    fn add(&self, counted: Counted, count: u32, epoch_ms: u64) {
        self.0[counted as usize]
            .get_or_init(Box::default)
            .add(count, epoch_ms);
    }

    fn count(&self, counted: Counted, window_s: u32, epoch_ms: u64) -> u64 {
        let known = self.0[counted as usize].get();
        known.map_or(0, |known| known.count(window_s, epoch_ms))
    }
}

impl ScopeMeter {
    /// A request began.
    pub(crate) fn began(&self, epoch_ms: u64) {
        self.counts.add(Counted::Requests, 1, epoch_ms);
    }

    /// A request ended, and used so many tokens.
    pub(crate) fn ended(&self, outcome: Outcome, tokens: u64, epoch_ms: u64) {
        let counted = match outcome {
            Outcome::Denied => Some(Counted::Denials),
            Outcome::Cut => Some(Counted::Cuts),
            Outcome::Error => Some(Counted::Errors),
            Outcome::Ok | Outcome::Cancelled => None,
        };
        if let Some(counted) = counted {
            self.counts.add(counted, 1, epoch_ms);
        }
        if tokens > 0 {
            let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
            self.counts.add(Counted::Tokens, tokens, epoch_ms);
        }
    }
}

impl Tenant for ScopeMeter {
    fn id(&self) -> &str {
        self.id.tenant()
    }

    fn count(&self, counted: Counted, window_s: u32, now_ms: u64) -> u64 {
        self.counts.count(counted, window_s, now_ms)
    }
}
