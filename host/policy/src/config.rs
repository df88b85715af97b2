//! The static configuration, `pointsman.toml`: every key has a default, unknown keys are errors, the environment
//! overrides. Refuses to know: the file system and the environment themselves; callers hand both in as text.

mod check;
mod edges;
mod overrides;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize};

pub use edges::{ClientCertificates, Http2, Tls};
pub use overrides::OverrideError;
pub use secret::SecretRef;

pub(crate) use check::is_secret_name;

use crate::bounded::{number, optional};
use crate::choice::choice;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StaticConfig {
    /// The state folder: tenants, secrets, decisions, compiled plugins.
    pub state: String,
    /// The bundle, by its folder's name in `policies`, whose steps apply under every tenant's policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<String>,
    /// The folder of policy bundles.
    pub policies: String,
    /// The folder of installed plugins.
    pub plugins: String,
    /// The price catalogue, a `prices.jsonl`; without one everything is unpriced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<String>,
    /// The listener that clients call.
    pub data: Data,
    /// The listener that operators call.
    pub control: Control,
    /// Virtual keys.
    pub keys: Keys,
    /// Answers kept for equal requests; whose they are, their policies say.
    pub cache: Cache,
    /// Answers kept for retries under an `Idempotency-Key`.
    pub idempotency: Idempotency,
    /// Credentials of targets.
    #[serde(rename = "credential", skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// Secrets that plugins may have used for them.
    #[serde(rename = "secret", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// What targets may be reached.
    pub egress: Egress,
    /// Logs, metrics and traces.
    pub telemetry: Telemetry,
}

impl Default for StaticConfig {
    fn default() -> Self {
        Self {
            state: ".pointsman".to_owned(),
            floor: None,
            policies: "policies".to_owned(),
            plugins: ".pointsman/plugins".to_owned(),
            prices: None,
            data: Data::default(),
            control: Control::default(),
            keys: Keys::default(),
            cache: Cache::default(),
            idempotency: Idempotency::default(),
            credentials: Vec::new(),
            secrets: Vec::new(),
            egress: Egress::default(),
            telemetry: Telemetry::default(),
        }
    }
}

/// The data plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Data {
    /// `address:port`.
    #[serde(deserialize_with = "address")]
    pub listen: String,
    /// Threads; none: one a core.
    #[serde(
        deserialize_with = "optional::<1, 1024, _, _>",
        skip_serializing_if = "Option::is_none"
    )]
    pub workers: Option<u32>,
    /// Bytes of a request body.
    #[serde(deserialize_with = "number::<1024, 1_073_741_824, _, _>")]
    pub body_bytes_max: usize,
    /// Bytes of all request bodies under way, node-wide; further ones get 503. Never below `body-bytes-max`.
    #[serde(deserialize_with = "number::<1024, 1_099_511_627_776, _, _>")]
    pub bodies_bytes_max: usize,
    /// Milliseconds for a body to arrive.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub body_timeout_ms: u64,
    /// Milliseconds for headers to arrive.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub header_timeout_ms: u64,
    /// Requests in flight, node-wide; further ones get 503.
    #[serde(deserialize_with = "number::<1, 1_000_000, _, _>")]
    pub requests_max: u32,
    /// Percent of `requests-max` and of `bodies-bytes-max` that one tenant alone may hold; several have equal parts,
    /// and there is room left for one more. 100: one may hold all.
    #[serde(deserialize_with = "number::<1, 100, _, _>")]
    pub tenant_percent_max: u32,
    /// Milliseconds that a client may make no progress.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub client_idle_ms: u64,
    /// Bytes of an answer that may wait for a client to read.
    #[serde(deserialize_with = "number::<1024, 1_073_741_824, _, _>")]
    pub unread_bytes_max: usize,
    /// Milliseconds for requests to end after SIGTERM.
    #[serde(deserialize_with = "number::<0, 3_600_000, _, _>")]
    pub drain_ms: u64,
    /// Milliseconds that a new process has to be ready after SIGUSR2; this one goes on where it is not.
    #[serde(deserialize_with = "number::<100, 3_600_000, _, _>")]
    pub upgrade_ms: u64,
    /// TLS; none: plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// HTTP/2.
    pub http2: Http2,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            workers: None,
            body_bytes_max: 32 << 20,
            bodies_bytes_max: 256 << 20,
            body_timeout_ms: 30_000,
            header_timeout_ms: 10_000,
            requests_max: 1024,
            tenant_percent_max: 75,
            client_idle_ms: 30_000,
            unread_bytes_max: 256 << 10,
            drain_ms: 30_000,
            upgrade_ms: 60_000,
            tls: None,
            http2: Http2::default(),
        }
    }
}

/// The control listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Control {
    /// `address:port`.
    #[serde(deserialize_with = "address")]
    pub listen: String,
    /// The bearer token; none: a file `admin-token` in the state folder, made on first use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretRef>,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8081".to_owned(),
            token: None,
        }
    }
}

