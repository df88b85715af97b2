//! Targets, candidates and plans (WIT interfaces `targets` and `router`).

use serde::{Deserialize, Serialize};

use crate::value::{Attribute, Reason, Value};

/// What a router chooses from, by column; row `i` of each column belongs to `names[i]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CandidatePool {
    /// Target names.
    pub names: Vec<String>,
    /// Columns such as `price-input-pico-usd`, `context-tokens`, `capabilities`, `healthy`.
    pub columns: Vec<(String, Vec<Option<Value>>)>,
}

impl CandidatePool {
    /// A column by key; all `None` where it is unknown.
    #[must_use]
    pub fn column(&self, key: &str) -> Vec<Option<Value>> {
        self.columns
            .iter()
            .find(|(name, _)| name == key)
            .map_or_else(
                || vec![None; self.names.len()],
                |(_, values)| values.clone(),
            )
    }
}

/// One try in a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PlannedAttempt {
    /// The target's name.
    pub target: String,
    /// `timeout-ms`, `first-token-timeout-ms`, `hedge-after-ms`, `retries`, `model`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

/// A router's answer. No attempts: it abstains.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// In the order of trying.
    pub attempts: Vec<PlannedAttempt>,
    /// Why.
    pub reason: Reason,
    /// `deadline-ms`, `attempts-max`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}
