//! The document: what is read, and what is refused while reading.

use proptest::prelude::*;

use super::{Cache, CacheMode, Instances, Kind, OnFault, Phase, Policy, Scope, TargetKind};

const WHOLE: &str = r#"
format = 1
name = "quickstart"
version = "0.1.0"
kind = "tenant"
floor = "platform"

[[model]]
name = "auto"
targets = ["local"]

[[target]]
name = "local"
kind = "engine"
endpoint = "http://127.0.0.1:8090/v1"
model = "smollm2-135m-instruct"
price = "engine/smollm2-135m-instruct"
credential = "c"
capabilities = ["streaming"]
context-tokens = 8192
max-output-tokens = 1024
quality = 0.2
region = "here"
stream-usage = false

[[variant]]
name = "control"

[[step]]
id = "cost"
phase = "account"
plugin = "account-tokens@0.1"
config = { missing-rate = "unpriced" }
when = "tenant != 'x'"
on-fault = "deny"
required = false
grants = ["prices"]
data = ["a.txt"]
instances = "pooled"
limits = { fuel = 50_000_000, memory-mib = 32, epoch-ms = 50 }

[execute]
default-plan = ["local"]
attempts-max = 2
retry-on = ["connect"]

[cache]
mode = "exact"
ttl-s = 60
entry-bytes-max = 65_536

[limits]
scopes = ["key", "tenant"]

[budget]
scope = "tenant"
on-unpriced = "count"

[audit]
capture = "hash"
durability = "os"
on-disk-full = "refuse"
"#;

fn refused(text: &str) -> String {
    Policy::parse("policy.toml", text)
        .expect_err("refused")
        .to_string()
}

#[test]
fn every_key_is_read() {
    let policy = Policy::parse("policy.toml", WHOLE).expect("a policy");
    assert_eq!(policy.kind, Kind::Tenant);
    let target = policy.target("local").expect("the target");
    assert_eq!(target.kind, TargetKind::Engine);
    assert!(!target.stream_usage);
    let step = &policy.steps[0];
    assert_eq!(
        (step.phase, step.on_fault(), step.instances),
        (Phase::Account, OnFault::Deny, Some(Instances::Pooled))
    );
    assert_eq!(step.plugin.to_string(), "account-tokens@0.1");
    assert_eq!(step.limits.fuel, Some(50_000_000));
    assert_eq!(policy.execute.deadline_ms, 120_000);
    let scopes = policy.limits.as_ref().map(|limits| &limits.scopes[..]);
    assert_eq!(scopes, Some(&[Scope::Key, Scope::Tenant][..]));
    assert_eq!(policy.budget.scope, Some(Scope::Tenant));
    let cache = Cache {
        mode: CacheMode::Exact,
        ttl_s: 60,
        entry_bytes_max: 65_536,
    };
    assert_eq!(policy.cache, cache);
    assert_eq!(Cache::default().mode, CacheMode::Off);
}

#[test]
fn toml_and_json_are_one_schema() {
    let policy = Policy::parse("policy.toml", WHOLE).expect("a policy");
    let json = serde_json::to_string(&policy).expect("JSON");
    assert_eq!(
        Policy::parse_json("policy.json", &json).expect("the same"),
        policy
    );
}

