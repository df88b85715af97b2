//! A line of the file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::scalar::Scalar;
use crate::{TIME_MS, outcome, secret};

/// What the `counters` import counts.
pub const COUNTS: [&str; 5] = ["requests", "denials", "cuts", "errors", "tokens"];

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Its line in the file, from 1.
    #[serde(skip)]
    pub line: usize,
    /// The plugin's configuration.
    #[serde(default = "empty")]
    pub config: Json,
    /// What the caller sends.
    #[serde(default)]
    pub request: Request,
    /// What the host knows besides.
    #[serde(default)]
    pub inputs: Inputs,
    /// What the provider says.
    #[serde(default)]
    pub answer: Answer,
    /// What must come out, by key.
    pub expect: Map<String, Json>,
}

fn empty() -> Json {
    Json::Object(Map::new())
}

/// What the caller sends.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// Headers that plugins may see.
    pub headers: BTreeMap<String, String>,
    /// A chat completion's body; model and messages may be left out.
    pub body: Map<String, Json>,
}

/// What the host knows besides.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Inputs {
    /// Fields of the request, over those that follow from its body.
    pub fields: BTreeMap<String, Scalar>,
    /// What earlier steps said.
    pub labels: BTreeMap<String, Scalar>,
    /// Of a splitter, 0 to 9999.
    pub bucket: u32,
    /// Of `random` in the native bench; a component's numbers come from request and step, as in a gateway.
    pub seed: u64,
    /// What `clock` answers, milliseconds since the epoch.
    pub time_ms: u64,
    /// Candidates by target: columns by name.
    pub pool: BTreeMap<String, BTreeMap<String, Scalar>>,
    /// What `prices` answers, by target.
    pub prices: BTreeMap<String, Vec<Rate>>,
    /// What an accountant is given; attempts are numbered from 0.
    pub usages: Vec<Usage>,
    /// What `counters` answers, whatever the window; the others are 0.
    pub counts: BTreeMap<String, u64>,
    /// Test values of secrets that the configuration names; the name stands in for others.
    pub secrets: BTreeMap<String, String>,
    /// Text of files that `data` reads, by name.
    pub data: BTreeMap<String, String>,
    /// What `embedding` answers, by name.
    pub vectors: BTreeMap<String, Vec<f32>>,
}

impl Default for Inputs {
    fn default() -> Self {
        Self {
            fields: BTreeMap::new(),
            labels: BTreeMap::new(),
            bucket: 0,
            seed: 0,
            time_ms: TIME_MS,
            pool: BTreeMap::new(),
            prices: BTreeMap::new(),
            usages: Vec::new(),
            counts: BTreeMap::new(),
            secrets: BTreeMap::new(),
            data: BTreeMap::new(),
            vectors: BTreeMap::new(),
        }
    }
}

/// A price row of a target.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rate {
    /// The meter's unit.
    pub unit: String,
    /// Pico-dollars per unit.
    pub pico_usd: i64,
    /// Holds above this many input tokens.
    #[serde(default)]
    pub above_input_tokens: u64,
    /// `source`, `date`, …
    #[serde(default)]
    pub attributes: BTreeMap<String, Scalar>,
}

/// What one attempt used.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// The target's name.
    #[serde(default)]
    pub target: String,
    /// `planned`, `ok`, `error`, `cancelled`.
    #[serde(default)]
    pub outcome: String,
    /// The meters.
    #[serde(default)]
    pub meters: Vec<Meter>,
    /// Room to grow.
    #[serde(default)]
    pub attributes: BTreeMap<String, Scalar>,
}

/// A counted quantity.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// `input-tokens`, `output-tokens`, …
    pub unit: String,
    /// How many.
    pub quantity: u64,
    /// Reckoned by the gateway, not told by the provider.
    #[serde(default)]
    pub estimated: bool,
}

/// What the provider says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Answer {
    /// Pieces of the text, as they come; none: there is no answer to guard.
    pub deltas: Vec<String>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// A line is no case.
    #[error("line {line} is no case: {detail}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        detail: String,
    },
    /// There is nothing in it.
    #[error("there are no cases; write one a line, each a JSON object")]
    Empty,
}

/// Reads a file's text; empty lines are skipped.
///
/// # Errors
/// The first line that is no case, and why.
pub fn read(text: &str) -> Result<Vec<Case>, Malformed> {
    let mut cases = Vec::new();
    for (line, written) in (1..).zip(text.lines()) {
        if written.trim().is_empty() {
            continue;
        }
        let malformed = |detail| Malformed::Line { line, detail };
        let mut case: Case =
            serde_json::from_str(written).map_err(|error| malformed(error.to_string()))?;
        case.line = line;
        case.sense().map_err(malformed)?;
        cases.push(case);
    }
    if cases.is_empty() {
        return Err(Malformed::Empty);
    }
    Ok(cases)
}

impl Case {
    /// Whether it can mean anything.
    fn sense(&self) -> Result<(), String> {
        let Self { name, inputs, .. } = self;
        if self.expect.is_empty() {
            return Err(format!("`{name}` expects nothing, so it cannot fail"));
        }
        let unknown = self
            .expect
            .keys()
            .find(|key| !outcome::KEYS.contains(&key.as_str()));
        if let Some(key) = unknown {
            return Err(format!(
                "`{name}` expects `{key}`, which nothing comes to; there are: {}",
                outcome::KEYS.join(", ")
            ));
        }
        if let Some(count) = inputs
            .counts
            .keys()
            .find(|count| !COUNTS.contains(&count.as_str()))
        {
            return Err(format!(
                "`{name}` has a count `{count}`; there are: {}",
                COUNTS.join(", ")
            ));
        }
        let named = secret::names(&self.config);
        if let Some(secret) = inputs
            .secrets
            .keys()
            .find(|secret| !named.contains(&secret.as_str()))
        {
            return Err(format!(
                "`{name}` has a value for the secret `{secret}`, which its config does not name as {}{secret}",
                secret::PREFIX
            ));
        }
        Ok(())
    }

    /// Whether it expects that its configuration is refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.expect.contains_key("refused")
    }

    /// The secrets that its configuration names, with their keys.
    #[must_use]
    pub fn secrets(&self) -> Vec<(String, Vec<u8>)> {
        let key = |name: &str| match self.inputs.secrets.get(name) {
            Some(value) => value.as_bytes().to_vec(),
            None => secret::stand_in(name),
        };
        let names = secret::names(&self.config).into_iter();
        names.map(|name| (name.to_owned(), key(name))).collect()
    }
}
