//! What the router promises, from outside.

use pointsman_sdk::Router as _;
use pointsman_sdk::testing::{FakePool, FakeView, Suite, configured};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::RouteCostQuality;

#[test]
fn cases_hold() {
    Suite::<RouteCostQuality>::new()
        .router()
        .run(include_str!("../cases.jsonl"));
}

proptest! {
    /// Against what is said of it: no target stands before one that is better for the request.
    #[test]
    fn every_target_is_planned_once_and_in_the_order_that_is_promised(
        rows in prop::collection::vec(
            (any::<bool>(), prop::option::of(0_u32..4), prop::option::of(0_i64..3)), 0..6),
        least in 0_u32..4,
    ) {
        let pool = Json::Object(rows.iter().enumerate().map(|(index, (healthy, quality, price))| {
            let mut row = json!({"healthy": healthy});
            if let Some(quality) = quality {
                row["quality"] = json!(quality);
            }
            if let Some(price) = price {
                row["price-input-pico-usd"] = json!(price);
                row["price-output-pico-usd"] = json!(price);
            }
            (format!("t{index}"), row)
        }).collect());
        let plan = configured::<RouteCostQuality>(&json!({"quality-min": least}))
            .route(&FakeView::user("x"), &FakePool::from_json(&pool)).expect("a plan");
        let plan: Vec<String> = plan.attempts.into_iter().map(|attempt| attempt.target).collect();
        let mut sorted = plan.clone();
        sorted.sort();
        prop_assert_eq!(sorted, (0..rows.len()).map(|index| format!("t{index}")).collect::<Vec<_>>());
        let ranks: Vec<_> = plan.iter().map(|name| {
            let row = &pool[name];
            let quality = row["quality"].as_i64();
            let enough = quality.is_some_and(|quality| quality >= i64::from(least));
            let price = row["price-input-pico-usd"].as_i64();
            let worse = if enough { 0 } else { quality.map_or(9, |quality| 4 - quality) };
            (row["healthy"] == json!(false), !enough, worse, price.is_none(), price)
        }).collect();
        prop_assert!(ranks.is_sorted(), "{:?}", ranks);
    }
}
