//! As a router: the first rule that holds names the targets.

use pointsman_route::{Fit, Reads, Terms, plan};
use pointsman_sdk::{Plan, PluginError, Pool, Reason, Router, View};

use crate::facts::Facts;
use crate::rule::{End, Rule};
use crate::{Rules, misplaced};

impl Router for Rules {
    fn route(&self, request: &dyn View, pool: &dyn Pool) -> Result<Plan, PluginError> {
        self.guards_nothing()?;
        if let Some(rule) = self.rules.iter().find(|rule| !rule.labels.is_empty()) {
            return Err(misplaced(rule, "sets labels", "classify or guard-request"));
        }
        let facts = Facts::new(&self.names, request, self.text_bytes);
        let mut fit = None;
        let mut silent = 0;
        for (index, rule) in self.rules.iter().enumerate() {
            match rule.condition.holds(&self.env, &facts) {
                Ok(false) => {}
                Ok(true) if matches!(rule.end, End::Allow) => break,
                Ok(true) => {
                    let fit = fit.get_or_insert_with(|| {
                        Fit::of(request, pool, &Terms::default(), Reads::default())
                    });
                    if let Some(plan) = planned(rule, index, fit) {
                        return Ok(plan);
                    }
                }
                // A condition without an answer does not hold; that it had none is told.
                Err(_) => silent += 1,
            }
        }
        let detail = format!("no rule names a target that can do it; {silent} had no answer");
        Ok(Plan::abstain("no-rule", detail))
    }
}

/// The rule's targets that can do the job, the healthy first; none where no target can.
fn planned(rule: &Rule, index: usize, fit: &Fit) -> Option<Plan> {
    let healthy = |target: &String| {
        let found = fit.candidates.iter().find(|known| known.name == *target);
        found.map(|candidate| candidate.healthy)
    };
    let mut targets: Vec<(&String, bool)> = rule
        .route
        .iter()
        .filter_map(|target| Some((target, healthy(target)?)))
        .collect();
    // Stable: within the healthy and the unhealthy the order stays.
    targets.sort_by_key(|(_, healthy)| !healthy);
    if targets.is_empty() {
        return None;
    }
    let reason = Reason::new(format!("rule.{}", index + 1), rule.name.clone());
    let targets = targets.into_iter().map(|(target, _)| target.clone());
    Some(plan(targets, reason))
}
