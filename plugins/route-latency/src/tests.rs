//! What the router promises, from outside.

use std::collections::BTreeMap;

use pointsman_sdk::Router as _;
use pointsman_sdk::testing::{FakeHost, FakePool, FakeView, Suite, configured};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::RouteLatency;

#[test]
fn cases_hold() {
    Suite::<RouteLatency>::new()
        .router()
        .run(include_str!("../cases.jsonl"));
}

fn targets(config: &Json, pool: &Json) -> Vec<String> {
    let plan = configured::<RouteLatency>(config)
        .route(&FakeView::user("x"), &FakePool::from_json(pool))
        .expect("a plan");
    plan.attempts
        .into_iter()
        .map(|attempt| attempt.target)
        .collect()
}

/// How many of 2,000 draws each target is first in.
fn firsts(config: &Json, pool: &Json) -> BTreeMap<String, u32> {
    FakeHost {
        seed: 7,
        ..FakeHost::default()
    }
    .install();
    let mut firsts = BTreeMap::new();
    for _ in 0..2000 {
        *firsts.entry(targets(config, pool).remove(0)).or_default() += 1;
    }
    firsts
}

#[test]
fn what_is_unknown_is_tried_now_and_then_and_before_what_is_slow() {
    let pool = json!({
        "quick": {"ttft-p50-ms": 100}, "slow": {"ttft-p50-ms": 900},
        "new": {}, "newer": {}, "ill": {"healthy": false},
    });
    let firsts = firsts(&json!({"explore": 0.1}), &pool);
    let explored = firsts["new"] + firsts["newer"];
    assert!((130..270).contains(&explored), "{firsts:?}");
    assert!(firsts["new"] > 50 && firsts["newer"] > 50, "{firsts:?}");
    assert_eq!(firsts["quick"] + explored, 2000, "{firsts:?}");
}

#[test]
fn where_all_is_known_any_other_is_looked_at_again() {
    let pool = json!({
        "quick": {"ttft-p50-ms": 100}, "slow": {"ttft-p50-ms": 900}, "slower": {"ttft-p50-ms": 1900},
    });
    let firsts = firsts(&json!({"explore": 0.1}), &pool);
    assert!(firsts["slow"] > 50 && firsts["slower"] > 50, "{firsts:?}");
    assert!(firsts["quick"] > 1700, "{firsts:?}");
}

proptest! {
    #[test]
    fn every_target_is_planned_once_and_none_before_a_quicker_one(
        rows in prop::collection::vec((any::<bool>(), prop::option::of(0_u32..500), 0_u32..=20), 0..6),
    ) {
        let pool = Json::Object(rows.iter().enumerate().map(|(index, (healthy, ttft, failures))| {
            let mut row = json!({"healthy": healthy, "error-rate": f64::from(*failures) / 20.0});
            if let Some(ttft) = ttft {
                row["ttft-p50-ms"] = json!(ttft);
            }
            (format!("t{index}"), row)
        }).collect());
        let plan = targets(&json!({"explore": 0, "tolerance": 0}), &pool);
        let mut sorted = plan.clone();
        sorted.sort();
        let wanted: Vec<String> = (0..rows.len()).map(|index| format!("t{index}")).collect();
        prop_assert_eq!(sorted, wanted);
        let rank = |name: &String| {
            let row = &pool[name];
            let wait = row["ttft-p50-ms"].as_f64()
                .map(|ms| ms / (1.0 - row["error-rate"].as_f64().expect("a rate").min(0.95)));
            (row["healthy"] == json!(false), wait.is_none(), wait)
        };
        prop_assert!(plan.is_sorted_by(|one, next| rank(one) <= rank(next)), "{:?}", plan);
    }
}
