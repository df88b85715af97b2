//! Components that were built against an earlier contract still run, as their compiled bytes, for as long as their
//! version is served. `tests/fixtures/README.md` says where they come from.

use std::sync::Arc;

use pointsman_domain::{FaultKind, Role, Value};
use pointsman_plugin::{Call, LoadError, Plugin, Runtime, StepSpec};
use serde_json::json;

use crate::support::{ROLES, block_on, call, kind, run_once, runtime, spec};

const GUESTS: &[u8] = include_bytes!("../fixtures/wit-0.1.0/pointsman-guests.wasm");
const IMPORTS: &[u8] = include_bytes!("../fixtures/wit-0.1.0/pointsman-guest-imports.wasm");

/// The same component as if it had been built against another version; the names are of one length.
fn built_against(version: &[u8; 5], component: &[u8]) -> Vec<u8> {
    let mut bytes = component.to_vec();
    let package = b"pointsman:plugin/";
    let mut at = 0;
    while at + package.len() < bytes.len() {
        if bytes[at..].starts_with(package) {
            let name = bytes[at..].iter().take(64);
            if let Some(sign) = name.clone().position(|byte| *byte == b'@')
                && bytes[at + sign + 1..].starts_with(b"0.1.0")
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
    for bytes in [GUESTS.to_vec(), built_against(b"0.1.7", GUESTS)] {
        let plugin = load(&runtime, &bytes);
        assert_eq!(plugin.info().roles, ROLES);
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
    for version in [b"0.2.0", b"1.0.0", b"0.0.1"] {
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
            error.to_string().contains("pointsman:plugin@0.1.0"),
            "{error}"
        );
    }
}
