//! Routes to the cheapest healthy target that can do the job; the others that can follow in the order of price.
//!
//! Promises: whole numbers only; an unknown price is never taken for a low one; a target that cannot do the job is
//! not tried, and where none can the plugin abstains and says why. Refuses to know: what the request says.
#![forbid(unsafe_code)]

use std::cmp::Ordering;

use pointsman_route::{Candidate, EXPECTED_OUTPUT_TOKENS, Fit, Misfit, Need, Reads, Terms, plan};
use pointsman_sdk::{Plan, Plugin, PluginError, Pool, Reason, Router, View};
use serde::Deserialize;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// How long an answer is reckoned to be.
    #[serde(default = "expected_output_tokens")]
    expected_output_tokens: u32,
    /// Targets below it, or of unknown quality, do not fit.
    quality_min: Option<f64>,
    /// Capabilities that every target needs.
    #[serde(default)]
    require: Vec<String>,
    /// What becomes of targets without a price.
    #[serde(default)]
    unpriced: Unpriced,
}

const fn expected_output_tokens() -> u32 {
    EXPECTED_OUTPUT_TOKENS
}

/// What becomes of targets without a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unpriced {
    /// Tried after all priced ones.
    #[default]
    Last,
    /// Not tried.
    Skip,
}

/// The configured router.
#[derive(Debug)]
pub struct RouteCheapest {
    terms: Terms,
    quality_min: Option<f64>,
    unpriced: Unpriced,
}

impl Plugin for RouteCheapest {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        Ok(Self {
            terms: Terms::new(config.expected_output_tokens, config.require)?,
            quality_min: config.quality_min,
            unpriced: config.unpriced,
        })
    }
}

impl Router for RouteCheapest {
    fn route(&self, request: &dyn View, pool: &dyn Pool) -> Result<Plan, PluginError> {
        let reads = Reads {
            prices: true,
            quality: self.quality_min.is_some(),
            ..Reads::default()
        };
        let mut fit = Fit::of(request, pool, &self.terms, reads);
        if let Some(least) = self.quality_min {
            fit.keep(Misfit::Quality, |candidate| {
                candidate.quality.is_some_and(|quality| quality >= least)
            });
        }
        if self.unpriced == Unpriced::Skip {
            fit.keep(Misfit::Price, |candidate| candidate.price.is_some());
        }
        let Fit {
            need, candidates, ..
        } = &mut fit;
        // Stable: of equals the one that the policy names first.
        candidates.sort_by(|one, other| order(one, other, need));
        let ties = |two: &[Candidate]| order(&two[0], &two[1], need).is_eq();
        if candidates.windows(2).any(ties) {
            // How quick they are is asked only where it breaks a tie.
            let ttft = pool.numbers("ttft-p50-ms");
            let known = |candidate: &Candidate| {
                let ttft = ttft.get(candidate.row).copied().flatten();
                ttft.unwrap_or(f64::INFINITY)
            };
            candidates.sort_by(|one, other| {
                order(one, other, need).then_with(|| known(one).total_cmp(&known(other)))
            });
        }
        let Some(first) = fit.candidates.first() else {
            return Ok(fit.abstain());
        };
        let mut reason = Reason::new(code(first), fit.misfits.to_string());
        // More than nine million dollars is no figure worth stating.
        let cost = first
            .cost(&fit.need)
            .and_then(|cost| i64::try_from(cost).ok());
        if let Some(cost) = cost {
            reason = reason.with("expected-cost-pico-usd", cost);
        }
        Ok(plan(
            fit.candidates.into_iter().map(|candidate| candidate.name),
            reason,
        ))
    }
}

/// Healthy before ill, priced before unpriced, cheap before dear.
fn order(one: &Candidate, other: &Candidate, need: &Need) -> Ordering {
    one.by_health(other).then_with(|| one.by_cost(other, need))
}

/// What the first target of the plan is.
const fn code(first: &Candidate) -> &'static str {
    match (first.healthy, first.price) {
        (true, Some(_)) => "cheapest",
        (true, None) => "unpriced",
        (false, _) => "unhealthy",
    }
}

pointsman_sdk::export_plugin!(RouteCheapest: router);

#[cfg(test)]
mod tests;
