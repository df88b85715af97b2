//! Secrets that a step's config names: they exist, and the step may use them.

use serde_json::Value;

use super::{Facts, unknown};
use crate::config::is_secret_name;
use crate::finding::{Finding, Path};
use crate::policy::Step;

const PREFIX: &str = "secret://";

pub(super) fn check(step: &Step, at: &Path, facts: &Facts, findings: &mut Vec<Finding>) {
    let is_granted = step.grants.iter().any(|grant| grant == "secrets");
    for (key, value) in &step.config {
        named(value, &at.key("config").key(key), &mut |name, at| {
            findings.extend(finding(name, at, is_granted, facts));
        });
    }
}

fn finding(name: &str, at: &Path, is_granted: bool, facts: &Facts) -> Option<Finding> {
    let at = at.clone();
    if !is_secret_name(name) {
        let message = "not a secret's name: a step writes `secret://NAME`";
        let help = "define NAME as [[secret]] in pointsman.toml, which says where its value is";
        return Some(Finding::error(at, message).help(help));
    }
    if !facts.secrets.contains(name) {
        let known = facts.secrets.iter().map(String::as_str);
        let found = unknown("secret", name, known, at);
        return Some(if facts.secrets.is_empty() {
            found.help("define it as [[secret]] in pointsman.toml")
        } else {
            found
        });
    }
    (!is_granted).then(|| {
        let message = "the step names a secret and may not use it";
        Finding::error(at, message).help("add grants = [\"secrets\"]")
    })
}

/// The names of secrets in a config, each with its place.
fn named(value: &Value, at: &Path, found: &mut impl FnMut(&str, &Path)) {
    match value {
        Value::String(text) => {
            if let Some(name) = text.strip_prefix(PREFIX) {
                found(name, at);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                named(value, &at.index(index), found);
            }
        }
        Value::Object(keys) => {
            for (key, value) in keys {
                named(value, &at.key(key), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
