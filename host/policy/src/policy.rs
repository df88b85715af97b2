//! A policy as it is written: `policy.toml`, or the same schema as JSON.
//!
//! Promises: whatever is accepted takes effect; what is planned and not built is refused by name. Refuses to know:
//! whether plugins, credentials and prices exist (`validate`), and where bundles come from.

mod phase;
mod reference;
#[cfg(test)]
mod tests;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use phase::{OnFault, Phase};
pub use reference::{PluginRef, PluginRefError, newer};

use crate::bounded::{number, optional};
use crate::choice::choice;
use crate::document::{self, DocumentError};

/// The format that this gateway reads.
pub const FORMAT: u32 = 1;

/// A whole policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Policy {
    /// The format's version: 1.
    #[serde(deserialize_with = "format")]
    pub format: u32,
    /// The policy's name.
    pub name: String,
    /// A label such as `0.1.0`; the version's number is given when it is pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// A tenant's policy, or the floor beneath them all.
    #[serde(default)]
    pub kind: Kind,
    /// The floor it was checked with; the one in force is the gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// What clients may ask for, in the order of `/v1/models`.
    #[serde(default, rename = "model", skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// What can answer.
    #[serde(default, rename = "target", skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// The variants of an experiment; the first is what a splitter's fallback means.
    #[serde(default, rename = "variant", skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// The steps; within a phase in this order.
    #[serde(default, rename = "step", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// How plans are executed.
    #[serde(default)]
    pub execute: Execute,
    /// Answers kept for equal requests.
    #[serde(default)]
    pub cache: Cache,
    /// Where vectors of text come from, for steps that are granted `embedding`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<Embedding>,
    /// Whose limits hold for its requests; absent: the key's and the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Whose budgets pay for its requests, and what has no price.
    #[serde(default)]
    pub budget: Budget,
    /// What decisions record.
    #[serde(default)]
    pub audit: Audit,
}

impl Policy {
    /// Reads `policy.toml`; `name` is what errors call the file.
    ///
    /// # Errors
    /// Syntax, wrong types, unknown keys, and what is not offered yet.
    pub fn parse(name: &str, text: &str) -> Result<Self, DocumentError> {
        document::parse(name, text)
    }

    /// Reads the same schema written as JSON.
    ///
    /// # Errors
    /// As `parse`.
    pub fn parse_json(name: &str, text: &str) -> Result<Self, DocumentError> {
        document::parse_json(name, text)
    }

    /// A target by name.
    #[must_use]
    pub fn target(&self, name: &str) -> Option<&Target> {
        self.targets.iter().find(|target| target.name == name)
    }
}

/// The JSON Schema of a policy.
#[must_use]
pub fn schema() -> Schema {
    schemars::schema_for!(Policy)
}

choice! {
    /// Whose policy it is.
    #[derive(Default)]
    Kind {
        /// A tenant's.
        #[default]
        Tenant = "tenant",
        /// The platform's: steps that apply under every tenant's policy.
        Floor = "floor",
    }
    later []
}

/// A name that clients may ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Model {
    /// What clients write as `model`.
    pub name: String,
    /// The targets that may answer it.
    pub targets: Vec<String>,
}

choice! {
    /// What a target speaks.
    TargetKind {
        /// The in-tree engine.
        Engine = "engine",
        /// An OpenAI-compatible chat API.
        OpenAiCompatible = "openai-compatible",
    }
    later ["anthropic", "gemini", "bedrock"]
}

/// One place that can answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Target {
    /// What models, plans and records call it.
    pub name: String,
    /// What it speaks.
    pub kind: TargetKind,
    /// The base URL: `https://api.openai.com/v1`.
    pub endpoint: String,
    /// What the target calls the model.
    pub model: String,
    /// Its key in the price catalogue; absent: unpriced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
    /// The credential it is called with, defined in `pointsman.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// What it can do: `streaming`, `tools`, `json-schema`, `vision`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Tokens of prompt and answer together.
    #[serde(
        default,
        deserialize_with = "optional::<1, 1_000_000_000, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub context_tokens: Option<u32>,
    /// Tokens of an answer.
    #[serde(
        default,
        deserialize_with = "optional::<1, 1_000_000_000, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_output_tokens: Option<u32>,
    /// How good its answers are, 0 to 1, by the operator's own measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<f64>,
    /// Where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether streams are asked for usage (`stream_options.include_usage`).
    #[serde(default = "yes")]
    pub stream_usage: bool,
}

/// A variant of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Variant {
    /// Its name.
    pub name: String,
}

