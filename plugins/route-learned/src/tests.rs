//! What the router promises, from outside.

use pointsman_learn::{Model, Options, Row, train};
use pointsman_sdk::testing::{FakeHost, FakePool, FakeView, Suite, configured, try_configured};
use pointsman_sdk::{Plan, Router as _, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::RouteLearned;

#[test]
fn cases_hold() {
    Suite::<RouteLearned>::new()
        .router()
        .run(include_str!("../cases.jsonl"));
}

fn config(key: &str, value: f64) -> Json {
    let mut config = json!({"strong": ["big"], "weak": ["small"]});
    config[key] = value.into();
    config
}

fn route(config: &Json, text: &str) -> Plan {
    let pool = FakePool::default().with("big", []).with("small", []);
    configured::<RouteLearned>(config)
        .route(&FakeView::user(text), &pool)
        .expect("a plan")
}

fn needed(plan: &Plan) -> f64 {
    let attribute = plan
        .reason
        .attributes
        .iter()
        .find(|attribute| attribute.key == "needed");
    match attribute.expect("a figure").value {
        Value::Number(needed) => needed,
        ref other => unreachable!("{other:?} is no number"),
    }
}

/// Sums need the strong model, greetings do not.
fn model() -> Model {
    let row = |index: usize| {
        let sum = index.is_multiple_of(2);
        let prompt = if sum {
            format!("What is {index} times {}?", index + 3)
        } else {
            format!("Say hello to guest {index} for me please.")
        };
        Row {
            benchmark: "toy".to_owned(),
            subject: "toy".to_owned(),
            prompt,
            strong: 1.0,
            weak: f64::from(u8::from(!sum)),
            artefact: false,
            contaminated: false,
        }
    };
    let rows: Vec<Row> = (0..100).map(row).collect();
    train(&rows, &Options::default()).expect("a model").model
}

#[test]
fn a_model_of_the_bundle_is_obeyed() {
    let host = FakeHost {
        data: [("mine.bin".to_owned(), model().to_bytes())].into(),
        ..FakeHost::default()
    };
    host.install();
    let config =
        json!({"strong": ["big"], "weak": ["small"], "model": "mine.bin", "threshold": 0.5});
    let first = |text: &str| route(&config, text).attempts[0].target.clone();
    assert_eq!(first("What is 12 times 30?"), "big");
    assert_eq!(first("Say hello to guest 9 for me please."), "small");
}

#[test]
fn a_file_that_is_no_model_is_refused_by_name() {
    let host = FakeHost {
        data: [("mine.bin".to_owned(), b"weights".to_vec())].into(),
        ..FakeHost::default()
    };
    host.install();
    let mut config = json!({"strong": ["big"], "weak": ["small"], "model": "mine.bin"});
    let refused = |config: &Json| try_configured::<RouteLearned>(config).expect_err("refused");
    assert!(refused(&config).starts_with("model: mine.bin: not a model file"));
    config["model"] = "other.bin".into();
    assert!(refused(&config).starts_with("model: there is no data file `other.bin`"));
}

#[test]
fn the_shipped_model_reads_and_its_shares_hold_on_what_it_was_not_told() {
    let model = Model::parse(super::SHIPPED).expect("a model");
    assert!(model.rows() > 7000);
    let (few, many) = (model.score_of_share(0.1), model.score_of_share(0.9));
    assert!(few > many);
    assert!(model.share_of_quality(0.9) < model.share_of_quality(0.99));
}

proptest! {
    #[test]
    fn a_lower_threshold_never_takes_a_request_from_the_strong_one(
        text in "[a-z0-9 ?.]{1,80}",
        thresholds in (0.0_f64..1.0, 0.0_f64..1.0),
    ) {
        prop_assume!(!text.trim().is_empty());
        let (low, high) = (thresholds.0.min(thresholds.1), thresholds.0.max(thresholds.1));
        let strong = |threshold: f64| route(&config("threshold", threshold), &text).reason.code == "strong";
        prop_assert!(strong(low) || !strong(high));
        let plan = route(&config("threshold", low), &text);
        // Rounded for the record.
        let near = (needed(&plan) - low).abs() < 0.001;
        prop_assert!(near || (plan.reason.code == "strong") == (needed(&plan) > low));
        prop_assert_eq!(plan.attempts.len(), 2);
    }

    #[test]
    fn a_larger_share_never_takes_a_request_from_the_strong_one(
        text in "[a-z0-9 ?.]{1,80}",
        shares in (0.0_f64..=1.0, 0.0_f64..=1.0),
    ) {
        let strong = |share: f64| route(&config("strong-share", share), &text).attempts[0].target == "big";
        let (few, many) = (shares.0.min(shares.1), shares.0.max(shares.1));
        prop_assert!(strong(many) || !strong(few));
    }
}
