//! What the operator writes, before it is checked.

use serde::Deserialize;
use serde_json::Number;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// In the order of asking.
    #[serde(default)]
    pub(crate) rules: Vec<RuleConfig>,
    /// Where requests go that no rule took; absent: the next router decides.
    pub(crate) default: Option<Vec<TargetConfig>>,
}

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RuleConfig {
    pub(crate) name: Option<String>,
    pub(crate) r#if: ConditionConfig,
    pub(crate) to: Vec<TargetConfig>,
    #[serde(default)]
    pub(crate) fallback: Vec<String>,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) first_token_timeout_ms: Option<u32>,
    pub(crate) retries: Option<u32>,
    pub(crate) model: Option<String>,
}

/// A target, with a weight where it is drawn.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a target is a name or { target = \"…\", weight = 1 }"
)]
pub(crate) enum TargetConfig {
    Name(String),
    Weighted(WeightedConfig),
}

/// A target that is drawn by weight.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightedConfig {
    pub(crate) target: String,
    pub(crate) weight: u32,
}

/// A condition: one subject, and tests where the subject has a value.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ConditionConfig {
    pub(crate) label: Option<String>,
    pub(crate) field: Option<String>,
    pub(crate) header: Option<String>,
    pub(crate) variant: Option<String>,
    pub(crate) budget_left_below: Option<DollarsConfig>,
    pub(crate) all: Option<Vec<Self>>,
    pub(crate) any: Option<Vec<Self>>,
    pub(crate) not: Option<Box<Self>>,
    pub(crate) is: Option<ScalarConfig>,
    pub(crate) r#in: Option<Vec<ScalarConfig>>,
    pub(crate) above: Option<Number>,
    pub(crate) below: Option<Number>,
    pub(crate) present: Option<bool>,
    pub(crate) score_above: Option<f32>,
}

/// A value to compare with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "a value is text, a number, true or false")]
pub(crate) enum ScalarConfig {
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

/// US dollars.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "dollars are a decimal such as \"2.50\"")]
pub(crate) enum DollarsConfig {
    Text(String),
    Number(Number),
}
