//! Routes by ordered conditions, with weights and fallbacks.
//!
//! The first rule whose condition holds makes the plan. Promises: the same conversation draws the same target for as
//! long as the weights stay; a target that is unhealthy moves to the end of the plan and is never dropped; only
//! candidates are planned. Refuses to know: the text of the request.
#![forbid(unsafe_code)]

mod condition;
mod config;
mod dollars;
mod route;

use pointsman_sdk::{Plan, Plugin, PluginError, Pool, Reason, Router, View};

pub use config::Config;
use route::{Candidates, Rule, Targets};

/// The configured router.
#[derive(Debug)]
pub struct RouteRules {
    rules: Vec<Rule>,
    /// Where requests go that no rule took.
    default: Option<Targets>,
}

impl Plugin for RouteRules {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        if config.rules.is_empty() && config.default.is_none() {
            return Err("rules: at least one rule or a default is needed".to_owned());
        }
        let mut rules: Vec<Rule> = Vec::with_capacity(config.rules.len());
        for (index, rule) in config.rules.into_iter().enumerate() {
            let rule = Rule::new(rule, index).map_err(|why| format!("rules[{index}].{why}"))?;
            if rules.iter().any(|known| known.code == rule.code) {
                let name = rule.code.trim_start_matches("rule.");
                return Err(format!(
                    "rules[{index}].name: `{name}` is taken; reasons must tell rules apart"
                ));
            }
            rules.push(rule);
        }
        let default = config
            .default
            .map(|targets| Targets::new(targets, "default"))
            .transpose()?;
        Ok(Self { rules, default })
    }
}

impl Router for RouteRules {
    fn route(&self, request: &dyn View, candidates: &dyn Pool) -> Result<Plan, PluginError> {
        let candidates = Candidates::read(candidates);
        // A rule none of whose targets serves this model has no say in it, so the next one is asked.
        for rule in self
            .rules
            .iter()
            .filter(|rule| rule.condition.holds(request))
        {
            let attempts = rule.attempts(request, &candidates);
            if !attempts.is_empty() {
                return Ok(Plan {
                    attempts,
                    reason: Reason::new(rule.code.as_str(), "the first rule that holds"),
                    attributes: Vec::new(),
                });
            }
        }
        let attempts = self.default.as_ref().map_or_else(Vec::new, |default| {
            candidates.plan(default.ordered(request, "default", &candidates))
        });
        if attempts.is_empty() {
            return Ok(Plan::abstain(
                "no-rule",
                "no rule holds that names a candidate of this model",
            ));
        }
        Ok(Plan {
            attempts,
            reason: Reason::new("default", "no rule holds"),
            attributes: Vec::new(),
        })
    }
}

pointsman_sdk::export_plugin!(RouteRules: router);

#[cfg(test)]
mod tests;
