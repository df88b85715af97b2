//! Routes to the cheapest healthy target that can do the job; the others that can follow in the order of price.
//!
//! Promises: whole numbers only; an unknown price is never taken for a low one; a target that cannot do the job is
//! not tried, and where none can the plugin abstains and says why. Refuses to know: what the request says.
#![forbid(unsafe_code)]

mod candidate;
mod need;

use pointsman_sdk::{Attempt, Plan, Plugin, PluginError, Pool, Reason, Router, View};
use serde::Deserialize;

use candidate::{Candidate, Misfits};
use need::Need;

/// Attempts of one plan; the gateway takes no more.
const ATTEMPTS_MAX: usize = 16;

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
    512
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
    config: Config,
}

impl Plugin for RouteCheapest {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        if config.expected_output_tokens == 0 {
            return Err("expected-output-tokens: must be above 0".to_owned());
        }
        if config.require.iter().any(String::is_empty) {
            return Err("require: a capability has a name".to_owned());
        }
        Ok(Self { config })
    }
}

impl Router for RouteCheapest {
    fn route(&self, request: &dyn View, candidates: &dyn Pool) -> Result<Plan, PluginError> {
        let mut need = Need::of(request, &self.config);
        let all = Candidate::read(candidates, &self.config, &need);
        need.add_vision(request, &all);
        let mut misfits = Misfits::default();
        let mut fitting: Vec<Candidate> = all
            .into_iter()
            .filter(|candidate| misfits.fits(candidate, &need, &self.config))
            .collect();
        // Stable: of equals the one that the policy names first.
        fitting.sort_by(|one, other| one.order(other, &need));
        if fitting
            .windows(2)
            .any(|two| two[0].order(&two[1], &need).is_eq())
        {
            Candidate::read_ttft(candidates, &mut fitting);
            fitting.sort_by(|one, other| one.order(other, &need));
        }
        let Some(first) = fitting.first() else {
            return Ok(Plan::abstain("nothing-fits", misfits.to_string()));
        };
        let mut reason = Reason::new(code(first), misfits.to_string());
        // More than nine million dollars is no figure worth stating.
        let cost = first.cost(&need).and_then(|cost| i64::try_from(cost).ok());
        if let Some(cost) = cost {
            reason = reason.with("expected-cost-pico-usd", cost);
        }
        Ok(Plan {
            attempts: fitting
                .into_iter()
                .take(ATTEMPTS_MAX)
                .map(|candidate| Attempt::new(candidate.name))
                .collect(),
            reason,
            attributes: Vec::new(),
        })
    }
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
