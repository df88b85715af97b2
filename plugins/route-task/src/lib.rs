//! Routes to specialists by a label such as classify-task's.
//!
//! Promises: a label that is not sure enough counts as none; a specialist that cannot do the job is not tried; what
//! has no specialist is left to the next router, or goes to the targets named for it.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use pointsman_route::{EXPECTED_OUTPUT_TOKENS, Fit, Reads, Terms, plan};
use pointsman_sdk::{Label, Plan, Plugin, PluginError, Pool, Reason, Router, Value, View};
use serde::Deserialize;

/// Values that have specialists.
const VALUES_MAX: usize = 256;
/// Targets of a value.
const TARGETS_MAX: usize = 64;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Whose value tells.
    #[serde(default = "label")]
    label: String,
    /// Confidence that it needs.
    #[serde(default = "score_min")]
    score_min: f32,
    /// Targets by value, in the order of trying.
    specialists: BTreeMap<String, Vec<String>>,
    /// Targets of what has no specialist, and the fallbacks of specialists.
    #[serde(default)]
    others: Vec<String>,
    /// Capabilities that every target needs.
    #[serde(default)]
    require: Vec<String>,
}

fn label() -> String {
    "task".to_owned()
}

const fn score_min() -> f32 {
    0.5
}

/// The configured router.
#[derive(Debug)]
pub struct RouteTask {
    label: String,
    score_min: f32,
    specialists: BTreeMap<String, Vec<String>>,
    others: Vec<String>,
    terms: Terms,
}

impl Plugin for RouteTask {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        if config.label.is_empty() {
            return Err("label: name a label".to_owned());
        }
        if !(0.0..=1.0).contains(&config.score_min) {
            return Err("score-min: write 0 to 1".to_owned());
        }
        if config.specialists.is_empty() {
            return Err("specialists: name at least one".to_owned());
        }
        if config.specialists.len() > VALUES_MAX {
            return Err(format!("specialists: at most {VALUES_MAX} values"));
        }
        for (value, targets) in &config.specialists {
            check(&format!("specialists.{value}"), targets)?;
            if targets.is_empty() {
                return Err(format!("specialists.{value}: name at least one target"));
            }
        }
        check("others", &config.others)?;
        Ok(Self {
            label: config.label,
            score_min: config.score_min,
            specialists: config.specialists,
            others: config.others,
            terms: Terms::new(EXPECTED_OUTPUT_TOKENS, config.require)?,
        })
    }
}

impl Router for RouteTask {
    fn route(&self, request: &dyn View, pool: &dyn Pool) -> Result<Plan, PluginError> {
        let specialists = self.specialists_of(request.label(&self.label).as_ref());
        if specialists.is_empty() && self.others.is_empty() {
            let detail = format!("label `{}` names no specialist", self.label);
            return Ok(Plan::abstain("no-specialist", detail));
        }
        let fit = Fit::of(request, pool, &self.terms, Reads::default());
        let mut order: Vec<&str> = Vec::new();
        for target in specialists.iter().chain(&self.others) {
            if !order.contains(&target.as_str()) {
                order.push(target);
            }
        }
        let healthy = |target: &str| {
            let found = fit.candidates.iter().find(|known| known.name == target);
            found.map(|candidate| candidate.healthy)
        };
        let mut targets: Vec<(&str, bool)> = order
            .into_iter()
            .filter_map(|target| Some((target, healthy(target)?)))
            .collect();
        // Stable: within the healthy and the unhealthy the order stays.
        targets.sort_by_key(|(_, healthy)| !healthy);
        let code = match targets.first() {
            None => return Ok(fit.abstain()),
            Some((_, false)) => "unhealthy",
            Some((first, true)) if specialists.iter().any(|target| target == first) => "specialist",
            Some(_) => "general",
        };
        let reason = Reason::new(code, fit.misfits.to_string());
        let targets = targets.into_iter().map(|(target, _)| target.to_owned());
        Ok(plan(targets, reason))
    }
}

impl RouteTask {
    /// Those of the label's value; of a list, of the first value that has some. None where it is not sure enough.
    fn specialists_of(&self, label: Option<&Label>) -> &[String] {
        let Some(label) = label.filter(|label| label.score >= self.score_min) else {
            return &[];
        };
        let of = |value: &str| self.specialists.get(value).map(Vec::as_slice);
        let found = match &label.value {
            Value::Text(text) => of(text),
            Value::Texts(texts) => texts.iter().find_map(|text| of(text)),
            Value::Flag(flag) => of(&flag.to_string()),
            Value::Integer(number) => of(&number.to_string()),
            Value::Number(_) => None,
        };
        found.unwrap_or_default()
    }
}

fn check(key: &str, targets: &[String]) -> Result<(), String> {
    if targets.len() > TARGETS_MAX {
        return Err(format!("{key}: at most {TARGETS_MAX} targets"));
    }
    for (index, target) in targets.iter().enumerate() {
        if targets[..index].contains(target) {
            return Err(format!("{key}: `{target}` is named twice"));
        }
    }
    Ok(())
}

pointsman_sdk::export_plugin!(RouteTask: router);

#[cfg(test)]
mod tests {
    use pointsman_sdk::Label;
    use pointsman_sdk::testing::{Suite, configured};
    use serde_json::json;

    use super::RouteTask;

    #[test]
    fn cases_hold() {
        Suite::<RouteTask>::new()
            .router()
            .run(include_str!("../cases.jsonl"));
    }

    #[test]
    fn a_label_that_is_not_sure_enough_counts_as_none() {
        let config = json!({"specialists": {"code": ["a"]}, "score-min": 0.6});
        let plugin = configured::<RouteTask>(&config);
        let label = |score: f32| Label::new("task", "code").scored(score);
        assert!(plugin.specialists_of(Some(&label(0.59))).is_empty());
        assert_eq!(plugin.specialists_of(Some(&label(0.6))), ["a"]);
        assert!(plugin.specialists_of(None).is_empty());
    }
}
