use pointsman_domain::Value;
use pointsman_domain::plan::{Plan, PlannedAttempt};
use pointsman_domain::value::{Attribute, Reason};
use proptest::prelude::*;

use super::*;

fn attribute(key: &str, value: impl Into<Value>) -> Attribute {
    Attribute {
        key: key.to_owned(),
        value: value.into(),
    }
}

fn at(target: &str, attributes: Vec<Attribute>) -> PlannedAttempt {
    PlannedAttempt {
        target: target.to_owned(),
        attributes,
    }
}

fn plan(attempts: Vec<PlannedAttempt>, attributes: Vec<Attribute>) -> Plan {
    Plan {
        attempts,
        reason: Reason::default(),
        attributes,
    }
}

/// Runs a plan whose tries fail as told, a millisecond each; waits are slept. One word a step.
fn trace(plan: &Plan, settings: &ExecuteSettings, failures: &[(Failure, Option<u64>)]) -> String {
    let mut attempts = Attempts::new(plan, settings.clone(), 0);
    let mut now = 0;
    let mut steps = Vec::new();
    let mut failures = failures.iter();
    loop {
        match attempts.next(now) {
            Next::Try(attempt) => {
                steps.push(format!("{}@{now}", attempt.target));
                now += 1;
                let Some((failure, retry_after_ms)) = failures.next() else {
                    return steps.join(" ");
                };
                attempts.failed(*failure, *retry_after_ms, now);
            }
            Next::Wait { until_ms } => now = until_ms,
            Next::GiveUp(why) => {
                steps.push(format!("{why:?}"));
                return steps.join(" ");
            }
        }
    }
}

const BUSY: (Failure, Option<u64>) = (Failure::Status(503), None);

#[test]
fn failed_target_is_followed_by_the_next_at_once() {
    let plan = plan(vec![at("a", vec![]), at("b", vec![])], vec![]);
    let told = trace(&plan, &ExecuteSettings::default(), &[BUSY, BUSY]);
    assert_eq!(told, "a@0 b@1 PlanExhausted");
}

#[test]
fn same_target_is_retried_with_doubling_pauses() {
    let plan = plan(vec![at("a", vec![attribute("retries", 3_i64)])], vec![]);
    let settings = ExecuteSettings {
        attempts_max: 9,
        backoff_ms_max: 150,
        ..ExecuteSettings::default()
    };
    let told = trace(&plan, &settings, &[BUSY; 4]);
    assert_eq!(told, "a@0 a@101 a@252 a@403 PlanExhausted");
}

#[test]
fn retry_after_is_waited_for_where_it_fits() {
    let plan = plan(
        vec![at("a", vec![attribute("retries", 1_i64)]), at("b", vec![])],
        vec![],
    );
    let settings = ExecuteSettings::default();
    let limited = |ms| [(Failure::Status(429), Some(ms)), BUSY];
    assert_eq!(
        trace(&plan, &settings, &limited(5_000)),
        "a@0 a@5001 b@5002"
    );
    assert_eq!(
        trace(&plan, &settings, &limited(500_000)),
        "a@0 b@1 PlanExhausted"
    );
    assert_eq!(
        trace(&plan, &settings, &limited(u64::MAX)),
        "a@0 b@1 PlanExhausted"
    );
}

#[test]
fn failure_that_is_not_retried_ends_the_plan() {
    let plan = plan(vec![at("a", vec![]), at("b", vec![])], vec![]);
    for failure in [Failure::Status(401), Failure::Egress] {
        let told = trace(&plan, &ExecuteSettings::default(), &[(failure, None)]);
        assert_eq!(told, "a@0 NotRetryable");
    }
}

#[test]
fn egress_refusal_is_never_retried_at_the_same_target() {
    let plan = plan(
        vec![at("a", vec![attribute("retries", 5_i64)]), at("b", vec![])],
        vec![],
    );
    let settings = ExecuteSettings {
        retry_on: RetryOn::new(["egress"]).expect("known"),
        ..ExecuteSettings::default()
    };
    assert_eq!(
        trace(&plan, &settings, &[(Failure::Egress, None)]),
        "a@0 b@1"
    );
}

