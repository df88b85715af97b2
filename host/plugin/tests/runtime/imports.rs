//! What the host answers when a plugin asks, and that it is in the digest.

use std::sync::Arc;

use pointsman_domain::usage::Rate;
use pointsman_domain::{Label, RequestId, Role, Value};
use pointsman_plugin::{Call, CallStats, Instances, PriceBook, Runtime, Step, StepSpec};
use serde_json::json;

use crate::support::{block_on, call, call_about, guest_imports, runtime, spec};

fn step(runtime: &Runtime, id: &str, words: &'static str, instances: Instances) -> Arc<Step> {
    let plugin = runtime.load(&guest_imports()).expect("a plugin");
    let config = json!({ "file": "words", "target": "cloud", "log-lines": 100 });
    let spec = StepSpec {
        id: id.to_owned(),
        data: vec![
            ("words".to_owned(), words.into()),
            ("other".to_owned(), "x".into()),
        ],
        instances,
        ..spec(&plugin, Role::Classifier, config)
    };
    runtime.prepare(spec).expect("a step")
}

fn labels(step: &Step, call: &Call) -> (Vec<Label>, CallStats) {
    let ran = block_on(step.classify(call));
    (ran.result.expect("labels"), ran.stats)
}

#[track_caller]
fn label<'a>(labels: &'a [Label], key: &str) -> &'a Value {
    &labels
        .iter()
        .find(|label| label.key == key)
        .expect("the label")
        .value
}

#[test]
fn imports_answer_what_the_call_holds() {
    let runtime = runtime();
    let step = step(&runtime, "one", "one two", Instances::Fresh);
    let rate = Rate {
        unit: "input-tokens".to_owned(),
        pico_usd: 150_000,
        above_input_tokens: 0,
        attributes: Vec::new(),
    };
    let call = Call {
        prices: Some(Arc::new(PriceBook::from([(
            "cloud".to_owned(),
            vec![rate],
        )]))),
        ..call_about("something long")
    };
    let (found, stats) = labels(&step, &call);
    assert_eq!(label(&found, "configured-bytes"), &Value::Integer(7));
    assert_eq!(label(&found, "bytes"), &Value::Integer(7));
    assert_eq!(label(&found, "now-ms"), &Value::Integer(1_700_000_000_000));
    assert_eq!(label(&found, "price"), &Value::Integer(150_000));
    assert_eq!(label(&found, "model"), &Value::from("auto"));
    assert_eq!(label(&found, "recent"), &Value::from("ing long"));
    // 100 lines, a price, a size and a read, the clock, two numbers, a field, a text.
    assert_eq!(stats.host_calls, 108);
    // No catalogue: no price, and not zero.
    let (found, _) = labels(&step, &crate::support::call());
    assert_eq!(label(&found, "price"), &Value::Integer(-1));
}

#[test]
fn numbers_are_seeded_by_request_and_step() {
    let runtime = runtime();
    let one = step(&runtime, "one", "w", Instances::Fresh);
    let two = step(&runtime, "two", "w", Instances::Fresh);
    let random = |step: &Step, call: &Call| label(&labels(step, call).0, "random").clone();
    let other = Call {
        request_id: RequestId("another".to_owned()),
        ..call()
    };
    assert_eq!(random(&one, &call()), random(&one, &call()));
    assert_ne!(random(&one, &call()), random(&two, &call()));
    assert_ne!(random(&one, &call()), random(&one, &other));
}

#[test]
fn the_digest_follows_what_was_told() {
    let runtime = runtime();
    let step = step(&runtime, "one", "one two", Instances::Fresh);
    let base = call();
    let first = labels(&step, &base).1;
    let second = labels(&step, &base).1;
    assert_eq!(first.imports_digest, second.imports_digest);
    assert_eq!(first.fuel, second.fuel);
    let later = Call {
        now_ms: base.now_ms + 1,
        ..base
    };
    assert_ne!(labels(&step, &later).1.imports_digest, first.imports_digest);
    assert_ne!(
        labels(&step, &call_about("bye")).1.imports_digest,
        first.imports_digest
    );
}

#[test]
fn files_are_part_of_the_configured_state() {
    let runtime = runtime();
    let one = step(&runtime, "one", "w", Instances::Fresh);
    let longer = step(&runtime, "one", "words", Instances::Fresh);
    assert!(!one.shares_code_with(&longer));
    assert_eq!(
        label(&labels(&longer, &call()).0, "configured-bytes"),
        &Value::Integer(5)
    );
}

#[test]
fn fresh_instances_remember_nothing_and_pooled_ones_are_replaced_in_time() {
    let runtime = runtime();
    let fresh = step(&runtime, "one", "w", Instances::Fresh);
    let pooled = step(&runtime, "one", "w", Instances::Pooled);
    assert!(fresh.shares_code_with(&pooled));
    let calls = |step: &Step, call: &Call| {
        let (found, stats) = labels(step, call);
        let Value::Integer(calls) = label(&found, "calls") else {
            panic!("no count")
        };
        (*calls, stats.fresh)
    };
    let call = call();
    for _ in 0..3 {
        assert_eq!(calls(&fresh, &call), (0, true));
    }
    for before in 0..1000 {
        assert_eq!(calls(&pooled, &call), (before, before == 0));
    }
    assert_eq!(calls(&pooled, &call), (0, true));
    // What a call is told is its own, on a reused instance too.
    let (first, second) = (call_about("first"), call_about("second"));
    assert_eq!(
        label(&labels(&pooled, &first).0, "recent"),
        &Value::from("first")
    );
    assert_eq!(
        label(&labels(&pooled, &second).0, "recent"),
        &Value::from("second")
    );
    assert_eq!(
        label(&labels(&pooled, &first).0, "random"),
        label(&labels(&fresh, &first).0, "random")
    );
}
