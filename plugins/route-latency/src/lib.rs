//! Routes to the quickest target, by what the gateway measured of late.
//!
//! A target's figure is its time to first token, longer the more often it fails (a failure is a wait and another try)
//! and the more requests it has under way. Of targets that are about as quick the cheapest comes first. What nothing
//! is known of is tried now and then, or it would never become known.
#![forbid(unsafe_code)]

use std::cmp::Ordering;

use pointsman_route::{Candidate, EXPECTED_OUTPUT_TOKENS, Fit, Need, Reads, Terms, plan};
use pointsman_sdk::{Plan, Plugin, PluginError, Pool, Reason, Router, View, host};
use serde::Deserialize;

/// However often a target fails, it counts as one that succeeds once in twenty tries.
const ERROR_RATE_MAX: f64 = 0.95;
/// Milliseconds that a request under way may be said to add.
const LOAD_MS_MAX: f64 = 60_000.0;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Which figure counts.
    #[serde(default)]
    by: By,
    /// Milliseconds that each request under way adds.
    #[serde(default)]
    load_ms: f64,
    /// Targets this much slower than the quickest count as just as quick; 0.1 is a tenth.
    #[serde(default = "tolerance")]
    tolerance: f64,
    /// Share of requests that try what is not known, or else any other; 0 to 1.
    #[serde(default = "explore")]
    explore: f64,
    /// Capabilities that every target needs.
    #[serde(default)]
    require: Vec<String>,
}

const fn tolerance() -> f64 {
    0.1
}

const fn explore() -> f64 {
    0.02
}

/// Which figure counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The median time to first token.
    #[default]
    P50,
    /// The 95th percentile.
    P95,
}

/// The configured router.
#[derive(Debug)]
pub struct RouteLatency {
    by: By,
    load_ms: f64,
    tolerance: f64,
    explore: f64,
    terms: Terms,
}

/// A candidate with its figure in milliseconds, where one is known.
struct Timed {
    candidate: Candidate,
    wait_ms: Option<f64>,
}

impl Plugin for RouteLatency {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");
    const IMPORTS: &'static [&'static str] = &["random"];

    fn configure(config: Config) -> Result<Self, String> {
        if !(0.0..=LOAD_MS_MAX).contains(&config.load_ms) {
            return Err(format!("load-ms: write 0 to {LOAD_MS_MAX}"));
        }
        if !(0.0..=10.0).contains(&config.tolerance) {
            return Err("tolerance: write 0 to 10; 0.1 is a tenth".to_owned());
        }
        if !(0.0..=1.0).contains(&config.explore) {
            return Err("explore: write 0 to 1".to_owned());
        }
        Ok(Self {
            by: config.by,
            load_ms: config.load_ms,
            tolerance: config.tolerance,
            explore: config.explore,
            terms: Terms::new(EXPECTED_OUTPUT_TOKENS, config.require)?,
        })
    }
}

impl Router for RouteLatency {
    fn route(&self, request: &dyn View, pool: &dyn Pool) -> Result<Plan, PluginError> {
        let mut numbers = vec![
            match self.by {
                By::P50 => "ttft-p50-ms",
                By::P95 => "ttft-p95-ms",
            },
            "error-rate",
        ];
        if self.load_ms > 0.0 {
            numbers.push("in-flight");
        }
        let reads = Reads {
            prices: self.tolerance > 0.0,
            quality: false,
            numbers: &numbers,
        };
        let mut fit = Fit::of(request, pool, &self.terms, reads);
        if fit.candidates.is_empty() {
            return Ok(fit.abstain());
        }
        let mut timed = self.timed(std::mem::take(&mut fit.candidates));
        self.sort(&mut timed, &fit.need);
        let explored = self.explore(&mut timed);
        let first = &timed[0];
        let code = match first {
            _ if !first.candidate.healthy => "unhealthy",
            _ if explored => "explored",
            Timed {
                wait_ms: Some(_), ..
            } => "quickest",
            Timed { wait_ms: None, .. } => "unmeasured",
        };
        let mut reason = Reason::new(code, fit.misfits.to_string());
        if let Some(wait_ms) = first.wait_ms {
            reason = reason.with("expected-first-token-ms", wait_ms.round());
        }
        let targets = timed.into_iter().map(|timed| timed.candidate.name);
        Ok(plan(targets, reason))
    }
}

impl RouteLatency {
    fn timed(&self, candidates: Vec<Candidate>) -> Vec<Timed> {
        candidates
            .into_iter()
            .map(|candidate| {
                let number = |place: usize| candidate.numbers.get(place).copied().flatten();
                let (ttft, failures, under_way) = (number(0), number(1), number(2));
                let succeeds = 1.0 - failures.unwrap_or(0.0).clamp(0.0, ERROR_RATE_MAX);
                let queue_ms = under_way.unwrap_or(0.0).max(0.0) * self.load_ms;
                let wait_ms = ttft.filter(|ms| *ms >= 0.0);
                Timed {
                    wait_ms: wait_ms.map(|ms| (ms + queue_ms) / succeeds),
                    candidate,
                }
            })
            .collect()
    }

    /// Healthy before ill, measured before unmeasured, quick before slow; those that are about as quick as the
    /// quickest by price.
    fn sort(&self, timed: &mut [Timed], need: &Need) {
        let waits = timed
            .iter()
            .filter(|timed| timed.candidate.healthy)
            .filter_map(|timed| timed.wait_ms);
        let about = waits.fold(f64::INFINITY, f64::min) * (1.0 + self.tolerance);
        let slow = |timed: &Timed| {
            let wait_ms = timed.wait_ms.unwrap_or(f64::INFINITY);
            // All that are about as quick are equals.
            if wait_ms <= about { 0.0 } else { wait_ms }
        };
        timed.sort_by(|one, other| {
            one.candidate
                .by_health(&other.candidate)
                .then_with(|| one.wait_ms.is_none().cmp(&other.wait_ms.is_none()))
                .then_with(|| slow(one).total_cmp(&slow(other)))
                .then_with(|| self.by_cost(one, other, need))
                .then_with(|| by_wait(one, other))
        });
    }

    fn by_cost(&self, one: &Timed, other: &Timed, need: &Need) -> Ordering {
        if self.tolerance > 0.0 {
            one.candidate.by_cost(&other.candidate, need)
        } else {
            Ordering::Equal
        }
    }

    /// Now and then moves another healthy target to the front: one that nothing is known of, or else any.
    fn explore(&self, timed: &mut [Timed]) -> bool {
        let well = timed.iter().filter(|timed| timed.candidate.healthy).count();
        if self.explore <= 0.0 || well < 2 {
            return false;
        }
        let drawn = (host::next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        if drawn >= self.explore {
            return false;
        }
        let unknown = timed[1..well]
            .iter()
            .filter(|timed| timed.wait_ms.is_none())
            .count();
        // The unmeasured stand behind the measured.
        let (first, count) = if unknown > 0 {
            (well - unknown, unknown)
        } else {
            (1, well - 1)
        };
        let which = u128::from(host::next_u64()) * count as u128;
        let which = usize::try_from(which >> 64).unwrap_or(0);
        timed[..=first + which].rotate_right(1);
        true
    }
}

fn by_wait(one: &Timed, other: &Timed) -> Ordering {
    let wait = |timed: &Timed| timed.wait_ms.unwrap_or(f64::INFINITY);
    wait(one).total_cmp(&wait(other))
}

pointsman_sdk::export_plugin!(RouteLatency: router);

#[cfg(test)]
mod tests;