/// One plugin in one phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// What records call it; also the salt of a splitter's buckets.
    pub id: String,
    /// When it runs.
    pub phase: Phase,
    /// `name@version`; a shorter version means the newest that begins so.
    pub plugin: PluginRef,
    /// The plugin's configuration, by the plugin's own schema.
    #[serde(
        default,
        deserialize_with = "config",
        skip_serializing_if = "Map::is_empty"
    )]
    pub config: Map<String, Value>,
    /// A CEL condition over `request`, `labels`, `headers`, `tenant`, `key`, `variant`; absent: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What happens when it fails; absent: the phase's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_fault: Option<OnFault>,
    /// For guards: every kind of text is covered or refused, and the guard is never skipped.
    #[serde(default)]
    pub required: bool,
    /// The host interfaces that it may call: `prices`, `data`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// The bundle's files that it may read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<String>,
    /// Whether a decision gets an instance of its own; absent: as the plugin asks, else fresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<Instances>,
    /// What a call may use.
    #[serde(default)]
    pub limits: StepLimits,
}

impl Step {
    /// What happens when it fails.
    #[must_use]
    pub fn on_fault(&self) -> OnFault {
        self.on_fault
            .unwrap_or_else(|| self.phase.default_on_fault())
    }
}

choice! {
    /// Whether a decision gets an instance of its own.
    #[derive(Default)]
    Instances {
        /// A fresh one each: nothing leaks between requests, replay is exact.
        #[default]
        Fresh = "fresh",
        /// Reused: faster, and the plugin may remember.
        Pooled = "pooled",
    }
    later []
}

/// What a call may use; absent: the runtime's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StepLimits {
    /// Instructions, counted deterministically.
    #[serde(
        deserialize_with = "optional::<1, 100_000_000_000, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub fuel: Option<u64>,
    /// MiB of memory.
    #[serde(
        deserialize_with = "optional::<1, 4096, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub memory_mib: Option<u32>,
    /// Milliseconds; a backstop, not deterministic.
    #[serde(
        deserialize_with = "optional::<1, 60_000, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub epoch_ms: Option<u32>,
    /// Faults for one tenant after which the step is not run for it for a while; 0: it always runs.
    #[serde(
        deserialize_with = "optional::<0, 1000, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub faults_max: Option<u32>,
    /// Milliseconds within which they count.
    #[serde(
        deserialize_with = "optional::<1, 3_600_000, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub faults_within_ms: Option<u32>,
    /// Milliseconds for which it is not run, before one request tries it.
    #[serde(
        deserialize_with = "optional::<1, 3_600_000, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub trip_ms: Option<u32>,
}

/// How plans are executed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Execute {
    /// The targets that are tried where no router decides; those that serve the model, in this order.
    pub default_plan: Vec<String>,
    /// Tries of one request, all targets together.
    #[serde(deserialize_with = "number::<1, 16, _, _>")]
    pub attempts_max: u32,
    /// Milliseconds for all tries together.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub deadline_ms: u64,
    /// Milliseconds for a connection.
    #[serde(deserialize_with = "number::<1, 600_000, _, _>")]
    pub connect_timeout_ms: u64,
    /// Milliseconds until the first token.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub first_token_timeout_ms: u64,
    /// Milliseconds without a byte.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub idle_timeout_ms: u64,
    /// Failures after which another try is made: `connect`, `timeout`, `stream`, `egress`, `5xx`, or a status.
    pub retry_on: Vec<String>,
    /// Further tries of the same target, where the plan does not say.
    #[serde(deserialize_with = "number::<0, 15, _, _>")]
    pub retries: u32,
    /// Milliseconds before the first retry of the same target; doubles with each.
    #[serde(deserialize_with = "number::<0, 60_000, _, _>")]
    pub backoff_ms: u64,
    /// The longest such pause, in milliseconds.
    #[serde(deserialize_with = "number::<0, 600_000, _, _>")]
    pub backoff_ms_max: u64,
}

impl Default for Execute {
    fn default() -> Self {
        Self {
            default_plan: Vec::new(),
            attempts_max: 3,
            deadline_ms: 120_000,
            connect_timeout_ms: 2_000,
            first_token_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            retry_on: ["connect", "timeout", "stream", "429", "5xx"]
                .map(str::to_owned)
                .to_vec(),
            retries: 0,
            backoff_ms: 100,
            backoff_ms_max: 2_000,
        }
    }
}

/// Answers kept for equal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Cache {
    /// Whether answers are kept.
    pub mode: CacheMode,
    /// Seconds that an answer is told again.
    #[serde(deserialize_with = "number::<1, 604_800, _, _>")]
    pub ttl_s: u32,
    /// Bytes of an answer; a larger one is not kept.
    #[serde(deserialize_with = "number::<1024, 67_108_864, _, _>")]
    pub entry_bytes_max: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            mode: CacheMode::Off,
            ttl_s: 300,
            entry_bytes_max: 1 << 20,
        }
    }
}

choice! {
    /// Whether answers are kept.
    #[derive(Default)]
    CacheMode {
        /// They are not.
        #[default]
        Off = "off",
        /// For requests that are equal in all that decides an answer.
        Exact = "exact",
    }
    later ["semantic"]
}

