//! What the host answers when a plugin asks, and that it is in the digest.

use std::sync::Arc;

use pointsman_domain::plan::CandidatePool;
use pointsman_domain::usage::Rate;
use pointsman_domain::{FaultKind, Label, RequestId, Role, Value};
use pointsman_plugin::{
    Call, CallStats, Counted, Import, Instances, PriceBook, RECENT, Runtime, Secret, Step,
    StepFailure, StepSpec, Tenant, Vector,
};
use serde_json::{Value as Json, json};

use crate::support::{block_on, call, call_about, guest_imports, guest_near, runtime, spec};

fn step(runtime: &Runtime, id: &str, words: &'static str, instances: Instances) -> Arc<Step> {
    let config = json!({ "file": "words", "target": "cloud", "log-lines": 100 });
    configured(runtime, id, words, instances, config)
}

fn configured(
    runtime: &Runtime,
    id: &str,
    words: &'static str,
    instances: Instances,
    config: Json,
) -> Arc<Step> {
    let plugin = runtime.load(&guest_imports()).expect("a plugin");
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

/// A tenant with a count for each name, that lies within a minute.
#[derive(Debug)]
struct Busy(u64);

impl Tenant for Busy {
    fn id(&self) -> &'static str {
        "busy"
    }

    fn count(&self, counted: Counted, window_s: u32, _now_ms: u64) -> u64 {
        match counted {
            Counted::Denials if window_s >= 60 => self.0,
            _ => 0,
        }
    }
}

fn counting(runtime: &Runtime, name: &str, window_s: u32) -> Arc<Step> {
    let config = json!({ "file": "words", "count": name, "window-s": window_s });
    configured(runtime, "one", "w", Instances::Fresh, config)
}

#[test]
fn counts_are_the_tenants_and_in_the_digest() {
    let runtime = runtime();
    let step = counting(&runtime, "denials", 60);
    let of = |denials| Call {
        tenant: Some(Arc::new(Busy(denials))),
        ..call()
    };
    let (found, first) = labels(&step, &of(3));
    assert_eq!(label(&found, "count"), &Value::Integer(3));
    let (_, same) = labels(&step, &of(3));
    let (_, more) = labels(&step, &of(4));
    assert_eq!(first.imports_digest, same.imports_digest);
    assert_ne!(first.imports_digest, more.imports_digest);
    let (found, _) = labels(&counting(&runtime, "denials", 59), &of(3));
    assert_eq!(label(&found, "count"), &Value::Integer(0));
    // Nothing has been counted in a rehearsal.
    let (found, _) = labels(&step, &call());
    assert_eq!(label(&found, "count"), &Value::Integer(0));
}

#[test]
fn what_is_not_counted_is_a_fault_and_not_zero() {
    let runtime = runtime();
    for (name, window_s, told) in [
        ("requests", 0, "windows are of 1 to 3600 s"),
        ("requests", 3_601, "windows are of 1 to 3600 s"),
        (
            "dreams",
            60,
            "there are: requests, denials, cuts, errors, tokens",
        ),
    ] {
        let ran = block_on(counting(&runtime, name, window_s).classify(&call()));
        let Err(StepFailure::Fault(fault)) = ran.result else {
            panic!("no fault")
        };
        assert_eq!(fault.kind, FaultKind::Import);
        assert!(fault.detail.contains(told), "{fault}");
    }
}

#[test]
fn a_secret_signs_and_its_bytes_stay_with_the_host() {
    let runtime = runtime();
    let plugin = runtime.load(&guest_imports()).expect("a plugin");
    let prepared = |key: &[u8]| {
        let spec = StepSpec {
            data: vec![("words".to_owned(), "w".into())],
            secrets: vec![Secret::new("hook", key, &["busy".to_owned()])],
            ..spec(
                &plugin,
                Role::Classifier,
                json!({ "file": "words", "sign": "secret://hook" }),
            )
        };
        runtime.prepare(spec).expect("a step")
    };
    let (one, other) = (prepared(b"one"), prepared(b"other"));
    assert!(
        one.shares_code_with(&other),
        "no byte of it is in a snapshot"
    );
    let busy = Call {
        tenant: Some(Arc::new(Busy(0))),
        ..call()
    };
    let signed = |step: &Step, call: &Call| {
        let (found, stats) = labels(step, call);
        (label(&found, "signed").clone(), stats.imports_digest)
    };
    let (first, digest) = signed(&one, &busy);
    assert_eq!(first.as_text().map(str::len), Some(64));
    assert_eq!((first.clone(), digest), signed(&one, &busy));
    assert_ne!((first.clone(), digest), signed(&other, &busy));
    // A rehearsal has no tenant and no key, and signs alike everywhere.
    assert_eq!(signed(&one, &call()), signed(&other, &call()));
    assert_ne!(signed(&one, &call()).0, first);
}

#[test]
fn vectors_are_the_calls_own_and_part_of_the_digest() {
    let runtime = runtime();
    let plugin = runtime.load(&guest_near()).expect("a plugin");
    let spec = StepSpec {
        instances: Instances::Pooled,
        ..spec(&plugin, Role::Router, json!({}))
    };
    let step = runtime.prepare(spec).expect("a step");
    assert!(step.calls(Import::Embedding) && !step.calls(Import::Data));
    let pool = Arc::new(CandidatePool {
        names: ["chat", "code"].map(str::to_owned).to_vec(),
        columns: Vec::new(),
    });
    let route = |vectors: &[(&str, &[f32])]| {
        let owned = |(name, vector): &(&str, &[f32])| ((*name).to_owned(), Vector::from(*vector));
        let call = Call {
            vectors: vectors.iter().map(owned).collect(),
            ..call()
        };
        let ran = block_on(step.route(&call, Arc::clone(&pool)));
        let plan = ran.result.expect("a plan");
        let first = plan.attempts.first();
        let first = first.map(|attempt| attempt.target.clone());
        (first, ran.stats.imports_digest)
    };
    let files: [(&str, &[f32]); 2] = [("chat.txt", &[0.0, 1.0]), ("code.txt", &[1.0, 0.0])];
    let near = |recent: &[f32]| route(&[(RECENT, recent), files[0], files[1]]);
    let (first, digest) = near(&[0.75, 0.5]);
    assert_eq!(first.as_deref(), Some("code"));
    assert_eq!((first.clone(), digest), near(&[0.75, 0.5]));
    let (same, other) = near(&[0.875, 0.5]);
    assert_eq!(same, first);
    assert_ne!(other, digest, "it was told another vector");
    assert_eq!(near(&[0.5, 0.75]).0.as_deref(), Some("chat"));
    assert_eq!(route(&files).0, None, "a reused instance keeps no vector");
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
