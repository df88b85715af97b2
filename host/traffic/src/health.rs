//! What all threads together know of one target: its breaker, its error rate, its times to first token.
//! Promises to be wait-free in practice: atomics only, so that a slow request never holds anything another needs.
//! Refuses to route; it answers questions, and plans may still name an unhealthy target.

mod breaker;
mod latency;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use breaker::{Breaker, Pass};
use latency::Latency;
use window::Window;

/// When a target counts as unhealthy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HealthSettings {
    /// Failures in a row that open the breaker; at least 1.
    pub failures_max: u32,
    /// Share of failures (0 to 1) over the last minute that opens the breaker.
    pub error_rate_max: f64,
    /// Results within the last minute below which the error rate opens nothing.
    pub samples_min: u32,
    /// Milliseconds that an opened breaker stays open before it lets one probe through.
    pub pause_ms: u64,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            failures_max: 5,
            error_rate_max: 0.5,
            samples_min: 20,
            pause_ms: 10_000,
        }
    }
}

/// One target's health. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct TargetHealth(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    settings: HealthSettings,
    breaker: Breaker,
    window: Window,
    latency: Latency,
    in_flight: AtomicU32,
}

impl TargetHealth {
    /// A target of which nothing is known: healthy.
    #[must_use]
    pub fn new(settings: HealthSettings) -> Self {
        Self(Arc::new(Shared {
            settings,
            ..Shared::default()
        }))
    }

    /// A request to the target begins. After the pause of an open breaker the first to begin is the probe.
    pub fn begin(&self, now_ms: u64) -> Flight {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        Flight {
            pass: self.0.breaker.begin(now_ms),
            shared: Arc::clone(&self.0),
            settled: false,
        }
    }

    /// Whether the target should be sent requests: its breaker is closed, or is due for a probe that nobody makes yet.
    #[must_use]
    pub fn healthy(&self, now_ms: u64) -> bool {
        self.0.breaker.allows(now_ms)
    }

    /// Median time to first token in milliseconds, newer requests weighing more; `None` where nothing recent is known.
    #[must_use]
    pub fn ttft_p50_ms(&self, now_ms: u64) -> Option<f64> {
        self.0.latency.quantile_ms(0.5, now_ms)
    }

    /// 95th percentile of the time to first token, as above.
    #[must_use]
    pub fn ttft_p95_ms(&self, now_ms: u64) -> Option<f64> {
        self.0.latency.quantile_ms(0.95, now_ms)
    }

    /// Share of failures, 0 to 1, over the last minute; `None` without results.
    #[must_use]
    pub fn error_rate(&self, now_ms: u64) -> Option<f64> {
        self.0.window.tally(now_ms).rate()
    }

    /// Requests under way, of all threads.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.0.in_flight.load(Ordering::Relaxed)
    }
}

/// One request under way at a target. Dropping it says that it was cancelled.
#[derive(Debug)]
#[must_use = "dropping a flight cancels it"]
pub struct Flight {
    shared: Arc<Shared>,
    pass: Pass,
    settled: bool,
}

impl Flight {
    /// The target answered; its first token came after `ttft_ms`, where there was one.
    pub fn succeeded(mut self, ttft_ms: Option<u64>, now_ms: u64) {
        self.settled = true;
        self.shared.window.record(false, now_ms);
        if let Some(ttft_ms) = ttft_ms {
            self.shared.latency.record(ttft_ms, now_ms);
        }
        if self.shared.breaker.succeeded(self.pass) {
            // What opened the breaker must not open it again.
            self.shared.window.clear();
        }
    }

    /// The target failed.
    pub fn failed(mut self, now_ms: u64) {
        self.settled = true;
        let shared = &self.shared;
        shared.window.record(true, now_ms);
        let tally = shared.window.tally(now_ms);
        let rate_is_high = tally.results >= shared.settings.samples_min
            && tally
                .rate()
                .is_some_and(|rate| rate >= shared.settings.error_rate_max);
        shared
            .breaker
            .failed(self.pass, rate_is_high, &shared.settings, now_ms);
    }

    /// The request ended for a reason that says nothing of the target.
    pub fn cancelled(self) {
        drop(self);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.settled {
            self.shared.breaker.cancelled(self.pass);
        }
        self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
