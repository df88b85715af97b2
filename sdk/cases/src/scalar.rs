//! Values of the contract as cases write them.

use serde::Deserialize;
use serde_json::Value as Json;

/// What the contract can carry; objects and null it cannot.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Json")]
pub enum Scalar {
    /// One string.
    Text(String),
    /// A list of strings.
    Texts(Vec<String>),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A yes or no.
    Flag(bool),
}

impl TryFrom<Json> for Scalar {
    type Error = String;

    fn try_from(json: Json) -> Result<Self, String> {
        let none = |json: &Json| format!("the contract has no value for {json}");
        Ok(match json {
            Json::String(text) => Self::Text(text),
            Json::Bool(flag) => Self::Flag(flag),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Number(number.as_f64().ok_or("a number is finite")?),
            },
            Json::Array(items) => {
                let text = |item: Json| match item {
                    Json::String(text) => Ok(text),
                    other => Err(format!("lists hold strings, not {other}")),
                };
                Self::Texts(items.into_iter().map(text).collect::<Result<_, _>>()?)
            }
            Json::Null | Json::Object(_) => return Err(none(&json)),
        })
    }
}

impl From<Scalar> for Json {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Text(text) => text.into(),
            Scalar::Texts(texts) => texts.into(),
            Scalar::Integer(integer) => integer.into(),
            Scalar::Number(number) => number.into(),
            Scalar::Flag(flag) => flag.into(),
        }
    }
}
