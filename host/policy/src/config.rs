//! The static configuration, `pointsman.toml`: every key has a default, unknown keys are errors, the environment
//! overrides. Refuses to know: the file system and the environment themselves; callers hand both in as text.

mod check;
mod overrides;
mod secret;
#[cfg(test)]
mod tests;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize};

pub use overrides::OverrideError;
pub use secret::SecretRef;

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
    /// Credentials of targets.
    #[serde(rename = "credential", skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// What targets may be reached.
    pub egress: Egress,
    /// Logs.
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
            credentials: Vec::new(),
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
    /// Milliseconds for a body to arrive.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub body_timeout_ms: u64,
    /// Milliseconds for headers to arrive.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub header_timeout_ms: u64,
    /// Requests in flight, node-wide; further ones get 503.
    #[serde(deserialize_with = "number::<1, 1_000_000, _, _>")]
    pub requests_max: u32,
    /// Milliseconds that a client may make no progress.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub client_idle_ms: u64,
    /// Bytes of an answer that may wait for a client to read.
    #[serde(deserialize_with = "number::<1024, 1_073_741_824, _, _>")]
    pub unread_bytes_max: usize,
    /// Milliseconds for requests to end after SIGTERM.
    #[serde(deserialize_with = "number::<0, 3_600_000, _, _>")]
    pub drain_ms: u64,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            workers: None,
            body_bytes_max: 32 << 20,
            body_timeout_ms: 30_000,
            header_timeout_ms: 10_000,
            requests_max: 1024,
            client_idle_ms: 30_000,
            unread_bytes_max: 256 << 10,
            drain_ms: 30_000,
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

/// Logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Telemetry {
    /// How log lines are written.
    pub log: LogFormat,
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
