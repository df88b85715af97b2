//! What the classifier promises, from outside.

use std::sync::LazyLock;

use pointsman_sdk::testing::{FakeView, Suite, configured};
use pointsman_sdk::{Classifier as _, Label, Value};
use proptest::prelude::*;
use serde_json::json;

use super::ClassifyTask;

#[test]
fn cases_hold() {
    Suite::<ClassifyTask>::new()
        .classifier()
        .run(include_str!("../cases.jsonl"));
}

fn labels(config: &serde_json::Value, request: &FakeView) -> Vec<Label> {
    configured::<ClassifyTask>(config)
        .classify(request)
        .expect("labels")
}

fn text<'a>(labels: &'a [Label], key: &str) -> &'a str {
    let label = labels.iter().find(|label| label.key == key);
    label
        .and_then(|label| label.value.as_text())
        .expect("a label")
}

#[test]
fn a_long_text_is_told_by_its_ends() {
    let filler = "The quick brown fox jumps over the lazy dog. ".repeat(600);
    let first = FakeView::user(&format!("Summarize the following: {filler}"));
    let last = FakeView::user(&format!(
        "{filler}\n\nTranslate the text above into German."
    ));
    assert_eq!(text(&labels(&json!({}), &first), "task"), "summary");
    assert_eq!(text(&labels(&json!({}), &last), "task"), "translation");
}

#[test]
fn no_more_is_read_than_the_operator_allows() {
    let request = FakeView::user(&format!("Translate into French: {}", "la ".repeat(1000)));
    let whole = labels(&json!({}), &request);
    let tail = labels(&json!({"bytes-max": 256}), &request);
    assert_eq!(text(&whole, "task"), "translation");
    assert_eq!(text(&tail, "task"), "chat");
}

static PLUGIN: LazyLock<&ClassifyTask> = LazyLock::new(|| configured(&json!({"bytes-max": 256})));

proptest! {
    #[test]
    fn any_text_has_its_four_labels_with_scores_in_range(
        texts in prop::collection::vec("\\PC{0,200}", 0..4),
    ) {
        let messages: Vec<_> = texts.iter()
            .map(|text| json!({"role": "user", "content": text})).collect();
        let request = FakeView::from_chat(&json!({"messages": messages}));
        let labels = PLUGIN.classify(&request).expect("labels");
        let keys: Vec<&str> = labels.iter().map(|label| label.key.as_str()).collect();
        prop_assert_eq!(keys, ["task", "language", "complexity", "complexity-score"]);
        for label in &labels {
            prop_assert!((0.0..=1.0).contains(&label.score), "{:?}", label);
        }
        let Value::Number(score) = labels[3].value else { panic!("a number") };
        prop_assert!((0.0..=1.0).contains(&score));
        prop_assert_eq!(PLUGIN.classify(&request).expect("labels"), labels);
    }
}
