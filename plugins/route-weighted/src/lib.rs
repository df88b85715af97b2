//! Spreads requests over targets by weight, sticky by conversation.
//!
//! Each target draws a lot for the conversation, the more weight the better, and the best lot is tried first: weights
//! hold over many conversations, each keeps its target, and a target that comes, goes or changes its weight moves only
//! the conversations that it wins or loses. Nothing is stored.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use pointsman_route::{Candidate, EXPECTED_OUTPUT_TOKENS, Fit, Reads, Terms, plan};
use pointsman_sdk::{Plan, Plugin, PluginError, Pool, Reason, Router, View};
use serde::Deserialize;

/// Targets with a weight.
const TARGETS_MAX: usize = 256;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Weight of each target; any unit, only the ratios count.
    weights: BTreeMap<String, u32>,
    /// What keeps its target.
    #[serde(default)]
    sticky: Sticky,
    /// Makes this draw independent of others.
    #[serde(default)]
    salt: String,
    /// Capabilities that every target needs.
    #[serde(default)]
    require: Vec<String>,
}

/// What keeps its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sticky {
    /// A conversation.
    #[default]
    Conversation,
    /// A virtual key.
    Key,
    /// A tenant.
    Tenant,
}

impl Sticky {
    const fn field(self) -> &'static str {
        match self {
            Self::Conversation => "conversation",
            Self::Key => "key",
            Self::Tenant => "tenant",
        }
    }
}

/// The configured router.
#[derive(Debug)]
pub struct RouteWeighted {
    weights: BTreeMap<String, u32>,
    sticky: Sticky,
    salt: String,
    terms: Terms,
}

impl Plugin for RouteWeighted {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        if config.weights.len() > TARGETS_MAX {
            return Err(format!("weights: at most {TARGETS_MAX} targets"));
        }
        if config.weights.values().all(|weight| *weight == 0) {
            return Err("weights: at least one target needs a weight above 0".to_owned());
        }
        Ok(Self {
            weights: config.weights,
            sticky: config.sticky,
            salt: config.salt,
            terms: Terms::new(EXPECTED_OUTPUT_TOKENS, config.require)?,
        })
    }
}

impl Router for RouteWeighted {
    fn route(&self, request: &dyn View, pool: &dyn Pool) -> Result<Plan, PluginError> {
        let mut fit = Fit::of(request, pool, &self.terms, Reads::default());
        fit.candidates
            .retain(|candidate| self.weights.contains_key(&candidate.name));
        if fit.candidates.is_empty() {
            let detail = format!("no target with a weight can do it: {}", fit.misfits);
            return Ok(Plan::abstain("nothing-fits", detail));
        }
        let who = request.text(self.sticky.field()).unwrap_or_default();
        let mut lots: Vec<(f64, Candidate)> = std::mem::take(&mut fit.candidates)
            .into_iter()
            .map(|candidate| {
                let weight = self.weights.get(&candidate.name).copied().unwrap_or(0);
                (lot(&self.salt, &who, &candidate.name, weight), candidate)
            })
            .collect();
        // Healthy before ill, then the best lot; stable where nothing has weight.
        lots.sort_by(|(one_lot, one), (other_lot, other)| {
            one.by_health(other)
                .then_with(|| one_lot.total_cmp(other_lot))
        });
        let code = match lots.first() {
            Some((_, first)) if first.healthy => "weighted",
            _ => "unhealthy",
        };
        let reason = Reason::new(code, fit.misfits.to_string());
        Ok(plan(
            lots.into_iter().map(|(_, candidate)| candidate.name),
            reason,
        ))
    }
}

/// A wait drawn from an exponential distribution of rate `weight`: the shares of least waits are those of the weights.
/// Weight 0 waits for ever: it is tried after all others.
fn lot(salt: &str, who: &str, target: &str, weight: u32) -> f64 {
    if weight == 0 {
        return f64::INFINITY;
    }
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for part in [salt, who, target] {
        // The end of each part counts, so that no two triples read alike.
        for byte in part.bytes().chain([0xFF]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    let hash = hash ^ (hash >> 33);
    // Above 0 and below 1.
    let uniform = ((hash >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
    -uniform.ln() / f64::from(weight)
}

pointsman_sdk::export_plugin!(RouteWeighted: router);

#[cfg(test)]
mod tests;
