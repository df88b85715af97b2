//! Environment overrides: `POINTSMAN_DATA_LISTEN` is `data.listen`, for every key that is a scalar or a list of words.
//!
//! The keys come from the generated schema, so a new key has its variable without another line of code.

use serde_json::{Map, Value, json};

use super::{StaticConfig, schema};
use crate::nearest::nearest;

const PREFIX: &str = "POINTSMAN_";
/// Variables of ours that are no keys.
const NO_KEYS: [&str; 6] = [
    "POINTSMAN_ADMIN_TOKEN",
    "POINTSMAN_CONFIG",
    "POINTSMAN_CONTROL_URL",
    "POINTSMAN_LOG",
    "POINTSMAN_MODEL",
    "POINTSMAN_SDK",
];

/// A variable that overrides nothing, or with nothing usable. Its value is never repeated: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideError {
    /// No key has this name.
    #[error("the environment variable {variable} is no configuration key{}", .nearest.as_ref().map(|known| format!("; did you mean {known}?")).unwrap_or_default())]
    Unknown {
        /// The variable.
        variable: String,
        /// The closest one that is a key.
        nearest: Option<String>,
    },
    /// The key does not take this value.
    #[error("the environment variable {variable} does not fit `{key}`: {detail}")]
    Value {
        /// The variable.
        variable: String,
        /// The key.
        key: String,
        /// What is wrong with the value.
        detail: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Number,
    Flag,
    /// Separated by commas.
    Texts,
}

struct Key {
    path: Vec<String>,
    kind: Kind,
}

impl Key {
    fn variable(&self) -> String {
        let name = self.path.join("_").replace('-', "_").to_ascii_uppercase();
        format!("{PREFIX}{name}")
    }

    fn name(&self) -> String {
        self.path.join(".")
    }
}

impl StaticConfig {
    /// Applies the variables that start with `POINTSMAN_`; others are none of ours.
    ///
    /// # Errors
    /// A variable that names no key, or whose value the key does not take. The configuration is then unchanged.
    pub fn override_with(
        &mut self,
        vars: impl Iterator<Item = (String, String)>,
    ) -> Result<(), OverrideError> {
        let mut ours: Vec<_> = vars
            .filter(|(name, _)| name.starts_with(PREFIX) && !NO_KEYS.contains(&name.as_str()))
            .collect();
        if ours.is_empty() {
            return Ok(());
        }
        // Sorted, so that of several bad ones the same is named each time.
        ours.sort_unstable();
        let keys = keys();
        let mut config = self.clone();
        for (variable, text) in ours {
            config = config.overridden(&keys, variable, &text)?;
        }
        *self = config;
        Ok(())
    }

    fn overridden(
        &self,
        keys: &[Key],
        variable: String,
        text: &str,
    ) -> Result<Self, OverrideError> {
        let Some(key) = keys.iter().find(|key| key.variable() == variable) else {
            let known: Vec<_> = keys.iter().map(Key::variable).collect();
            let nearest = nearest(&variable, known.iter().map(String::as_str)).map(str::to_owned);
            return Err(OverrideError::Unknown { variable, nearest });
        };
        let refuse = |detail: String| OverrideError::Value {
            variable: variable.clone(),
            key: key.name(),
            detail,
        };
        let value = key
            .kind
            .read(text)
            .map_err(|detail| refuse(detail.to_owned()))?;
        let mut tree = serde_json::to_value(self).map_err(|error| refuse(error.to_string()))?;
        set(&mut tree, &key.path, value);
        serde_json::from_value(tree).map_err(|error| refuse(error.to_string()))
    }
}

impl Kind {
    fn read(self, text: &str) -> Result<Value, &'static str> {
        match self {
            Self::Text => Ok(json!(text)),
            Self::Integer => text
                .trim()
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| "not a whole number"),
            Self::Number => text
                .trim()
                .parse::<f64>()
                .map(Value::from)
                .map_err(|_| "not a number"),
            Self::Flag => text
                .trim()
                .parse::<bool>()
                .map(Value::from)
                .map_err(|_| "write `true` or `false`"),
            Self::Texts => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .collect::<Vec<_>>()
                .into()),
        }
    }
}

fn set(tree: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *tree = value;
        return;
    };
    if !tree.is_object() {
        *tree = Value::Object(Map::new());
    }
    if let Some(table) = tree.as_object_mut() {
        set(
            table.entry(first.clone()).or_insert(Value::Null),
            rest,
            value,
        );
    }
}

fn keys() -> Vec<Key> {
    let schema = schema().to_value();
    let mut keys = Vec::new();
    collect(&schema, &schema, &[], &mut keys);
    keys
}

fn collect(root: &Value, schema: &Value, path: &[String], keys: &mut Vec<Key>) {
    let schema = resolved(root, schema);
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            let mut path = path.to_vec();
            path.push(name.clone());
            collect(root, property, &path, keys);
        }
        return;
    }
    let kind = match type_of(schema) {
        Some("string") => Kind::Text,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Flag,
        Some("array")
            if schema
                .get("items")
                .map(|items| resolved(root, items))
                .and_then(type_of)
                == Some("string") =>
        {
            Kind::Texts
        }
        _ => return,
    };
    keys.push(Key {
        path: path.to_vec(),
        kind,
    });
}

/// The schema behind `$ref` and behind "this or null".
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let referred = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|at| root.pointer(at.trim_start_matches('#')));
    if let Some(referred) = referred {
        return resolved(root, referred);
    }
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    match alternatives.and_then(|all| all.iter().find(|one| type_of(one) != Some("null"))) {
        Some(one) => resolved(root, one),
        None => schema,
    }
}

fn type_of(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(name) => Some(name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .find(|name| *name != "null"),
        _ => None,
    }
}
