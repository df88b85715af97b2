//! Words shared by all plugin roles: values, attributes, labels, reasons (WIT interface `types`).

use serde::{Deserialize, Serialize};

/// A typed value that crosses the plugin border.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// One string.
    Text(String),
    /// A list of strings, such as capabilities.
    Texts(Vec<String>),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A yes or no.
    Flag(bool),
}

impl Value {
    /// The string, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Texts(_) | Self::Integer(_) | Self::Number(_) | Self::Flag(_) => None,
        }
    }

    /// The whole number, if this is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            Self::Text(_) | Self::Texts(_) | Self::Number(_) | Self::Flag(_) => None,
        }
    }

    /// Bytes that this value occupies when it crosses a border; what result caps count.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Texts(texts) => texts.iter().map(String::len).sum(),
            Self::Integer(_) | Self::Number(_) => 8,
            Self::Flag(_) => 1,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// A key with a value: where the contract grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attribute {
    /// Kebab-case name.
    pub key: String,
    /// Its value.
    pub value: Value,
}

/// Why something was decided. `detail` never repeats content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reason {
    /// Stable and machine-readable, such as `pii.email`.
    pub code: String,
    /// For people.
    pub detail: String,
    /// `status`, `user-message`, `as` (`error` or `refusal`), …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

/// What a classifier or guard says about a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Label {
    /// Such as `task` or `language`.
    pub key: String,
    /// Such as `code` or `de`.
    pub value: Value,
    /// Confidence from 0 to 1.
    pub score: f32,
}
