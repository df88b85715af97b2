//! A router that goes by vectors: each candidate has a file of text, and the one whose vector is nearest to that of
//! the recent text is tried first. Without a vector it abstains.
#![forbid(unsafe_code)]

use pointsman_sdk::{Attempt, Plan, Plugin, PluginError, Pool, Reason, Router, View, host};
use serde::Deserialize;

/// Nothing to configure.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// The router.
#[derive(Debug)]
pub struct Near;

impl Plugin for Near {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = r#"{ "type": "object", "maxProperties": 0 }"#;
    const IMPORTS: &'static [&'static str] = &["embedding"];

    fn configure(_: Config) -> Result<Self, String> {
        Ok(Self)
    }
}

impl Router for Near {
    fn route(&self, _request: &dyn View, candidates: &dyn Pool) -> Result<Plan, PluginError> {
        let Some(recent) = host::vector("recent") else {
            return Ok(Plan::abstain("no-vector", "the text has no vector"));
        };
        if host::vector("no-such-file").is_some() {
            return Err(PluginError::Internal("a vector of nothing".to_owned()));
        }
        let names = candidates.names();
        let near = names.into_iter().filter_map(|name| {
            let like = host::vector(&format!("{name}.txt"))?;
            let both = recent.iter().zip(&like);
            Some((both.map(|(one, other)| one * other).sum::<f32>(), name))
        });
        let mut near: Vec<_> = near.collect();
        near.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let attempts = near.into_iter().map(|(_, name)| Attempt::new(name));
        Ok(Plan {
            attempts: attempts.collect(),
            reason: Reason::new("near", "by the vectors of the candidates' texts"),
            attributes: Vec::new(),
        })
    }
}

pointsman_sdk::export_plugin!(Near: router);
