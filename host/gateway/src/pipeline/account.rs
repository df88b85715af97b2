//! Account: meters → cost lines, by the policy's accountants.

use std::sync::Arc;

use pointsman_domain::Picos;
use pointsman_domain::usage::{Amount, CostLine};

use pointsman_policy::policy::Phase;

use super::decide::{failed, ran};
use super::deliberation::Deliberation;

impl Deliberation {
    /// Prices what was used. Without an accountant, or after its failure, every line says `unpriced`.
    pub(super) async fn account(&mut self) {
        if self.usages.is_empty() {
            return;
        }
        let policy = Arc::clone(&self.policy);
        let usages = std::mem::take(&mut self.usages);
        for step in policy.steps(Phase::Account) {
            if !self.applies(step) {
                continue;
            }
            let call = self.call("account");
            let outcome = step.step.account(&call, &usages).await;
            drop(call);
            match outcome.result {
                Ok(lines) => {
                    self.later_steps.push(ran(
                        step,
                        &outcome.stats,
                        "cost",
                        format!("{} lines", lines.len()),
                    ));
                    self.cost = lines;
                    break;
                }
                // The answer has gone out: `deny` can only mean that nothing is priced, loudly.
                Err(failure) => self
                    .later_steps
                    .push(failed(step, &outcome.stats, failure).0),
            }
        }
        if self.cost.is_empty() {
            for usage in &usages {
                let line = |meter: &pointsman_domain::usage::Meter| CostLine {
                    attempt: usage.attempt,
                    unit: meter.unit.clone(),
                    quantity: meter.quantity,
                    amount: Amount::Unpriced,
                    attributes: Vec::new(),
                };
                self.cost.extend(usage.meters.iter().map(line));
            }
        }
        self.usages = usages;
    }
}

/// The sum of the priced lines; what is unpriced is said beside it.
pub(super) fn sum(cost: &[CostLine]) -> Picos {
    let picos = |line: &CostLine| match line.amount {
        Amount::Exact(picos) | Amount::Estimated(picos) => picos,
        Amount::Unpriced => Picos(0),
    };
    cost.iter().map(picos).sum()
}