#[test]
fn plan_tightens_bounds_and_cannot_loosen_them() {
    let three = || vec![at("a", vec![]), at("b", vec![]), at("c", vec![])];
    let settings = ExecuteSettings {
        attempts_max: 2,
        deadline_ms: 100,
        ..ExecuteSettings::default()
    };
    let attempts_max = |n: i64| plan(three(), vec![attribute("attempts-max", n)]);
    assert_eq!(
        trace(&attempts_max(1), &settings, &[BUSY; 3]),
        "a@0 AttemptsMax"
    );
    assert_eq!(
        trace(&attempts_max(9), &settings, &[BUSY; 3]),
        "a@0 b@1 AttemptsMax"
    );
    let deadline = |ms: i64| plan(three(), vec![attribute("deadline-ms", ms)]);
    assert_eq!(trace(&deadline(1), &settings, &[BUSY; 3]), "a@0 Deadline");
    let mut attempts = Attempts::new(&deadline(500), settings, 7);
    let Next::Try(attempt) = attempts.next(7) else {
        panic!("a try")
    };
    assert_eq!(attempt.deadline_at_ms, 107);
}

#[test]
fn try_carries_the_plans_parameters_within_the_deadline() {
    let attributes = vec![
        attribute("timeout-ms", 4_000_i64),
        attribute("first-token-timeout-ms", 900_i64),
        attribute("model", "small"),
    ];
    let plan = plan(vec![at("a", attributes)], vec![]);
    let mut attempts = Attempts::new(&plan, ExecuteSettings::default(), 50);
    let expected = Try {
        index: 0,
        target: "a".to_owned(),
        model: Some("small".to_owned()),
        connect_timeout_ms: 2_000,
        first_token_timeout_ms: 900,
        idle_timeout_ms: 4_000,
        deadline_at_ms: 4_050,
    };
    assert_eq!(attempts.next(50), Next::Try(expected));
}

#[test]
fn empty_plan_and_no_attempts_allowed_end_at_once() {
    let settings = ExecuteSettings::default();
    assert_eq!(
        trace(&plan(vec![], vec![]), &settings, &[]),
        "PlanExhausted"
    );
    let none = ExecuteSettings {
        attempts_max: 0,
        ..settings
    };
    assert_eq!(
        trace(&plan(vec![at("a", vec![])], vec![]), &none, &[]),
        "AttemptsMax"
    );
}

#[test]
fn check_names_what_it_refuses() {
    let attempt = |attribute| plan(vec![at("a", vec![attribute])], vec![]);
    let refused = |plan: &Plan| check(plan).expect_err("refused");
    assert_eq!(check(&attempt(attribute("retries", 0_i64))), Ok(()));
    assert!(
        refused(&attempt(attribute("hedge-after-ms", 5_i64)))
            .contains("`hedge-after-ms` is not supported")
    );
    assert!(refused(&attempt(attribute("colour", "red"))).contains("`colour` is unknown"));
    assert!(refused(&attempt(attribute("timeout-ms", 0_i64))).contains("at least 1"));
    assert!(refused(&attempt(attribute("timeout-ms", 1.5))).contains("whole number"));
    assert!(refused(&attempt(attribute("retries", -1_i64))).contains("at least 0"));
    assert!(refused(&attempt(attribute("model", ""))).contains("a model's name"));
    let twice = vec![attribute("retries", 1_i64), attribute("retries", 2_i64)];
    assert!(refused(&plan(vec![at("a", twice)], vec![])).contains("given twice"));
    let strange = plan(vec![], vec![attribute("retries", 1_i64)]);
    assert!(refused(&strange).starts_with("the plan's attribute `retries` is unknown"));
    let long = attempt(attribute(&"ü".repeat(10_000), 1_i64));
    assert!(refused(&long).len() < 300);
}

#[test]
fn retry_words_are_read_and_strangers_refused() {
    let retry_on = RetryOn::new(["connect", "429", "5xx"]).expect("known words");
    assert!(retry_on.covers(Failure::Connect));
    assert!(retry_on.covers(Failure::Status(429)));
    assert!(retry_on.covers(Failure::Status(502)));
    assert!(retry_on.covers(Failure::InStream));
    assert!(!retry_on.covers(Failure::Timeout));
    assert!(!retry_on.covers(Failure::Status(404)));
    assert!(!RetryOn::new([]).expect("none").covers(Failure::Connect));
    for word in ["", "4xx", "200", "600", "Connect", "-1"] {
        assert_eq!(RetryOn::new([word]), Err(UnknownRetryWord(word.to_owned())));
    }
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        Just(Failure::Connect),
        Just(Failure::Timeout),
        Just(Failure::InStream),
        Just(Failure::Protocol),
        Just(Failure::Egress),
        (100u16..700).prop_map(Failure::Status),
    ]
}

