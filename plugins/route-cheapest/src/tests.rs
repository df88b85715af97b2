//! What the router promises, from outside.

use pointsman_sdk::testing::{FakePool, FakeView, Suite, configured};
use pointsman_sdk::{Plan, Pool as _, Router as _, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::RouteCheapest;

#[test]
fn cases_hold() {
    Suite::<RouteCheapest>::new()
        .router()
        .run(include_str!("../cases.jsonl"));
}

fn route(config: &Json, request: &FakeView, pool: &Json) -> Plan {
    configured::<RouteCheapest>(config)
        .route(request, &FakePool::from_json(pool))
        .expect("a plan")
}

#[test]
fn the_reason_states_the_expected_cost() {
    let request = FakeView::user("x").with_field("input-tokens-estimate", 1000_i64);
    let pool = json!({"a": {"price-input-pico-usd": 150_000, "price-output-pico-usd": 600_000}});
    let plan = route(&json!({}), &request, &pool);
    let cost = &plan.reason.attributes[0];
    assert_eq!(cost.key, "expected-cost-pico-usd");
    assert_eq!(cost.value, Value::Integer(1000 * 150_000 + 512 * 600_000));
}

#[test]
fn an_abstention_says_what_is_missing() {
    let request = FakeView::from_chat(&json!({"messages": [], "stream": true, "max_tokens": 50}));
    let pool = json!({
        "a": {}, "b": {"capabilities": []},
        "c": {"capabilities": ["streaming"], "context-tokens": 10},
        "d": {"capabilities": ["streaming"], "max-output-tokens": 49},
    });
    let plan = route(&json!({}), &request, &pool);
    assert_eq!(
        plan.reason.detail,
        "0 of 4 candidates fit, 2 lack a capability, 1 have too small a context, 1 write less than is asked"
    );
}

#[test]
fn a_request_of_more_parts_than_are_looked_at_is_taken_to_need_vision() {
    let parts = |count| {
        let part = json!({"type": "text", "text": "x"});
        let content = vec![part; count];
        FakeView::from_chat(&json!({"messages": [{"role": "user", "content": content}]}))
    };
    let pool = json!({"blind": {}, "seeing": {"capabilities": ["vision"]}});
    let names = |count| {
        let plan = route(&json!({}), &parts(count), &pool);
        plan.attempts
            .into_iter()
            .map(|a| a.target)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(4095), ["blind", "seeing"]);
    assert_eq!(names(4096), ["seeing"]);
}

fn any_target() -> impl Strategy<Value = Json> {
    let price = || prop::option::of(prop_oneof![-1_i64..4, any::<i64>()]);
    (
        (price(), price()),
        any::<bool>(),
        prop::option::of(0_i64..2000),
        prop::sample::subsequence(vec!["streaming", "tools"], 0..=2),
        prop::option::of(0_i64..3),
    )
        .prop_map(|((input, output), healthy, context, capabilities, ttft)| {
            let mut row = json!({"healthy": healthy, "capabilities": capabilities});
            let cells = [
                ("price-input-pico-usd", input),
                ("price-output-pico-usd", output),
                ("context-tokens", context),
                ("ttft-p50-ms", ttft),
            ];
            for (key, cell) in cells {
                if let Some(cell) = cell {
                    row[key] = cell.into();
                }
            }
            row
        })
}

proptest! {
    /// Against a model that is written the slow way round: pairwise, from the JSON.
    #[test]
    fn every_fitting_target_is_planned_once_and_none_before_a_better_one(
        targets in prop::collection::vec(any_target(), 0..6),
        input in prop_oneof![0_i64..1500, 0..=i64::MAX],
        asked in prop::option::of(1_i64..1000),
        choices in prop_oneof![1_i64..4, any::<i64>()],
        streaming in any::<bool>(),
    ) {
        let pool: Json = Json::Object(targets.iter().enumerate()
            .map(|(index, row)| (format!("t{index}"), row.clone())).collect());
        let mut request = FakeView::user("x")
            .with_field("input-tokens-estimate", input)
            .with_field("n", choices)
            .with_field("streaming", streaming);
        if let Some(asked) = asked {
            request = request.with_field("max-output-tokens", asked);
        }
        let plan = route(&json!({}), &request, &pool);
        let planned: Vec<&str> = plan.attempts.iter().map(|a| a.target.as_str()).collect();

        let room = asked.unwrap_or(512);
        let fits = |row: &Json| {
            let can = row["capabilities"].as_array().expect("a list").contains(&json!("streaming"));
            let wide = row["context-tokens"].as_i64()
                .is_none_or(|context| i128::from(context) >= i128::from(input) + i128::from(room));
            (can || !streaming) && wide
        };
        let wanted: Vec<String> = FakePool::from_json(&pool).names().into_iter()
            .filter(|name| fits(&pool[name])).collect();
        let mut sorted: Vec<&str> = planned.clone();
        sorted.sort_unstable();
        prop_assert_eq!(sorted, wanted);
        let rank = |name: &str| {
            let row = &pool[name];
            let price = |key: &str| row[key].as_i64().filter(|price| *price >= 0);
            let cost = price("price-input-pico-usd").zip(price("price-output-pico-usd"))
                .map(|(per_input, per_output)| {
                    let output = i128::from(choices.max(1)) * i128::from(room.min(512));
                    (i128::from(input) * i128::from(per_input))
                        .saturating_add(output.saturating_mul(i128::from(per_output)))
                });
            let ttft = row["ttft-p50-ms"].as_i64().unwrap_or(i64::MAX);
            let ill = row["healthy"] == json!(false);
            (ill, cost.is_none(), cost, ttft)
        };
        let ranks: Vec<_> = planned.iter().map(|name| rank(name)).collect();
        prop_assert!(ranks.is_sorted(), "{:?}", ranks);
    }
}
