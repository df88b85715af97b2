//! A step's config against its plugin's JSON Schema.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use serde_json::Value;

use crate::finding::{Finding, Path};
use crate::installed::PluginFact;
use crate::nearest::did_you_mean;
use crate::policy::Step;

/// Findings of one config; a config that is all wrong says so often enough.
const FINDINGS_MAX: usize = 20;
/// Bytes of a message, which may repeat a value of the config.
const MESSAGE_BYTES_MAX: usize = 300;

pub(super) fn check(step: &Step, fact: &PluginFact, at: &Path, findings: &mut Vec<Finding>) {
    let at = at.key("config");
    let validator = match jsonschema::validator_for(&fact.config_schema) {
        Ok(validator) => validator,
        Err(error) => {
            let message = format!(
                "{} has a config schema that is none: {}",
                fact.label(),
                clip(error.to_string())
            );
            findings.push(Finding::error(at, message).help("tell the plugin's author"));
            return;
        }
    };
    let config = Value::Object(step.config.clone());
    for error in validator.iter_errors(&config).take(FINDINGS_MAX) {
        findings.extend(explain(&error, &fact.config_schema, &at));
    }
}

fn explain(error: &ValidationError<'_>, schema: &Value, at: &Path) -> Vec<Finding> {
    let mut place = at.clone();
    for segment in error.instance_path() {
        place = match segment {
            LocationSegment::Property(key) => place.key(&key),
            LocationSegment::Index(index) => place.index(index),
        };
    }
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
        let known = siblings(schema, error.schema_path().as_str());
        let one = |key: &String| {
            let help = did_you_mean(key, known.iter().map(String::as_str)).or_else(|| {
                (!known.is_empty()).then(|| format!("known here: {}", known.join(", ")))
            });
            Finding::error(place.key(key), format!("unknown key `{key}`")).maybe_help(help)
        };
        return unexpected.iter().map(one).collect();
    }
    vec![Finding::error(place, clip(error.to_string()))]
}

/// The keys that the schema knows where `additionalProperties` refused one.
fn siblings(schema: &Value, pointer: &str) -> Vec<String> {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema
        .pointer(parent)
        .and_then(|parent| parent.get("properties"))
        .and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(key, _)| key.clone())
        .collect()
}

fn clip(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        message.push('…');
    }
    message
}
