//! The most that a plan can come to, whatever fails: which tries there may be, and what the dearest of them cost.

use pointsman_domain::Picos;
use pointsman_domain::plan::Plan;

use super::check::{self, ATTEMPTS_MAX, RETRIES};
use super::{ExecuteSettings, saturated};

/// How often the attempts of a plan may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Tries of each planned attempt.
    tries: Vec<u32>,
    /// Tries in all.
    all: u32,
}

impl Bounds {
    /// As [`super::Attempts`] will execute it.
    #[must_use]
    pub fn of(plan: &Plan, settings: &ExecuteSettings) -> Self {
        let all = check::integer(&plan.attributes, ATTEMPTS_MAX)
            .map_or(settings.attempts_max, |max| {
                saturated(max).min(settings.attempts_max)
            });
        let tries = plan.attempts.iter().map(|attempt| {
            let retries = check::integer(&attempt.attributes, RETRIES);
            let retries = retries.map_or(settings.retries, saturated);
            retries.saturating_add(1).min(all)
        });
        Self {
            tries: tries.collect(),
            all,
        }
    }

    /// What all tries together may cost, where each may be billed: a try that fails late was paid for. `costs` are of
    /// one try of each planned attempt; the sum is over the dearest that can happen.
    #[must_use]
    pub fn dearest(&self, costs: &[Picos]) -> Picos {
        let mut costs: Vec<_> = costs.iter().copied().zip(self.tries.iter()).collect();
        costs.sort_unstable_by(|a, b| b.cmp(a));
        let mut left = self.all;
        let mut sum = Picos(0);
        for (cost, tries) in costs {
            if cost <= Picos(0) {
                break;
            }
            let tries = left.min(*tries);
            sum += Picos(cost.0.saturating_mul(i128::from(tries)));
            left -= tries;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use pointsman_domain::plan::PlannedAttempt;
    use pointsman_domain::value::{Attribute, Reason, Value};
    use proptest::prelude::*;

    use super::super::{Attempts, Failure, Next};
    use super::*;

    fn number(key: &str, value: u32) -> Attribute {
        Attribute {
            key: key.to_owned(),
            value: Value::Integer(i64::from(value)),
        }
    }

    fn plan(retries: &[Option<u32>], attempts_max: Option<u32>) -> Plan {
        let attempt = |(index, retries): (usize, &Option<u32>)| PlannedAttempt {
            target: index.to_string(),
            attributes: retries.iter().map(|n| number(RETRIES, *n)).collect(),
        };
        Plan {
            attempts: retries.iter().enumerate().map(attempt).collect(),
            reason: Reason::default(),
            attributes: attempts_max
                .iter()
                .map(|n| number(ATTEMPTS_MAX, *n))
                .collect(),
        }
    }

    fn settings(attempts_max: u32, retries: u32) -> ExecuteSettings {
        ExecuteSettings {
            attempts_max,
            retries,
            ..ExecuteSettings::default()
        }
    }

    #[test]
    fn retries_count_and_what_cannot_be_tried_does_not() {
        let costs = [Picos(5), Picos(7), Picos(1)];
        let dearest = |retries: &[Option<u32>], max, settings: &ExecuteSettings| {
            Bounds::of(&plan(retries, max), settings).dearest(&costs).0
        };
        assert_eq!(dearest(&[None; 3], None, &settings(3, 0)), 13);
        assert_eq!(dearest(&[None; 3], None, &settings(2, 0)), 12);
        assert_eq!(dearest(&[None; 3], Some(1), &settings(3, 0)), 7);
        assert_eq!(dearest(&[Some(1), None, None], None, &settings(3, 0)), 17);
        assert_eq!(dearest(&[None; 3], None, &settings(3, 9)), 21);
        assert_eq!(dearest(&[], None, &settings(3, 0)), 0);
    }

    proptest! {
        /// Whatever fails how, the tries that are made cost no more.
        #[test]
        fn no_run_costs_more(
            planned in prop::collection::vec((prop::option::of(0_u32..4), 0_i128..50), 1..6),
            max in prop::option::of(1_u32..6),
            (attempts_max, retries) in (1_u32..6, 0_u32..3),
            failures in prop::collection::vec(0_u8..4, 0..12),
        ) {
            let (retried, costs): (Vec<_>, Vec<_>) = planned.iter().copied().unzip();
            let costs: Vec<_> = costs.into_iter().map(Picos).collect();
            let plan = plan(&retried, max);
            let settings = settings(attempts_max, retries);
            let most = Bounds::of(&plan, &settings).dearest(&costs);
            let mut attempts = Attempts::new(&plan, settings, 0);
            let (mut now, mut spent) = (0, Picos(0));
            let mut failures = failures.into_iter().cycle();
            loop {
                match attempts.next(now) {
                    Next::Wait { until_ms } => now = until_ms,
                    Next::GiveUp(_) => break,
                    Next::Try(attempt) => {
                        spent += costs[attempt.target.parse::<usize>().expect("an index")];
                        let failure = match failures.next() {
                            Some(0) => Failure::Timeout,
                            Some(1) => Failure::Egress,
                            // Never reported: the next target follows.
                            Some(2) => continue,
                            _ => Failure::Status(500),
                        };
                        attempts.failed(failure, None, now);
                    }
                }
            }
            prop_assert!(spent <= most, "{spent} spent of at most {most}");
        }
    }
}
