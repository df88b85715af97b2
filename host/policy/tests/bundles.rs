//! The bundles and the catalogue that we ship, against the schemas of the plugins that we ship.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

use pointsman_domain::Role;
use pointsman_policy::installed::PluginFact;
use pointsman_policy::policy::Policy;
use pointsman_policy::prices::Catalogue;
use pointsman_policy::validate::{CredentialFact, Facts, check};
use pointsman_policy::{cases, digest, document};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn catalogue() -> Catalogue {
    let text = read_to_string(root().join("policies/prices.jsonl")).expect("the catalogue");
    Catalogue::parse("policies/prices.jsonl", &text).expect("a catalogue")
}

fn plugin(name: &str, roles: &[Role], imports: &[&str]) -> PluginFact {
    let schema = root().join("plugins").join(name).join("config.schema.json");
    let schema = read_to_string(schema).expect("a plugin's schema");
    PluginFact {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        digest: digest::bytes(name.as_bytes()),
        roles: roles.to_vec(),
        imports: imports.iter().map(|import| (*import).to_owned()).collect(),
        config_schema: serde_json::from_str(&schema).expect("JSON"),
    }
}

fn facts() -> Facts {
    let credential = |name: &str, origin: &str| CredentialFact {
        name: name.to_owned(),
        origins: vec![origin.to_owned()],
    };
    Facts {
        secrets: BTreeSet::new(),
        plugins: vec![
            plugin("classify-task", &[Role::Classifier], &[]),
            plugin("guard-pii", &[Role::RequestGuard, Role::ResponseGuard], &[]),
            plugin("split-ab", &[Role::Splitter], &[]),
            plugin("route-rules", &[Role::Router], &[]),
            plugin("route-cheapest", &[Role::Router], &[]),
            plugin("account-tokens", &[Role::Accountant], &["prices"]),
        ],
        credentials: vec![
            credential("openai", "https://api.openai.com"),
            credential("anthropic", "https://api.anthropic.com"),
        ],
        prices: Some(catalogue().keys().map(str::to_owned).collect()),
        files: Some(BTreeSet::new()),
        lock: None,
    }
}

fn bundles() -> Vec<PathBuf> {
    let folders = std::fs::read_dir(root().join("policies")).expect("policies");
    let folders = folders
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir());
    folders.collect()
}

#[test]
fn every_bundle_is_sound_and_has_cases() {
    let facts = facts();
    let bundles = bundles();
    assert!(bundles.len() >= 4, "{bundles:?}");
    for bundle in bundles {
        let text = read_to_string(bundle.join("policy.toml")).expect("a policy");
        let policy = Policy::parse("policy.toml", &text).expect("a policy");
        assert_eq!(
            bundle.file_name().and_then(|name| name.to_str()),
            Some(policy.name.as_str())
        );
        let mut findings = check(&policy, None, &facts);
        document::place(&mut findings, "policy.toml", &text);
        assert!(findings.is_empty(), "{}: {findings:#?}", policy.name);
        let cases = read_to_string(bundle.join(cases::FILE_NAME)).expect("cases");
        let cases = cases::parse(cases::FILE_NAME, &cases).expect("cases");
        assert!(
            cases.len() >= 5,
            "{} has {} cases",
            policy.name,
            cases.len()
        );
        assert!(bundle.join("README.md").is_file());
    }
}

#[test]
fn the_catalogue_is_exact_and_says_where_each_rate_is_from() {
    let catalogue = catalogue();
    assert!(catalogue.len() > 1_400, "{} models", catalogue.len());
    let find = |key: &str, unit: &str| {
        let rates = catalogue
            .rates(key)
            .unwrap_or_else(|| panic!("{key} is not there"));
        rates
            .iter()
            .find(|rate| rate.unit == unit && rate.above_input_tokens == 0)
            .map(|rate| rate.pico_usd)
    };
    assert_eq!(find("openai/gpt-4o-mini", "input-tokens"), Some(150_000));
    assert_eq!(find("openai/gpt-4o-mini", "output-tokens"), Some(600_000));
    assert_eq!(
        find("engine/smollm2-135m-instruct", "input-tokens"),
        Some(0)
    );
    for key in catalogue.keys() {
        for rate in catalogue.rates(key).expect("a key of its own") {
            let keys: Vec<_> = rate
                .attributes
                .iter()
                .map(|attribute| attribute.key.as_str())
                .collect();
            assert_eq!(keys, ["source", "date"], "{key}");
        }
    }
}
