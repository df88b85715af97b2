//! References to secrets. The value itself never stands in a document, so none is ever read, shown or hashed here.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const HOW: &str = "a secret is written as a reference: `secret://env/NAME` or `secret://file/PATH`, never as its value";

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// In the environment variable of this name: `secret://env/NAME`.
    Env(String),
    /// In the file at this path: `secret://file/PATH`; an absolute path has two slashes.
    File(String),
}

impl std::str::FromStr for SecretRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text
            .strip_prefix("secret://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or(HOW)?;
        let variable = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match kind {
            "env" if !name.is_empty() && name.chars().all(variable) => {
                Ok(Self::Env(name.to_owned()))
            }
            "file" if !name.is_empty() && !name.contains('\0') => Ok(Self::File(name.to_owned())),
            _ => Err(HOW),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "secret://env/{name}"),
            Self::File(path) => write!(f, "secret://file/{path}"),
        }
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference)
    }
}

/// serde's own messages repeat the value of a wrong type; these do not.
struct Reference;

impl Visitor<'_> for Reference {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a reference to a secret")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretRef, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretRef, E> {
        Err(E::custom(HOW))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<SecretRef, E> {
        Err(E::custom(HOW))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretRef, E> {
        Err(E::custom(HOW))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<SecretRef, E> {
        Err(E::custom(HOW))
    }
}

impl JsonSchema for SecretRef {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretRef".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^secret://(env/[A-Za-z0-9_]+|file/.+)$" })
    }
}