fn any_attribute() -> impl Strategy<Value = Attribute> {
    let key = prop_oneof![
        Just("timeout-ms"),
        Just("first-token-timeout-ms"),
        Just("retries"),
        Just("deadline-ms"),
        Just("attempts-max"),
        Just("other"),
    ];
    let value = prop_oneof![any::<i64>(), -3i64..300];
    (key, value).prop_map(|(key, value)| attribute(key, value))
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let attributes = || prop::collection::vec(any_attribute(), 0..4);
    let attempts = prop::collection::vec(attributes(), 0..8).prop_map(|all| {
        let named = |(index, attributes): (usize, _)| at(&index.to_string(), attributes);
        all.into_iter().enumerate().map(named).collect()
    });
    (attempts, attributes()).prop_map(|(attempts, attributes)| plan(attempts, attributes))
}

fn any_settings() -> impl Strategy<Value = ExecuteSettings> {
    let time = || prop_oneof![0u64..2_000, any::<u64>()];
    (0u32..20, time(), 0u32..5, time(), time()).prop_map(
        |(attempts_max, deadline_ms, retries, backoff_ms, backoff_ms_max)| ExecuteSettings {
            attempts_max,
            deadline_ms,
            retries,
            backoff_ms,
            backoff_ms_max,
            ..ExecuteSettings::default()
        },
    )
}

proptest! {
    /// Whatever fails however: it ends, within both bounds, in the plan's order, skipping no target.
    #[test]
    fn attempts_end_within_their_bounds_and_in_order(
        plan in any_plan(),
        settings in any_settings(),
        start in any::<u64>(),
        script in prop::collection::vec((failure(), prop::option::of(0u64..5_000), 0u64..500), 1..20),
    ) {
        let attempts_max = settings.attempts_max;
        let deadline_at = start.saturating_add(settings.deadline_ms);
        let mut attempts = Attempts::new(&plan, settings, start);
        let mut now = start;
        let mut tried: Vec<usize> = Vec::new();
        let mut script = script.into_iter().cycle();
        // A try is followed by at most one wait.
        for step in 0..=2 * attempts_max + 1 {
            prop_assert!(step <= 2 * attempts_max, "it did not end");
            match attempts.next(now) {
                Next::Try(attempt) => {
                    prop_assert!(now < deadline_at);
                    prop_assert!(attempt.deadline_at_ms <= deadline_at);
                    prop_assert!(attempt.connect_timeout_ms <= attempt.deadline_at_ms - now);
                    prop_assert!(attempt.first_token_timeout_ms <= attempt.deadline_at_ms - now);
                    prop_assert_eq!(attempt.index as usize, tried.len());
                    let position: usize = attempt.target.parse().expect("targets are numbered");
                    let in_order = tried.last().map_or(position == 0, |&last| position == last || position == last + 1);
                    prop_assert!(in_order);
                    tried.push(position);
                    let (failure, retry_after_ms, took_ms) = script.next().expect("endless");
                    now = now.saturating_add(took_ms);
                    attempts.failed(failure, retry_after_ms, now);
                }
                Next::Wait { until_ms } => {
                    prop_assert!(now < until_ms && until_ms < deadline_at);
                    now = until_ms;
                }
                Next::GiveUp(why) => {
                    prop_assert_eq!(attempts.next(now), Next::GiveUp(why));
                    break;
                }
            }
        }
        prop_assert!(tried.len() <= attempts_max as usize);
    }

    /// Without other bounds, retryable failures walk through every planned target.
    #[test]
    fn every_planned_target_is_tried(targets in 1usize..10, retries in 0u32..3) {
        let attempts = (0..targets).map(|index| at(&index.to_string(), vec![])).collect();
        let settings = ExecuteSettings { attempts_max: 100, retries, ..ExecuteSettings::default() };
        let told = trace(&plan(attempts, vec![]), &settings, &[BUSY; 100]);
        for index in 0..targets {
            let visits = told.split(' ').filter(|step| step.starts_with(&format!("{index}@"))).count();
            prop_assert_eq!(visits, retries as usize + 1);
        }
        prop_assert!(told.ends_with("PlanExhausted"));
    }

    /// A plan that passes the check loses no attribute to silence, and one that fails it never panics.
    #[test]
    fn check_and_attempts_take_any_plan(plan in any_plan()) {
        let known = |key: &str| check::integer(&plan.attributes, key).is_some();
        if check(&plan).is_ok() {
            let all_known = plan.attributes.iter().all(|attribute| known(&attribute.key));
            prop_assert!(all_known);
        }
        let _first = Attempts::new(&plan, ExecuteSettings::default(), 0).next(0);
    }
}
