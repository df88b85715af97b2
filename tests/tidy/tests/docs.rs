//! Rules about documents that repeat what the code defines: tables of codes, keys and defaults are whole and true, and
//! generated files are what the code generates.

use std::collections::BTreeSet;

use pointsman_domain::{ErrorKind, FaultKind};
use pointsman_policy::config::{self, StaticConfig};
use pointsman_policy::policy::{self, Execute, Phase};
use pointsman_tidy::{no_findings, read, root};
use serde_json::Value;

/// Rewrites generated files instead of comparing them.
const UPDATE: &str = "UPDATE_GENERATED";

fn document(file: &str) -> String {
    read(file).expect("the document is there")
}

/// The cells of every table row whose first cell is one word of code, by that word.
fn rows(text: &str) -> Vec<(&str, Vec<&str>)> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let (name, rest) = line.split_once("` |")?;
            let cells = rest.trim_end().trim_end_matches('|').split(" | ");
            Some((name, cells.map(str::trim).collect()))
        })
        .collect()
}

fn check_generated(file: &str, schema: &Value) {
    if std::env::var_os(UPDATE).is_some() {
        let text = serde_json::to_string_pretty(schema).expect("a schema is JSON");
        std::fs::write(root().join(file), text + "\n").expect("the generated file can be written");
    }
    // Compared as values: the order of keys depends on features that other crates of a build switch on.
    let found = read(file).and_then(|text| serde_json::from_str(&text).ok());
    assert!(
        found.as_ref() == Some(schema),
        "{file} is not what the code generates; run: {UPDATE}=1 cargo test -p pointsman-tidy --test docs"
    );
}

#[test]
fn the_schema_of_policies_is_current() {
    check_generated(
        "docs/generated/policy.schema.json",
        &policy::schema().to_value(),
    );
}

#[test]
fn the_schema_of_the_configuration_is_current() {
    check_generated(
        "docs/generated/pointsman.schema.json",
        &config::schema().to_value(),
    );
}

#[test]
fn the_document_of_the_control_api_is_current() {
    check_generated("docs/generated/openapi.json", &pointsman_control::openapi());
}

#[test]
fn every_error_code_is_told_with_its_status_and_type() {
    let text = document("docs/errors.md");
    let told = rows(&text);
    let mut findings = Vec::new();
    for kind in ErrorKind::ALL {
        let Some((_, cells)) = told.iter().find(|(code, _)| *code == kind.code()) else {
            findings.push(format!("`{}` is missing", kind.code()));
            continue;
        };
        let status = kind.status().to_string();
        if !cells[0].contains(&status) {
            findings.push(format!("`{}` has the status {status}", kind.code()));
        }
        if !cells[1].contains(kind.openai_type()) && cells[1] != "by status" {
            findings.push(format!(
                "`{}` has the type {}",
                kind.code(),
                kind.openai_type()
            ));
        }
    }
    no_findings("docs/errors.md and domain::ErrorKind differ:", &findings);
}

#[test]
fn every_fault_is_told() {
    let text = document("docs/plugins.md");
    let told: BTreeSet<&str> = rows(&text).into_iter().map(|(name, _)| name).collect();
    let kinds = [
        FaultKind::Trap,
        FaultKind::Fuel,
        FaultKind::Deadline,
        FaultKind::Memory,
        FaultKind::Output,
        FaultKind::Import,
        FaultKind::Contract,
        FaultKind::Capacity,
        FaultKind::Tripped,
    ];
    let missing = kinds
        .iter()
        .map(|kind| kind.as_str())
        .filter(|kind| !told.contains(kind));
    let findings: Vec<String> = missing.map(str::to_owned).collect();
    no_findings("docs/plugins.md does not tell these faults:", &findings);
}

/// Every key of a schema that is no table, by its path: `data.listen`; lists of tables without their index.
fn keys(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(schema, schema, "", &mut found);
    found
}

fn collect(root: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    let schema = table_of(root, schema);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        found.push(path.to_owned());
        return;
    };
    for (name, property) in properties {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        collect(root, property, &path, found);
    }
}

/// The table behind a reference, "this or nothing", or a list of them; else the schema itself.
fn table_of<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(at) = schema.get("$ref").and_then(Value::as_str) {
        let referred = root.pointer(at.trim_start_matches('#'));
        return table_of(root, referred.expect("references resolve"));
    }
    if let Some(all) = schema.get("anyOf").and_then(Value::as_array) {
        return table_of(root, &all[0]);
    }
    match schema.get("items") {
        Some(items) if items.get("$ref").is_some() => table_of(root, items),
        _ => schema,
    }
}

/// How a default stands in a table.
fn written(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`\"{text}\"`"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(Value::to_string).collect();
            format!("`[{}]`", items.join(", "))
        }
        other => format!("`{other}`"),
    }
}

/// Keys that a document does not tell, or with another default.
fn differences(
    text: &str,
    keys: &[String],
    default: impl Fn(&str) -> Option<Value>,
) -> Vec<String> {
    let told = rows(text);
    let mut findings = Vec::new();
    for key in keys {
        let Some((_, cells)) = told.iter().find(|(name, _)| name == key) else {
            findings.push(format!("`{key}` is missing"));
            continue;
        };
        let Some(value) = default(key) else { continue };
        let wanted = written(&value);
        if cells[0] != wanted {
            findings.push(format!("`{key}` is {wanted} by default, not {}", cells[0]));
        }
    }
    for (name, _) in told.iter().filter(|(name, _)| name.contains('.')) {
        let is_key = |name: &str| keys.iter().any(|key| key == name);
        let table = name.split('.').next().unwrap_or_default();
        if keys.iter().any(|key| key.starts_with(&format!("{table}."))) && !is_key(name) {
            findings.push(format!("`{name}` is told and is no key"));
        }
    }
    findings
}

#[test]
fn every_key_of_the_configuration_is_told_with_its_default() {
    let text = document("docs/configuration.md");
    let defaults = serde_json::to_value(StaticConfig::default()).expect("a configuration is JSON");
    let default = |key: &str| {
        defaults
            .pointer(&format!("/{}", key.replace('.', "/")))
            .cloned()
    };
    let findings = differences(&text, &keys(&config::schema().to_value()), default);
    no_findings("docs/configuration.md and its keys differ:", &findings);
}

#[test]
fn every_key_of_policies_is_told_with_its_default() {
    let text = document("docs/policies.md");
    let execute = serde_json::to_value(Execute::default()).expect("execution is JSON");
    let default = |key: &str| execute.get(key.strip_prefix("execute.")?).cloned();
    let findings = differences(&text, &keys(&policy::schema().to_value()), default);
    no_findings("docs/policies.md and its keys differ:", &findings);
}

#[test]
fn every_phase_is_told_with_what_failures_may_do() {
    let text = document("docs/policies.md");
    let told = rows(&text);
    let mut findings = Vec::new();
    for phase in Phase::ALL {
        let words: Vec<String> = phase
            .on_faults()
            .iter()
            .map(|on_fault| format!("`{on_fault}`"))
            .collect();
        let wanted = words.join(", ");
        let is_told = told
            .iter()
            .any(|(name, cells)| *name == phase.as_str() && cells.contains(&wanted.as_str()));
        if !is_told {
            findings.push(format!("{phase}: on-fault {wanted}, the default first"));
        }
    }
    no_findings("docs/policies.md and the phases differ:", &findings);
}
