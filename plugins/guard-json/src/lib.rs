//! An answer must satisfy a JSON Schema: it passes as it is, is repaired where that is plain, or is cut.
//!
//! Promises: what is released as JSON satisfies the schema; a repair adds and guesses nothing; reasons name places of
//! the schema, never content. Refuses to know: what the model was asked.
#![forbid(unsafe_code)]

mod answer;
mod repair;
mod schema;

use pointsman_sdk::{Coverage, Plugin, ResponseGuard, View};
use serde::Deserialize;

pub use answer::Stream;
use schema::Schema;

/// What happens to an answer that does not satisfy the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Otherwise {
    /// The choice is cut, with a reason.
    #[default]
    Deny,
    /// It passes with its label.
    Label,
}

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    schema: serde_json::Value,
    #[serde(default = "yes")]
    repair: bool,
    #[serde(default)]
    otherwise: Otherwise,
}

const fn yes() -> bool {
    true
}

/// What decisions use.
#[derive(Debug)]
pub(crate) struct Settings {
    schema: Schema,
    repair: bool,
    otherwise: Otherwise,
}

/// The configured guard.
#[derive(Debug)]
pub struct GuardJson {
    settings: Settings,
}

impl Plugin for GuardJson {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        let schema = Schema::new(&config.schema).map_err(|error| format!("schema: {error}"))?;
        Ok(Self {
            settings: Settings {
                schema,
                repair: config.repair,
                otherwise: config.otherwise,
            },
        })
    }
}

impl ResponseGuard for GuardJson {
    type Stream = Stream;

    fn covers(&self) -> Coverage {
        Coverage {
            kinds: answer::CHANNEL_KINDS
                .iter()
                .map(|&kind| kind.to_owned())
                .collect(),
            // Only the whole answer can be judged.
            hold_back_bytes: u32::MAX,
            hold_back_ms: u32::MAX,
            attributes: Vec::new(),
        }
    }

    fn start(&'static self, _request: &dyn View) -> Stream {
        Stream::new(&self.settings)
    }
}

pointsman_sdk::export_plugin!(GuardJson: response_guard);

#[cfg(test)]
mod tests;
