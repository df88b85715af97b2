//! The configuration as the operator writes it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// In order.
    pub(crate) rules: Vec<RuleConfig>,
    /// What becomes of a request that no rule allows or denies.
    #[serde(default)]
    pub(crate) default: Fallback,
    /// Bytes of the newest text that `text` holds.
    #[serde(default = "text_bytes")]
    pub(crate) text_bytes: u32,
}

const fn text_bytes() -> u32 {
    8192
}

/// What becomes of a request that no rule allows or denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fallback {
    #[default]
    Allow,
    Deny,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RuleConfig {
    /// For people, and for the label that lists rules without an answer.
    pub(crate) name: Option<String>,
    /// CEL.
    pub(crate) when: String,
    pub(crate) then: Then,
    pub(crate) on_error: Option<OnError>,
}

/// What a rule does where its condition has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnError {
    Skip,
    Deny,
}

/// What a rule does where its condition holds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Then {
    pub(crate) deny: Option<Deny>,
    pub(crate) allow: Option<bool>,
    pub(crate) label: BTreeMap<String, Json>,
    pub(crate) set: Option<Set>,
    pub(crate) route: Option<Vec<String>>,
}

/// A refusal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Deny {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) status: Option<u16>,
}

/// Parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Set {
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) temperature: Option<f64>,
    pub(crate) remove_tool: Option<Json>,
    pub(crate) prepend_system: Option<String>,
}