/// Where vectors of text come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Embedding {
    /// The target that is asked, at its `/embeddings`. No model may have it: it answers no chats.
    pub target: String,
    /// Milliseconds that a step waits for its vectors.
    #[serde(
        default = "Embedding::timeout_ms",
        deserialize_with = "number::<1, 60_000, _, _>"
    )]
    pub timeout_ms: u64,
    /// Bytes of the newest text of the messages; of a data file more is not embedded at all.
    #[serde(
        default = "Embedding::text_bytes_max",
        deserialize_with = "number::<1, 65_536, _, _>"
    )]
    pub text_bytes_max: u32,
    /// Numbers of a vector; a longer one is a failure.
    #[serde(
        default = "Embedding::dimensions_max",
        deserialize_with = "number::<1, 16_384, _, _>"
    )]
    pub dimensions_max: u32,
}

impl Embedding {
    const fn timeout_ms() -> u64 {
        2_000
    }

    const fn text_bytes_max() -> u32 {
        8_192
    }

    const fn dimensions_max() -> u32 {
        4_096
    }
}

choice! {
    /// Whose limits or budgets: the amounts are control state.
    Scope {
        /// The key's own.
        Key = "key",
        /// Its tenant's.
        Tenant = "tenant",
    }
    later []
}

/// Whose limits hold for a policy's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// These alone; a floor's hold as well.
    pub scopes: Vec<Scope>,
}

/// How usage counts against budgets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Budget {
    /// What usage without a price does.
    pub on_unpriced: OnUnpriced,
    /// Whose budgets pay; absent: the key's and the tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
}

choice! {
    /// What usage without a price does.
    #[derive(Default)]
    OnUnpriced {
        /// It is served, and said to be unpriced.
        #[default]
        Count = "count",
        /// It is refused where a budget would have to pay.
        Deny = "deny",
    }
    later []
}

/// What decisions record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Audit {
    /// What of the content; absent: what the floor says, else `hash`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<Capture>,
    /// Bytes of a request that `full` keeps; of a larger one only the digest is recorded. Absent: what the floor says,
    /// else 256 KiB.
    #[serde(
        deserialize_with = "optional::<1024, 67_108_864, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub capture_bytes_max: Option<u32>,
    /// When a record is safe.
    pub durability: Durability,
    /// What happens when the disk is full.
    pub on_disk_full: OnDiskFull,
}

impl Audit {
    /// Bytes that `full` keeps where nobody says otherwise.
    pub const CAPTURE_BYTES_MAX: u32 = 256 * 1024;

    /// What is captured.
    #[must_use]
    pub fn capture(&self) -> Capture {
        self.capture.unwrap_or_default()
    }

    /// Bytes of a request that `full` keeps.
    #[must_use]
    pub fn capture_bytes_max(&self) -> u32 {
        self.capture_bytes_max.unwrap_or(Self::CAPTURE_BYTES_MAX)
    }

    /// A tenant's settings under its floor's: what the floor says is the most that is captured, and holds where the
    /// tenant says nothing.
    #[must_use]
    pub fn under(&self, floor: &Self) -> Self {
        Self {
            capture: least(self.capture, floor.capture),
            capture_bytes_max: least(self.capture_bytes_max, floor.capture_bytes_max),
            ..self.clone()
        }
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

choice! {
    /// What of the content is recorded; later ones keep more.
    #[derive(Default)]
    Capture {
        /// Nothing that is derived from it but the conversation's id, which is keyed.
        None = "none",
        /// Digests alone.
        #[default]
        Hash = "hash",
        /// What was asked, in a content store beside the log.
        Full = "full",
    }
    later ["redacted"]
}

choice! {
    /// When a record is safe.
    #[derive(Default)]
    Durability {
        /// With the operating system: survives the gateway's death.
        #[default]
        Os = "os",
    }
    later ["strict"]
}

choice! {
    /// What happens when the decision log cannot take a record.
    #[derive(Default)]
    OnDiskFull {
        /// New requests get 503.
        #[default]
        Refuse = "refuse",
    }
    later ["count"]
}

const fn yes() -> bool {
    true
}

fn format<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        FORMAT => Ok(FORMAT),
        other => Err(serde::de::Error::custom(format!(
            "format {other} is not read by this gateway: write `format = {FORMAT}`"
        ))),
    }
}

/// TOML has dates and JSON has none: plugins would see the parser's own form of them.
fn config<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    let config = Map::deserialize(deserializer)?;
    if config.values().any(holds_date) {
        return Err(serde::de::Error::custom(
            "a date in a plugin's config: write it as a string",
        ));
    }
    Ok(config)
}

fn holds_date(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            object.contains_key("$__toml_private_datetime") || object.values().any(holds_date)
        }
        Value::Array(values) => values.iter().any(holds_date),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
