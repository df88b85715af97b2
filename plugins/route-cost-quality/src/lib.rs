//! Routes to the cheapest target whose quality is enough for the request.
//!
//! What is enough, and how good each target is, may depend on a label: a model that will do for chat need not for
//! code. Promises: quality before price, an unknown quality is never enough, an unknown price is never a low one.
#![forbid(unsafe_code)]

use std::cmp::Ordering;
use std::collections::BTreeMap;

use pointsman_route::{Candidate, EXPECTED_OUTPUT_TOKENS, Fit, Misfit, Need, Reads, Terms, plan};
use pointsman_sdk::{Plan, Plugin, PluginError, Pool, Reason, Router, Value, View};
use serde::Deserialize;

/// Exceptions for labels.
const LABELS_MAX: usize = 64;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What is enough.
    quality_min: f64,
    /// Quality by target, in place of what the policy says.
    #[serde(default)]
    quality: BTreeMap<String, f64>,
    /// Where other figures hold; the first that holds counts.
    #[serde(default)]
    labels: Vec<LabelConfig>,
    /// What becomes of targets whose quality is not enough.
    #[serde(default)]
    below: Rest,
    /// What becomes of targets without a price.
    #[serde(default)]
    unpriced: Rest,
    /// How long an answer is reckoned to be.
    #[serde(default = "expected_output_tokens")]
    expected_output_tokens: u32,
    /// Capabilities that every target needs.
    #[serde(default)]
    require: Vec<String>,
}

/// Figures for requests with a label.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LabelConfig {
    label: String,
    is: String,
    /// The label's confidence must reach it.
    #[serde(default)]
    score_min: f32,
    quality_min: Option<f64>,
    #[serde(default)]
    quality: BTreeMap<String, f64>,
}

/// What becomes of targets that are not wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rest {
    /// Tried after all others.
    #[default]
    Last,
    /// Not tried.
    Skip,
}

const fn expected_output_tokens() -> u32 {
    EXPECTED_OUTPUT_TOKENS
}

/// The configured router.
#[derive(Debug)]
pub struct RouteCostQuality {
    quality_min: f64,
    quality: BTreeMap<String, f64>,
    labels: Vec<LabelConfig>,
    below: Rest,
    unpriced: Rest,
    terms: Terms,
}

impl Plugin for RouteCostQuality {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        if config.labels.len() > LABELS_MAX {
            return Err(format!("labels: at most {LABELS_MAX}"));
        }
        for (index, label) in config.labels.iter().enumerate() {
            if label.label.is_empty() {
                return Err(format!("labels[{index}].label: name a label"));
            }
            if label.quality_min.is_none() && label.quality.is_empty() {
                return Err(format!(
                    "labels[{index}]: says nothing; write quality-min or quality"
                ));
            }
        }
        Ok(Self {
            quality_min: config.quality_min,
            quality: config.quality,
            labels: config.labels,
            below: config.below,
            unpriced: config.unpriced,
            terms: Terms::new(config.expected_output_tokens, config.require)?,
        })
    }
}

impl Router for RouteCostQuality {
    fn route(&self, request: &dyn View, pool: &dyn Pool) -> Result<Plan, PluginError> {
        let reads = Reads {
            prices: true,
            quality: true,
            ..Reads::default()
        };
        let mut fit = Fit::of(request, pool, &self.terms, reads);
        let exception = self.labels.iter().find(|label| label.holds(request));
        let least = exception
            .and_then(|label| label.quality_min)
            .unwrap_or(self.quality_min);
        for candidate in &mut fit.candidates {
            let own = exception.and_then(|label| label.quality.get(&candidate.name));
            let own = own.or_else(|| self.quality.get(&candidate.name));
            candidate.quality = own.copied().or(candidate.quality);
        }
        if self.below == Rest::Skip {
            fit.keep(Misfit::Quality, |candidate| meets(candidate, least));
        }
        if self.unpriced == Rest::Skip {
            fit.keep(Misfit::Price, |candidate| candidate.price.is_some());
        }
        let Fit {
            need, candidates, ..
        } = &mut fit;
        // Stable: of equals the one that the policy names first.
        candidates.sort_by(|one, other| order(one, other, need, least));
        let Some(first) = fit.candidates.first() else {
            return Ok(fit.abstain());
        };
        let mut reason = Reason::new(code(first, least), fit.misfits.to_string());
        reason = reason.with("quality-min", least);
        if let Some(quality) = first.quality {
            reason = reason.with("quality", quality);
        }
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

impl LabelConfig {
    fn holds(&self, request: &dyn View) -> bool {
        let Some(label) = request.label(&self.label) else {
            return false;
        };
        let same = match &label.value {
            Value::Text(text) => *text == self.is,
            Value::Texts(texts) => texts.contains(&self.is),
            Value::Flag(flag) => flag.to_string() == self.is,
            Value::Integer(number) => number.to_string() == self.is,
            Value::Number(_) => false,
        };
        same && label.score >= self.score_min
    }
}

fn meets(candidate: &Candidate, least: f64) -> bool {
    candidate.quality.is_some_and(|quality| quality >= least)
}

/// Healthy before ill; enough before not enough; of enough the cheapest, else the best, then the cheapest.
fn order(one: &Candidate, other: &Candidate, need: &Need, least: f64) -> Ordering {
    let quality = |candidate: &Candidate| candidate.quality.unwrap_or(f64::NEG_INFINITY);
    let better = || {
        if meets(one, least) {
            Ordering::Equal
        } else {
            quality(other).total_cmp(&quality(one))
        }
    };
    one.by_health(other)
        .then_with(|| meets(other, least).cmp(&meets(one, least)))
        .then_with(better)
        .then_with(|| one.by_cost(other, need))
}

/// What the first target of the plan is.
fn code(first: &Candidate, least: f64) -> &'static str {
    if !first.healthy {
        "unhealthy"
    } else if !meets(first, least) {
        "below"
    } else if first.price.is_none() {
        "unpriced"
    } else {
        "cheapest"
    }
}

pointsman_sdk::export_plugin!(RouteCostQuality: router);

#[cfg(test)]
mod tests;
