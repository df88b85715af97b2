//! What is not a plugin is refused with a reason that says what to do.

use pointsman_domain::Role;
use pointsman_plugin::{LoadError, Runtime, RuntimeConfig};

use crate::support::{guests, runtime, split_ab};

fn refused(bytes: &[u8]) -> LoadError {
    Runtime::new(RuntimeConfig::default())
        .expect("a runtime")
        .load(bytes)
        .expect_err("refused")
}

/// A section of a component.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![id, u8::try_from(content.len()).expect("a short section")];
    bytes.extend(content);
    bytes
}

fn named(prefix: &[u8], name: &str, suffix: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    [prefix, &[0, length], name.as_bytes(), suffix].concat()
}

/// A component that imports an empty instance, and exports it where a name is given.
fn importing(import: &str, export: Option<&str>) -> Vec<u8> {
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend(section(7, &[1, 0x42, 0]));
    bytes.extend(section(10, &named(&[1], import, &[5, 0])));
    if let Some(export) = export {
        bytes.extend(section(11, &named(&[1], export, &[5, 0, 0])));
    }
    bytes
}

#[test]
fn a_good_component_says_what_it_is() {
    let bytes = guests();
    let runtime = runtime();
    let plugin = runtime.load(&bytes).expect("a plugin");
    let info = plugin.info();
    assert_eq!(info.name, "pointsman-guests");
    assert_eq!(
        info.roles,
        [
            Role::Classifier,
            Role::RequestGuard,
            Role::Splitter,
            Role::Router,
            Role::ResponseGuard,
            Role::Accountant
        ]
    );
    assert_eq!(info.config_schema["title"], "pointsman-guests");
    assert!(plugin.digest().to_string().starts_with("sha256:"));
    let again = runtime.load(&bytes).expect("a plugin");
    assert!(
        std::sync::Arc::ptr_eq(&plugin, &again),
        "the same bytes are the same plugin"
    );
    let other = runtime.load(&split_ab()).expect("a plugin");
    assert_ne!(other.digest(), plugin.digest());
    assert_eq!(other.info().roles, [Role::Splitter]);
}

#[test]
fn what_is_no_component_is_refused() {
    assert!(matches!(refused(b""), LoadError::NotWasm));
    assert!(matches!(refused(b"#!/bin/sh\n"), LoadError::NotWasm));
    let core = refused(b"\0asm\x01\0\0\0");
    assert!(matches!(core, LoadError::CoreModule));
    assert!(core.to_string().contains("plugin build"), "{core}");
    assert!(matches!(
        refused(b"\0asm\x0d\0\x01\0\xff\xff"),
        LoadError::Invalid { .. }
    ));
    let huge = refused(&vec![0; 100 << 20]);
    assert!(matches!(huge, LoadError::TooLarge { .. }));
    assert!(
        huge.to_string().contains("more than the 33554432"),
        "{huge}"
    );
    assert!(matches!(
        refused(&vec![0; (32 << 20) + 1]),
        LoadError::TooLarge { .. }
    ));
}

#[test]
fn a_cut_or_changed_component_is_refused() {
    let bytes = split_ab();
    assert!(matches!(
        refused(&bytes[..bytes.len() / 2]),
        LoadError::Invalid { .. }
    ));
    // The same component for a later version of the contract.
    let text = b"pointsman:plugin/meta@0.2.0";
    let mut later = bytes;
    while let Some(at) = later.windows(text.len()).position(|window| window == text) {
        later[at + text.len() - 3] = b'9';
    }
    assert!(
        matches!(refused(&later), LoadError::UnknownExport { name } if name == "pointsman:plugin/meta@0.9.0")
    );
}

#[test]
fn every_beginning_of_a_component_is_refused() {
    let bytes = split_ab();
    for length in (0..bytes.len()).step_by(bytes.len() / 16) {
        let error = refused(&bytes[..length]);
        let is_told = matches!(error, LoadError::NotWasm | LoadError::Invalid { .. });
        // A component's first sections may be one by themselves, which plays no part.
        let is_empty = matches!(error, LoadError::NoMeta);
        assert!(is_told || is_empty, "{length} bytes: {error}");
    }
}

#[test]
fn a_schema_that_is_none_is_refused() {
    const GUEST: &[u8] = include_bytes!("../fixtures/wit-0.1.0/pointsman-guest-imports.wasm");
    let schema = br#""type": "object""#;
    for (changed, told) in [
        (br#""type": "objekt""#, "not a JSON Schema"),
        (br#""type": "object]"#, "not JSON"),
    ] {
        let mut bytes = GUEST.to_vec();
        let at = bytes
            .windows(schema.len())
            .position(|window| window == schema)
            .expect("its schema");
        bytes[at..at + changed.len()].copy_from_slice(changed);
        let error = refused(&bytes);
        assert!(
            matches!(&error, LoadError::Info { field: "config-schema", detail } if detail.contains(told)),
            "{error}"
        );
    }
}

#[test]
fn interfaces_outside_the_contract_are_refused_by_name() {
    let wasi = refused(&importing("wasi:cli/environment@0.2.0", None));
    assert!(
        matches!(&wasi, LoadError::UnknownImport { name, .. } if name == "wasi:cli/environment@0.2.0")
    );
    assert!(
        wasi.to_string().contains("wasm32-unknown-unknown"),
        "{wasi}"
    );
    let newer = refused(&importing("pointsman:plugin/log@0.3.0", None));
    assert!(
        newer.to_string().contains("pointsman:plugin 0.1 and 0.2"),
        "{newer}"
    );
    let types = "pointsman:plugin/types@0.1.0";
    let odd = refused(&importing(types, Some("pointsman:plugin/oracle@0.1.0")));
    assert!(matches!(odd, LoadError::UnknownExport { .. }), "{odd}");
    assert!(matches!(
        refused(&importing(types, None)),
        LoadError::NoMeta
    ));
    let meta = "pointsman:plugin/meta@0.1.0";
    assert!(matches!(
        refused(&importing(types, Some(meta))),
        LoadError::NoRole
    ));
}

#[test]
fn interfaces_of_other_types_are_refused() {
    // Empty instances under the right names: no `describe`, no `classify`.
    let mut bytes = importing("pointsman:plugin/types@0.1.0", None);
    let exports = [
        &[2][..],
        &named(&[], "pointsman:plugin/meta@0.1.0", &[5, 0, 0]),
        &named(&[], "pointsman:plugin/classifier@0.1.0", &[5, 0, 0]),
    ];
    bytes.extend(section(11, &exports.concat()));
    let error = refused(&bytes);
    assert!(matches!(error, LoadError::Mismatch { .. }), "{error}");
}

#[test]
fn changed_bytes_never_panic() {
    let good = split_ab();
    let runtime = Runtime::new(RuntimeConfig::default()).expect("a runtime");
    let (mut loaded, mut prepared) = (0, 0);
    for turn in 0..60_usize {
        let mut bytes = good.clone();
        let at = turn.wrapping_mul(7919) % bytes.len();
        bytes[at] ^= 1 << (turn % 8);
        let Ok(plugin) = runtime.load(&bytes) else {
            continue;
        };
        loaded += 1;
        let config = serde_json::json!({ "weights": { "a": 1 } });
        let step = runtime.prepare(crate::support::spec(&plugin, Role::Splitter, config));
        if let Ok(step) = step {
            prepared += 1;
            // Whatever it does now is a result or a fault.
            let _ = crate::support::run_once(&step);
        }
    }
    // Some changes hit strings or constants, or the test would prove little.
    assert!(
        loaded > 2 && prepared > 0,
        "{loaded} loaded, {prepared} prepared"
    );
}
