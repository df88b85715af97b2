//! Account: meters → cost lines, by the policy's accountants.

use std::sync::Arc;

use pointsman_domain::Picos;
use pointsman_domain::usage::{Amount, CostLine, Meter, Usage};

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
        let usages = Arc::new(std::mem::take(&mut self.usages));
        for step in policy.steps(Phase::Account) {
            if !self.applies(step) {
                continue;
            }
            self.lend_vectors([step]);
            let call = self.call("account");
            let (on, given) = (Arc::clone(&step.step), Arc::clone(&usages));
            let outcome = self.run(async move { on.account(&call, &given).await });
            let outcome = outcome.await;
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
        self.cost.extend(unaccounted(&usages, &self.cost));
        self.usages = Arc::unwrap_or_clone(usages);
    }
}

/// Lines for the attempts that no accountant spoke of: what they used is unpriced, not free.
fn unaccounted(usages: &[Usage], cost: &[CostLine]) -> Vec<CostLine> {
    let is_silent = |usage: &&Usage| cost.iter().all(|line| line.attempt != usage.attempt);
    let lines = |usage: &Usage| {
        let line = |meter: &Meter| CostLine {
            attempt: usage.attempt,
            unit: meter.unit.clone(),
            quantity: meter.quantity,
            amount: Amount::Unpriced,
            attributes: Vec::new(),
        };
        usage.meters.iter().map(line).collect::<Vec<_>>()
    };
    usages.iter().filter(is_silent).flat_map(lines).collect()
}

/// The sum of the priced lines; what is unpriced is said beside it.
pub(super) fn sum(cost: &[CostLine]) -> Picos {
    let picos = |line: &CostLine| match line.amount {
        Amount::Exact(picos) | Amount::Estimated(picos) => picos,
        Amount::Unpriced => Picos(0),
    };
    cost.iter().map(picos).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_no_line_speaks_of_is_unpriced() {
        let meter = Meter {
            unit: "input-tokens".to_owned(),
            quantity: 7,
            estimated: true,
        };
        let usage = |attempt| Usage {
            attempt,
            target: "t".to_owned(),
            outcome: "error".to_owned(),
            meters: vec![meter.clone()],
            attributes: Vec::new(),
        };
        let priced = CostLine {
            attempt: 1,
            unit: "input-tokens".to_owned(),
            quantity: 7,
            amount: Amount::Exact(Picos(3)),
            attributes: Vec::new(),
        };
        let added = unaccounted(&[usage(0), usage(1)], &[priced]);
        let told: Vec<_> = added
            .iter()
            .map(|line| (line.attempt, line.quantity, line.amount))
            .collect();
        assert_eq!(told, [(0, 7, Amount::Unpriced)]);
    }
}
