//! What the router promises, from outside.

use std::collections::BTreeMap;

use pointsman_sdk::Router as _;
use pointsman_sdk::testing::{FakePool, FakeView, Suite, configured};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::RouteWeighted;

#[test]
fn cases_hold() {
    Suite::<RouteWeighted>::new()
        .router()
        .run(include_str!("../cases.jsonl"));
}

fn targets(config: &Json, pool: &Json, conversation: u32) -> Vec<String> {
    let request = FakeView::user("x").with_field("conversation", format!("{conversation:032x}"));
    let plan = configured::<RouteWeighted>(config)
        .route(&request, &FakePool::from_json(pool))
        .expect("a plan");
    plan.attempts
        .into_iter()
        .map(|attempt| attempt.target)
        .collect()
}

fn pool(names: &[&str]) -> Json {
    let row = |name: &&str| ((*name).to_owned(), json!({"healthy": true}));
    Json::Object(names.iter().map(row).collect())
}

#[test]
fn shares_follow_weights() {
    let config = json!({"weights": {"a": 70, "b": 20, "c": 10}});
    let pool = pool(&["a", "b", "c"]);
    let mut shares: BTreeMap<String, u32> = BTreeMap::new();
    for conversation in 0..10_000 {
        *shares
            .entry(targets(&config, &pool, conversation).remove(0))
            .or_default() += 1;
    }
    for (target, wanted) in [("a", 7000_u32), ("b", 2000), ("c", 1000)] {
        // Five standard deviations.
        assert!(shares[target].abs_diff(wanted) < 230, "{shares:?}");
    }
}

#[test]
fn a_change_of_one_weight_moves_only_what_that_target_wins_or_loses() {
    let before = json!({"weights": {"a": 1, "b": 1, "c": 1}});
    let after = json!({"weights": {"a": 1, "b": 2, "c": 1}});
    let pool = pool(&["a", "b", "c"]);
    let mut moved = 0;
    for conversation in 0..2000 {
        let (one, other) = (
            targets(&before, &pool, conversation),
            targets(&after, &pool, conversation),
        );
        if one[0] != other[0] {
            moved += 1;
            assert_eq!(other[0], "b");
        }
    }
    // From a third to a half of all.
    assert!((240..430).contains(&moved), "{moved}");
}

#[test]
fn another_salt_draws_independently() {
    let with = |salt: &str| json!({"weights": {"a": 1, "b": 1}, "salt": salt});
    let pool = pool(&["a", "b"]);
    let same = (0..1000).filter(|conversation| {
        targets(&with("one"), &pool, *conversation) == targets(&with("two"), &pool, *conversation)
    });
    assert!((400..600).contains(&same.count()));
}

proptest! {
    #[test]
    fn a_plan_holds_each_weighted_candidate_once_the_well_before_the_ill_and_weight_before_none(
        weights in prop::collection::btree_map("[a-e]", 0_u32..3, 1..=5),
        present in prop::collection::btree_map("[a-f]", any::<bool>(), 0..=6),
        conversation in any::<u32>(),
    ) {
        prop_assume!(weights.values().any(|weight| *weight > 0));
        let pool = Json::Object(present.iter()
            .map(|(name, well)| (name.clone(), json!({"healthy": well}))).collect());
        let plan = targets(&json!({"weights": weights}), &pool, conversation);
        let mut sorted = plan.clone();
        sorted.sort();
        let wanted: Vec<String> = present.keys().filter(|name| weights.contains_key(*name)).cloned().collect();
        prop_assert_eq!(sorted, wanted);
        let ranks: Vec<_> = plan.iter().map(|name| (!present[name], weights[name] == 0)).collect();
        prop_assert!(ranks.is_sorted(), "{:?}", plan);
    }
}
