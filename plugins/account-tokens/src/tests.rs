//! What the accountant promises, from outside.

use pointsman_sdk::testing::{FakeHost, FakeView, Suite, configured};
use pointsman_sdk::{Accountant as _, Amount, Attribute, CostLine, Meter, Rate, Usage, Value};
use proptest::prelude::*;
use serde_json::json;

use super::AccountTokens;

#[test]
fn cases_hold() {
    Suite::<AccountTokens>::new()
        .accountant()
        .run(include_str!("../cases.jsonl"));
}

fn rate(unit: &str, pico_usd: i64, above_input_tokens: u64) -> Rate {
    Rate {
        unit: unit.to_owned(),
        pico_usd,
        above_input_tokens,
        attributes: vec![
            Attribute::new("source", "prices.jsonl"),
            Attribute::new("date", "2026-11-24"),
            Attribute::new("row", 7_i64),
        ],
    }
}

fn meter(unit: &str, quantity: u64, estimated: bool) -> Meter {
    Meter {
        unit: unit.to_owned(),
        quantity,
        estimated,
    }
}

fn account(rates: Vec<Rate>, meters: Vec<Meter>) -> Vec<CostLine> {
    FakeHost {
        rates: [("t".to_owned(), rates)].into(),
        ..FakeHost::default()
    }
    .install();
    let usage = Usage {
        attempt: 3,
        target: "t".to_owned(),
        outcome: "ok".to_owned(),
        meters,
        attributes: Vec::new(),
    };
    configured::<AccountTokens>(&json!({}))
        .account(&FakeView::user("x"), &[usage])
        .expect("lines")
}

fn attribute<'a>(line: &'a CostLine, key: &str) -> Option<&'a Value> {
    line.attributes
        .iter()
        .find(|attribute| attribute.key == key)
        .map(|attribute| &attribute.value)
}

#[test]
fn a_line_says_which_price_it_used() {
    let rates = vec![rate("output-tokens", 600_000, 0)];
    let line = &account(rates, vec![meter("reasoning-tokens", 2, false)])[0];
    assert_eq!((line.attempt, line.quantity), (3, 2));
    assert_eq!(line.amount, Amount::Exact(1_200_000));
    assert_eq!(attribute(line, "price"), Some(&Value::Integer(600_000)));
    assert_eq!(attribute(line, "price-unit"), Some(&"output-tokens".into()));
    assert_eq!(attribute(line, "source"), Some(&"prices.jsonl".into()));
    assert_eq!(attribute(line, "date"), Some(&"2026-11-24".into()));
    assert_eq!(attribute(line, "row"), None);
}

#[test]
fn a_line_without_a_price_says_why() {
    let why = |rates, unit: &str| {
        let lines = account(rates, vec![meter(unit, 1, false)]);
        assert_eq!(lines[0].amount, Amount::Unpriced);
        attribute(&lines[0], "why").cloned()
    };
    assert_eq!(why(vec![], "input-tokens"), Some("no-rate".into()));
    let both = vec![rate("input-tokens", 1, 0), rate("input-tokens", 2, 0)];
    assert_eq!(why(both, "input-tokens"), Some("rates-conflict".into()));
    let negative = vec![rate("input-tokens", -1, 0)];
    assert_eq!(why(negative, "input-tokens"), Some("rate-negative".into()));
}

#[test]
fn what_exceeds_the_contract_is_said_to_be_at_least_its_maximum() {
    let rates = vec![rate("input-tokens", i64::MAX, 0)];
    let line = &account(rates, vec![meter("input-tokens", u64::MAX, false)])[0];
    assert_eq!(line.amount, Amount::Estimated(i64::MAX));
    assert_eq!(attribute(line, "at-least"), Some(&Value::Flag(true)));
}

#[test]
fn a_tier_begins_above_its_border() {
    let rates = || vec![rate("input-tokens", 1, 0), rate("input-tokens", 2, 200)];
    let amount =
        |quantity| account(rates(), vec![meter("input-tokens", quantity, false)])[0].amount;
    assert_eq!(amount(200), Amount::Exact(200));
    assert_eq!(amount(201), Amount::Exact(402));
}

const UNITS: [&str; 6] = [
    "input-tokens",
    "output-tokens",
    "reasoning-tokens",
    "cached-input-tokens",
    "cache-write-tokens",
    "images",
];

fn any_rate() -> impl Strategy<Value = Rate> {
    let pico_usd = prop_oneof![-2_i64..2_000_000, any::<i64>()];
    let above = prop_oneof![Just(0_u64), 0_u64..300_000, any::<u64>()];
    (prop::sample::select(&UNITS[..]), pico_usd, above)
        .prop_map(|(unit, pico_usd, above)| rate(unit, pico_usd, above))
}

fn any_meter() -> impl Strategy<Value = Meter> {
    let quantity = prop_oneof![0_u64..400_000, any::<u64>()];
    (prop::sample::select(&UNITS[..]), quantity, any::<bool>())
        .prop_map(|(unit, quantity, estimated)| meter(unit, quantity, estimated))
}

proptest! {
    #[test]
    fn every_meter_has_one_line_that_is_right_or_says_that_it_is_not(
        rates in prop::collection::vec(any_rate(), 0..8),
        meters in prop::collection::vec(any_meter(), 0..6),
    ) {
        let lines = account(rates.clone(), meters.clone());
        prop_assert_eq!(lines.len(), meters.len());
        for (line, meter) in lines.iter().zip(&meters) {
            prop_assert_eq!((&line.unit, line.quantity), (&meter.unit, meter.quantity));
            let price = attribute(line, "price").and_then(Value::as_integer);
            match line.amount {
                Amount::Unpriced => prop_assert!(attribute(line, "why").is_some()),
                Amount::Exact(amount) => {
                    prop_assert!(!meter.estimated);
                    let product = i128::from(price.unwrap_or(0)) * i128::from(meter.quantity);
                    prop_assert_eq!(i128::from(amount), product);
                }
                Amount::Estimated(amount) => {
                    let price = price.expect("an estimate has a price");
                    let product = i128::from(price) * i128::from(meter.quantity);
                    prop_assert_eq!(i128::from(amount), product.min(i64::MAX.into()));
                }
            }
            // Nothing known of the unit or of what bounds it: never a number, unless there is none of it.
            let known = rates.iter().any(|rate| rate.unit == meter.unit)
                || matches!(meter.unit.as_str(), "reasoning-tokens" | "cached-input-tokens");
            let none = meter.quantity == 0 && !meter.estimated;
            prop_assert!(known || none || line.amount == Amount::Unpriced);
        }
    }
}