#[test]
fn each_phase_has_its_default() {
    for (phase, wanted) in [
        ("classify", OnFault::Skip),
        ("guard-request", OnFault::Deny),
        ("split", OnFault::Fallback),
        ("route", OnFault::Fallback),
        ("guard-response", OnFault::Deny),
        ("account", OnFault::Fallback),
    ] {
        let text = format!(
            "format = 1\nname = 'a'\n[[step]]\nid = 's'\nphase = '{phase}'\nplugin = 'p'\n"
        );
        let policy = Policy::parse("p", &text).expect("a policy");
        assert_eq!(policy.steps[0].on_fault(), wanted, "{phase}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    let text = WHOLE.replace("endpoint =", "endpont =");
    insta::assert_snapshot!(refused(&text), @r#"
    policy.toml:15:1: unknown key `endpont`
        |
     15 | endpont = "http://127.0.0.1:8090/v1"
        | ^^^^^^^
      help: did you mean `endpoint`? known here: name, kind, endpoint, model, price, credential, capabilities, context-tokens, max-output-tokens, quality, region, stream-usage
    "#);
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    for (old, new, wanted) in [
        (
            "mode = \"exact\"",
            "mode = \"semantic\"",
            "`semantic` is not offered yet: write `off`, `exact`",
        ),
        (
            "ttl-s = 60",
            "ttl-s = 0",
            "write a whole number from 1 to 604800",
        ),
        (
            "entry-bytes-max = 65_536",
            "entry-bytes-max = 10",
            "write a whole number from 1024 to 67108864",
        ),
        (
            "capture = \"hash\"",
            "capture = \"redacted\"",
            "`redacted` is not offered yet: write `none`, `hash`, `full`",
        ),
        (
            "capture = \"hash\"",
            "capture-bytes-max = 1",
            "write a whole number from 1024 to 67108864",
        ),
        (
            "durability = \"os\"",
            "durability = \"strict\"",
            "`strict` is not offered yet: write `os`",
        ),
        (
            "on-disk-full = \"refuse\"",
            "on-disk-full = \"count\"",
            "`count` is not offered yet: write `refuse`",
        ),
        (
            "scope = \"tenant\"",
            "scope = \"team\"",
            "unknown value `team`: write `key`, `tenant`",
        ),
        (
            "kind = \"engine\"",
            "kind = \"anthropic\"",
            "`anthropic` is not offered yet: write `engine`, `openai-compatible`",
        ),
        (
            "kind = \"engine\"",
            "kind = \"engin\"",
            "did you mean `engine`?",
        ),
        (
            "format = 1",
            "format = 2",
            "format 2 is not read by this gateway",
        ),
        (
            "attempts-max = 2",
            "attempts-max = 0",
            "write a whole number from 1 to 16",
        ),
        (
            "plugin = \"account-tokens@0.1\"",
            "plugin = \"Account Tokens\"",
            "not a plugin reference",
        ),
        (
            "missing-rate = \"unpriced\"",
            "since = 2026-01-01",
            "a date in a plugin's config",
        ),
    ] {
        let error = refused(&WHOLE.replace(old, new));
        assert!(error.contains(wanted), "{new}: {error}");
        assert!(error.starts_with("policy.toml:"), "{error}");
    }
}

#[test]
fn the_schema_is_generated_and_closed() {
    let schema = super::schema().to_value();
    assert_eq!(schema["additionalProperties"], serde_json::json!(false));
    let text = schema.to_string();
    for piece in [
        "\"step\"",
        "guard-request",
        "on-fault",
        "memory-mib",
        "default-plan",
    ] {
        assert!(text.contains(piece), "{piece}");
    }
    assert!(
        !text.contains("semantic"),
        "what is not offered is not in the schema"
    );
}

#[test]
fn the_schema_accepts_what_the_reader_accepts() {
    let schema = super::schema().to_value();
    let policy = Policy::parse("policy.toml", WHOLE).expect("a policy");
    let json = serde_json::to_value(&policy).expect("JSON");
    let errors: Vec<_> = jsonschema::validator_for(&schema)
        .expect("a schema")
        .iter_errors(&json)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

proptest! {
    #[test]
    fn no_near_miss_panics(at in 0..WHOLE.len(), cut in 0..40_usize, piece in "[\\[\\]{}=\"'\n#ä a-z0-9.-]{0,12}") {
        let start = WHOLE.floor_char_boundary(at);
        let end = WHOLE.floor_char_boundary((start + cut).min(WHOLE.len()));
        let text = format!("{}{piece}{}", &WHOLE[..start], &WHOLE[end..]);
        if let Err(error) = Policy::parse("policy.toml", &text) {
            prop_assert!(error.to_string().starts_with("policy.toml:"));
        }
    }
}
