//! Components that were built against an earlier contract still run, as their compiled bytes, for as long as their
//! version is served. `tests/fixtures/README.md` says where they come from.

use std::sync::Arc;

use pointsman_domain::plan::CandidatePool;
use pointsman_domain::{FaultKind, Role, Value};
use pointsman_plugin::{Call, LoadError, Plugin, Runtime, StepSpec};
use serde_json::json;

use crate::support::{ROLES, block_on, call, guests, kind, run_once, runtime, spec};

const GUESTS: &[u8] = include_bytes!("../fixtures/wit-0.1.0/pointsman-guests.wasm");
const GUESTS_0_2: &[u8] = include_bytes!("../fixtures/wit-0.2.0/pointsman-guests.wasm");
const IMPORTS: &[u8] = include_bytes!("../fixtures/wit-0.1.0/pointsman-guest-imports.wasm");

/// The same component as if it had been built against another version; the names are of one length.
fn built_against(version: &[u8; 5], component: &[u8]) -> Vec<u8> {
    renamed(b"pointsman:plugin/", version, component)
}

/// The same component with another version of the interfaces whose names begin so.
fn renamed(package: &[u8], version: &[u8; 5], component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let mut at = 0;
    while at + package.len() < bytes.len() {
        if bytes[at..].starts_with(package) {
            let name = bytes[at..].iter().take(64);
            if let Some(sign) = name.clone().position(|byte| *byte == b'@')
                && (bytes[at + sign + 1..].starts_with(b"0.1.0")
                    || bytes[at + sign + 1..].starts_with(b"0.2.0"))
            {
                bytes[at + sign + 1..at + sign + 6].copy_from_slice(version);
            }
            at += package.len();
        } else {
            at += 1;
        }
    }
    bytes
}

fn load(runtime: &Runtime, bytes: &[u8]) -> Arc<Plugin> {
    runtime.load(bytes).expect("an older component loads")
}

#[test]
fn every_role_of_an_older_component_runs() {
    let runtime = runtime();
    for (bytes, version) in [
        (GUESTS.to_vec(), "0.1.0"),
        (built_against(b"0.1.7", GUESTS), "0.1.7"),
        (GUESTS_0_2.to_vec(), "0.2.0"),
    ] {
        let plugin = load(&runtime, &bytes);
        assert_eq!(plugin.info().roles, ROLES);
        assert_eq!(plugin.info().contract, version);
        for role in ROLES {
            let of = |behaviour| spec(&plugin, role, json!({ "behaviour": behaviour }));
            let good = runtime.prepare(of("echo")).expect("a step");
            let (result, _) = run_once(&good);
            assert!(result.is_ok(), "{role:?}: {result:?}");
            let bad = runtime.prepare(of("memory")).expect("a step");
            assert_eq!(kind(&run_once(&bad).0), Some(FaultKind::Memory), "{role:?}");
        }
    }
}

#[test]
fn what_an_older_component_imports_is_answered() {
    let runtime = runtime();
    for bytes in [IMPORTS.to_vec(), built_against(b"0.1.3", IMPORTS)] {
        let plugin = load(&runtime, &bytes);
        assert_eq!(
            plugin.info().imports,
            ["clock", "data", "log", "prices", "random"]
        );
        let config = json!({ "file": "words", "target": "cloud", "log-lines": 3 });
        let spec = StepSpec {
            data: vec![("words".to_owned(), "one two".into())],
            ..spec(&plugin, Role::Classifier, config)
        };
        let step = runtime.prepare(spec).expect("a step");
        let call = Call {
            now_ms: 7,
            ..call()
        };
        let labels = block_on(step.classify(&call)).result.expect("labels");
        let value = |key: &str| {
            let label = labels.iter().find(|label| label.key == key);
            label.map(|label| label.value.clone())
        };
        assert_eq!(value("bytes"), Some(Value::Integer(7)));
        assert_eq!(value("now-ms"), Some(Value::Integer(7)));
    }
}

#[test]
fn a_version_that_is_not_served_is_refused_by_its_name() {
    let runtime = runtime();
    for version in [b"0.3.0", b"1.0.0", b"0.0.1"] {
        let error = runtime
            .load(&built_against(version, GUESTS))
            .expect_err("refused");
        let version = String::from_utf8_lossy(version);
        assert!(
            matches!(
                &error,
                LoadError::UnknownImport { name, .. } | LoadError::UnknownExport { name }
                    if name.ends_with(&*version)
            ),
            "{error}"
        );
        assert!(
            error.to_string().contains("pointsman:plugin 0.1 and 0.2"),
            "{error}"
        );
    }
}

#[test]
fn an_older_and_a_newer_component_serve_one_chain() {
    let runtime = runtime();
    let (old, new) = (load(&runtime, GUESTS), load(&runtime, &guests()));
    assert_eq!(
        (&*old.info().contract, &*new.info().contract),
        ("0.1.0", "0.2.0")
    );
    let step = |plugin: &Arc<Plugin>, role| {
        let spec = spec(plugin, role, json!({ "behaviour": "echo" }));
        runtime.prepare(spec).expect("a step")
    };
    for role in ROLES {
        let ((before, of_old), (after, of_new)) =
            (run_once(&step(&old, role)), run_once(&step(&new, role)));
        assert_eq!(before.expect("an answer"), after.expect("an answer"));
        assert_eq!(of_old.imports_digest, of_new.imports_digest, "{role:?}");
    }
}

#[test]
fn what_is_read_at_once_is_recorded_one_by_one() {
    let runtime = runtime();
    let plugin = load(&runtime, &guests());
    let pool = Arc::new(CandidatePool {
        names: vec!["local".to_owned(), "cloud".to_owned()],
        columns: vec![
            ("quality".to_owned(), vec![Some(Value::Number(0.5)), None]),
            (
                "capabilities".to_owned(),
                vec![None, Some(Value::Texts(vec!["tools".to_owned()]))],
            ),
        ],
    });
    let [at_once, one_by_one] = ["at-once", "one-by-one"].map(|behaviour| {
        let spec = spec(&plugin, Role::Router, json!({ "behaviour": behaviour }));
        let step = runtime.prepare(spec).expect("a step");
        let ran = block_on(step.route(&call(), Arc::clone(&pool)));
        (ran.result.expect("a plan"), ran.stats)
    });
    assert!(at_once.0.reason.detail.contains("tools"), "{at_once:?}");
    assert_eq!(at_once.0, one_by_one.0);
    assert_eq!(at_once.1.imports_digest, one_by_one.1.imports_digest);
    assert_eq!(at_once.1.host_calls, one_by_one.1.host_calls);
}

#[test]
fn a_component_speaks_one_version_and_calls_nothing_newer() {
    let runtime = runtime();
    let refused = |bytes: &[u8]| runtime.load(bytes).expect_err("refused").to_string();
    let later = refused(&built_against(b"0.1.0", &guests()));
    assert!(later.contains("pointsman:plugin@0.1.0"), "{later}");
    assert!(later.contains("build it against 0.2.0"), "{later}");
    let mixed = refused(&renamed(b"pointsman:plugin/router", b"0.2.0", GUESTS));
    assert!(mixed.contains("two versions"), "{mixed}");
    assert!(mixed.contains("pointsman:plugin/router@0.2.0"), "{mixed}");
}
