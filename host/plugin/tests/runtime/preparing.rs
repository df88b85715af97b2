//! What a step asks for is checked before it runs: role, limits, grants, configuration.

use std::sync::Arc;

use pointsman_domain::{FaultKind, Role};
use pointsman_plugin::{
    Instances, PrepareError, Runtime, RuntimeConfig, Step, StepLimits, StepSpec,
};
use serde_json::{Value as Json, json};

use crate::support::{
    block_on, call, guest_imports, guests, root, run_once, runtime, spec, split_ab,
};

fn prepare(
    runtime: &Runtime,
    bytes: &[u8],
    change: impl FnOnce(StepSpec) -> StepSpec,
) -> Result<Arc<Step>, PrepareError> {
    let plugin = runtime.load(bytes).expect("a plugin");
    let role = plugin.info().roles[0];
    runtime.prepare(change(spec(&plugin, role, json!({}))))
}

fn splitting(config: Json) -> Result<Arc<Step>, PrepareError> {
    prepare(&runtime(), &split_ab(), |spec| StepSpec { config, ..spec })
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_by_path() {
    let error = splitting(json!({ "weights": { "a": "many", "b": -1 } })).expect_err("refused");
    let PrepareError::Config(findings) = &error else {
        panic!("{error}");
    };
    let paths: Vec<&str> = findings
        .iter()
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(paths, ["/weights/a", "/weights/b"]);
    assert!(error.to_string().contains("/weights/a: "), "{error}");
    assert!(matches!(
        splitting(json!({ "weights": {}, "extra": 1 })),
        Err(PrepareError::Config(_))
    ));
    assert!(matches!(splitting(json!([])), Err(PrepareError::Config(_))));
}

#[test]
fn what_the_plugin_refuses_is_shown() {
    let error = splitting(json!({ "weights": { "a": 0 } })).expect_err("refused");
    assert!(
        matches!(&error, PrepareError::Refused { detail } if detail.contains("at least one variant")),
        "{error}"
    );
}

#[test]
fn a_role_that_is_not_played_is_refused() {
    let error = prepare(&runtime(), &split_ab(), |spec| StepSpec {
        role: Role::Router,
        ..spec
    })
    .expect_err("refused");
    assert!(matches!(error, PrepareError::Role { .. }));
    assert!(error.to_string().contains("splitter"), "{error}");
}

#[test]
fn grants_are_known_offered_and_enough() {
    let runtime = runtime();
    let granted = |grants: &[&str]| {
        let grants = grants.iter().map(|grant| (*grant).to_owned()).collect();
        prepare(&runtime, &guest_imports(), |spec| StepSpec {
            config: json!({ "file": "words" }),
            data: vec![("words".to_owned(), "one two".into())],
            grants,
            ..spec
        })
    };
    let all = [
        "log", "clock", "random", "data", "counters", "secrets", "prices",
    ];
    assert!(granted(&all).is_ok());
    assert!(
        matches!(granted(&["log", "telepathy"]), Err(PrepareError::UnknownGrant { name }) if name == "telepathy")
    );
    let error = granted(&["log", "data", "random"]).expect_err("refused");
    assert!(
        matches!(&error, PrepareError::Ungranted { names, .. } if names == &["clock", "counters", "prices", "secrets"]),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(r#"grants = ["clock", "counters", "prices", "secrets"]"#),
        "{error}"
    );
}

#[test]
fn limits_must_let_a_call_run() {
    let runtime = runtime();
    let limited =
        |limits| prepare(&runtime, &guests(), |spec| StepSpec { limits, ..spec }).map(|_| ());
    let limits = StepLimits::default();
    assert!(matches!(
        limited(StepLimits { fuel: 0, ..limits }),
        Err(PrepareError::Limit { .. })
    ));
    let memory_mib = RuntimeConfig::default().memory_max_mib + 1;
    assert!(matches!(
        limited(StepLimits {
            memory_mib,
            ..limits
        }),
        Err(PrepareError::Limit { .. })
    ));
    // The plugin's own memory at start is above 1 MiB: it could never run.
    let small = limited(StepLimits {
        memory_mib: 1,
        ..limits
    });
    assert!(
        matches!(&small, Err(PrepareError::Smoke(fault)) if fault.kind == FaultKind::Memory),
        "{small:?}"
    );
}

#[test]
fn a_plugin_of_another_runtime_is_refused() {
    let plugin = runtime().load(&split_ab()).expect("a plugin");
    let config = json!({ "weights": { "a": 1 } });
    let error = runtime()
        .prepare(spec(&plugin, Role::Splitter, config))
        .expect_err("refused");
    assert!(matches!(error, PrepareError::OtherRuntime));
}

#[test]
fn misbehaviour_in_configure_is_told_apart() {
    let runtime = runtime();
    let configured = |behaviour: &str| {
        prepare(&runtime, &guests(), |spec| StepSpec {
            config: json!({ "behaviour": behaviour, "at": "configure" }),
            ..spec
        })
    };
    for (behaviour, kind) in [
        ("trap", FaultKind::Trap),
        ("loop", FaultKind::Fuel),
        ("memory", FaultKind::Memory),
        ("recursion", FaultKind::Trap),
        ("import", FaultKind::Import),
    ] {
        let error = configured(behaviour).expect_err("refused");
        assert!(
            matches!(&error, PrepareError::Configure(fault) if fault.kind == kind),
            "{behaviour}: {error:?}"
        );
    }
    let error = configured("error").expect_err("refused");
    assert!(
        matches!(&error, PrepareError::Refused { detail } if detail.contains("on purpose")),
        "{error}"
    );
    assert!(configured("echo").is_ok());
}

#[test]
fn configure_may_read_files_and_nothing_else() {
    let runtime = runtime();
    let configured = |file: &str, clock: bool| {
        prepare(&runtime, &guest_imports(), |spec| StepSpec {
            config: json!({ "file": file, "clock-in-configure": clock }),
            data: vec![("words".to_owned(), "one two".into())],
            ..spec
        })
    };
    assert!(configured("words", false).is_ok());
    let error = configured("words", true).expect_err("refused");
    assert!(
        matches!(&error, PrepareError::Configure(fault) if fault.kind == FaultKind::Import),
        "{error:?}"
    );
    let error = configured("other", false).expect_err("refused");
    assert!(
        matches!(&error, PrepareError::Refused { detail } if detail == "no file other"),
        "{error}"
    );
}

#[test]
fn equal_configurations_share_code_whatever_the_step() {
    let runtime = runtime();
    let plugin = runtime.load(&guests()).expect("a plugin");
    let step = |role, config: &str| {
        let config = serde_json::from_str(config).expect("json");
        runtime
            .prepare(spec(&plugin, role, config))
            .expect("a step")
    };
    let one = step(Role::Classifier, r#"{"behaviour":"echo","at":"call"}"#);
    let same = step(Role::Router, r#"{ "at": "call", "behaviour": "echo" }"#);
    let other = step(Role::Classifier, r#"{"behaviour":"trap","at":"call"}"#);
    assert!(one.shares_code_with(&same));
    assert!(!one.shares_code_with(&other));
}

#[test]
fn a_response_guard_says_what_it_covers() {
    let runtime = runtime();
    let plugin = runtime.load(&guests()).expect("a plugin");
    let guard = runtime
        .prepare(spec(&plugin, Role::ResponseGuard, json!({})))
        .expect("a step");
    let coverage = guard.coverage().expect("a coverage");
    assert_eq!(
        coverage.kinds,
        ["text", "reasoning", "refusal", "tool-name", "tool-argument"]
    );
    let splitter = runtime
        .prepare(spec(&plugin, Role::Splitter, json!({})))
        .expect("a step");
    assert!(splitter.coverage().is_none());
}

/// split-ab with a mutable reference in a global, which cannot be frozen.
fn unfreezable() -> Vec<u8> {
    split_ab();
    let core = root().join("target/wasm32-unknown-unknown/plugin/split_ab.wasm");
    let core = std::fs::read(core).expect("the core module");
    let mut bytes = core[..8].to_vec();
    let mut rest = &core[8..];
    while let Some((&id, after)) = rest.split_first() {
        let (length, after) = leb(after);
        let (content, after) = after.split_at(length);
        rest = after;
        let content = if id == 6 {
            let (count, globals) = leb(content);
            // One more: mutable funcref, null.
            [&unleb(count + 1), globals, &[0x70, 1, 0xd0, 0x70, 0x0b]].concat()
        } else {
            content.to_vec()
        };
        bytes.push(id);
        bytes.extend(unleb(content.len()));
        bytes.extend(content);
    }
    pointsman_sdk_build::componentize(&bytes).expect("a component")
}

fn leb(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| byte & 0x80 == 0)
        .expect("a number")
        + 1;
    let number = bytes[..end]
        .iter()
        .rev()
        .fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f));
    (number, &bytes[end..])
}

fn unleb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        bytes.push(if number == 0 { byte } else { byte | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

#[test]
fn what_cannot_be_frozen_runs_pooled_or_not_at_all() {
    let runtime = runtime();
    let bytes = unfreezable();
    let with = |instances| {
        prepare(&runtime, &bytes, |spec| StepSpec {
            config: json!({ "weights": { "a": 1 } }),
            instances,
            ..spec
        })
    };
    let error = with(Instances::Fresh).expect_err("refused");
    assert!(matches!(&error, PrepareError::NoSnapshot { .. }), "{error}");
    assert!(error.to_string().contains("pooled"), "{error}");
    let pooled = with(Instances::Pooled).expect("a step");
    let (result, stats) = run_once(&pooled);
    assert_eq!(result.as_deref(), Ok("a"));
    assert!(stats.fresh);
    assert!(!run_once(&pooled).1.fresh);
    // A plugin error ends the instance; the next one is configured anew.
    block_on(async { assert!(pooled.split(&call(), 10_000).await.result.is_err()) });
    let (result, stats) = run_once(&pooled);
    assert_eq!(result.as_deref(), Ok("a"));
    assert!(stats.fresh);
    assert!(
        with(Instances::Fresh).is_err(),
        "the pooled step's template is not for fresh instances"
    );
}