/// Virtual keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Keys {
    /// The tenants file; none: `tenants.toml` in the state folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What keys are hashed under; none: a file `pepper` in the state folder, made on first use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pepper: Option<SecretRef>,
}

/// Answers kept for equal requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Cache {
    /// Bytes of all answers together, node-wide; 0: none is kept.
    #[serde(deserialize_with = "number::<0, 1_099_511_627_776, _, _>")]
    pub bytes_max: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            bytes_max: 64 << 20,
        }
    }
}

/// Answers kept for retries under an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Idempotency {
    /// Seconds that a key is remembered.
    #[serde(deserialize_with = "number::<1, 2_592_000, _, _>")]
    pub ttl_s: u32,
    /// Bytes of all answers and keys together, node-wide; over it the oldest lose first their answers, then their keys.
    #[serde(deserialize_with = "number::<1_048_576, 1_099_511_627_776, _, _>")]
    pub bytes_max: usize,
    /// Bytes of an answer; of a larger one only the key is remembered.
    #[serde(deserialize_with = "number::<1024, 67_108_864, _, _>")]
    pub entry_bytes_max: usize,
    /// Idempotency keys of one virtual key; over it the oldest are forgotten.
    #[serde(deserialize_with = "number::<1, 1_000_000, _, _>")]
    pub keys_max: usize,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self {
            ttl_s: 86_400,
            bytes_max: 64 << 20,
            entry_bytes_max: 1 << 20,
            keys_max: 10_000,
        }
    }
}

/// Every tenant, as `Credential::tenants` writes it.
pub const EVERY_TENANT: &str = "*";

/// A secret that targets are called with, and where it may go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Credential {
    /// What targets call it.
    pub name: String,
    /// Where its value is.
    pub value: SecretRef,
    /// The origins it may be sent to: `https://api.openai.com`.
    pub origins: Vec<String>,
    /// The tenants it may be used for; `["*"]`: every tenant.
    pub tenants: Vec<String>,
    /// The header that carries the bare value; none: `authorization: Bearer …`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

impl Credential {
    /// Whether it may be used for a tenant.
    #[must_use]
    pub fn serves(&self, tenant: &str) -> bool {
        self.tenants
            .iter()
            .any(|known| known == tenant || known == EVERY_TENANT)
    }
}

/// A secret that a plugin names and never reads: `secret://NAME` in its step's config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Secret {
    /// What steps call it: lower-case letters, digits and hyphens.
    pub name: String,
    /// Where its value is.
    pub value: SecretRef,
    /// The tenants whose requests it may be used for; `["*"]`: every tenant.
    pub tenants: Vec<String>,
}

/// What targets may be reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Egress {
    /// Otherwise refused addresses (loopback, link-local, private) that are allowed: `ip:port`, `[ip]:port` or `ip/prefix`.
    pub allow_private: Vec<String>,
}

choice! {
    /// How log lines are written.
    #[derive(Default)]
    LogFormat {
        /// For people.
        #[default]
        Text = "text",
        /// For machines: one JSON object a line.
        Json = "json",
    }
    later []
}

/// Logs, metrics and traces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Telemetry {
    /// How log lines are written.
    pub log: LogFormat,
    /// What is logged: a level, or levels by module: `info,pointsman_upstream=debug`. `POINTSMAN_LOG` overrides it.
    pub level: String,
    /// A log line at the end of each request.
    pub requests: bool,
    /// The collector that traces go to by OTLP over HTTP: `http://127.0.0.1:4318`; none: no traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<String>,
    /// Headers for the collector: name and secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, SecretRef>,
    /// The share of requests without a `traceparent` that is traced, from 0 to 1.
    #[serde(deserialize_with = "ratio")]
    pub sample_ratio: f64,
    /// `service.name` in traces.
    pub service: String,
    /// Whether targets are sent a `traceparent`. It tells them our trace ids.
    pub propagate: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: LogFormat::default(),
            level: "info".to_owned(),
            requests: false,
            otlp: None,
            headers: BTreeMap::new(),
            sample_ratio: 1.0,
            service: "pointsman".to_owned(),
            propagate: false,
        }
    }
}

/// The JSON Schema of `pointsman.toml`.
#[must_use]
pub fn schema() -> Schema {
    schemars::schema_for!(StaticConfig)
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.parse::<std::net::SocketAddr>() {
        Ok(_) => Ok(text),
        Err(_) => Err(serde::de::Error::custom(
            "not an address: write `127.0.0.1:8080` or `[::1]:8080`",
        )),
    }
}

fn ratio<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let ratio = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&ratio) {
        return Ok(ratio);
    }
    Err(serde::de::Error::custom(
        "out of range: write a number from 0 to 1, such as 0.1",
    ))
}
