//! What the router promises, from outside.

use std::collections::BTreeMap;

use pointsman_sdk::testing::{FakePool, FakeView, Suite, configured};
use pointsman_sdk::{Router as _, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::RouteRules;

#[test]
fn cases_hold() {
    Suite::<RouteRules>::new()
        .router()
        .run(include_str!("../cases.jsonl"));
}

fn pool(targets: &[(&str, bool)]) -> FakePool {
    targets
        .iter()
        .fold(FakePool::default(), |pool, (name, healthy)| {
            pool.with(name, [("healthy".to_owned(), Value::Flag(*healthy))])
        })
}

fn targets(plugin: &RouteRules, request: &FakeView, pool: &FakePool) -> Vec<String> {
    let plan = plugin.route(request, pool).expect("a plan");
    plan.attempts.into_iter().map(|a| a.target).collect()
}

fn conversation(id: u32) -> FakeView {
    FakeView::user("x").with_field("conversation", format!("{id:032x}"))
}

/// How many of 10,000 conversations each target is drawn for.
fn shares(config: &Json) -> BTreeMap<String, u32> {
    let plugin = configured::<RouteRules>(config);
    let pool = pool(&[("a", true), ("b", true), ("c", true)]);
    let mut shares = BTreeMap::new();
    for id in 0..10_000 {
        let first = targets(plugin, &conversation(id), &pool).remove(0);
        *shares.entry(first).or_insert(0) += 1;
    }
    shares
}

#[test]
fn shares_follow_weights() {
    let found = shares(&json!({"default": [
        {"target": "a", "weight": 70}, {"target": "b", "weight": 20}, {"target": "c", "weight": 10},
    ]}));
    for (target, wanted) in [("a", 7000_u32), ("b", 2000), ("c", 1000)] {
        // Five standard deviations.
        assert!(found[target].abs_diff(wanted) < 230, "{found:?}");
    }
}

#[test]
fn a_conversation_keeps_its_target_and_rules_draw_independently() {
    let targets_of = |name: &str| {
        let plugin = configured::<RouteRules>(&json!({"rules": [{
            "name": name, "if": {"field": "tenant", "is": "test"},
            "to": [{"target": "a", "weight": 1}, {"target": "b", "weight": 1}],
        }]}));
        let pool = pool(&[("a", true), ("b", true)]);
        (0..1000)
            .map(|id| targets(plugin, &conversation(id), &pool).remove(0))
            .collect::<Vec<_>>()
    };
    assert_eq!(targets_of("one"), targets_of("one"));
    let (one, two) = (targets_of("one"), targets_of("two"));
    let same = one.iter().zip(&two).filter(|(a, b)| a == b).count();
    assert!((400..600).contains(&same), "{same} of 1000 agree");
}

#[test]
fn a_draw_returns_to_its_target_once_that_is_well() {
    let plugin = configured::<RouteRules>(&json!({"default": [
        {"target": "a", "weight": 1}, {"target": "b", "weight": 1},
    ]}));
    for id in 0..100 {
        let request = conversation(id);
        let well = targets(plugin, &request, &pool(&[("a", true), ("b", true)]));
        let ill = targets(plugin, &request, &pool(&[("a", false), ("b", true)]));
        assert_eq!(ill, ["b", "a"]);
        assert_eq!(
            targets(plugin, &request, &pool(&[("a", true), ("b", true)])),
            well
        );
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

proptest! {
    #[test]
    fn a_plan_holds_each_named_candidate_once_and_the_well_before_the_ill(
        to in prop::sample::subsequence(&NAMES[..], 1..=5).prop_shuffle(),
        weights in prop::option::of(prop::collection::vec(1_u32..5, 5)),
        fallback in prop::collection::vec(prop::sample::select(&NAMES[..]), 0..4),
        present in prop::collection::btree_map(prop::sample::select(&NAMES[..]), any::<bool>(), 0..=5),
        conversation in ".{0,20}",
    ) {
        let to: Vec<Json> = match &weights {
            Some(weights) => to.iter().zip(weights)
                .map(|(target, weight)| json!({"target": target, "weight": weight})).collect(),
            None => to.iter().map(|target| json!(target)).collect(),
        };
        let named: Vec<&str> = to.iter()
            .map(|target| target.get("target").unwrap_or(target).as_str().expect("a name"))
            .chain(fallback.iter().copied())
            .collect();
        let plugin = configured::<RouteRules>(&json!({"rules": [{
            "if": {"field": "tenant", "is": "test"}, "to": to, "fallback": fallback,
        }]}));
        let candidates: Vec<(&str, bool)> = present.iter().map(|(name, well)| (*name, *well)).collect();
        let request = FakeView::user("x").with_field("conversation", conversation);
        let plan = targets(plugin, &request, &pool(&candidates));
        let mut sorted = plan.clone();
        sorted.sort();
        let wanted: Vec<&str> = present.keys().copied().filter(|name| named.contains(name)).collect();
        prop_assert_eq!(sorted, wanted);
        let well: Vec<bool> = plan.iter().map(|name| present[name.as_str()]).collect();
        prop_assert!(well.is_sorted_by(|first, second| first >= second), "{:?}", plan);
    }
}
