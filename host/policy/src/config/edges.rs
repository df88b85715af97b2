//! What stands between a client's socket and a request: TLS and HTTP/2.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bounded::number;
use crate::choice::choice;

choice! {
    /// Whether clients show certificates.
    #[derive(Default)]
    ClientCertificates {
        /// None is asked for.
        #[default]
        Off = "off",
        /// One is asked for; who shows one shows one of `client-ca`.
        Optional = "optional",
        /// Without one of `client-ca` there is no connection.
        Required = "required",
    }
    later []
}

/// TLS 1.2 and 1.3 on the data listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tls {
    /// The PEM file of the certificate and what certifies it, the server's own first.
    pub certificate: String,
    /// The PEM file of its private key.
    pub key: String,
    /// The PEM file of those who certify clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<String>,
    /// Whether clients show certificates.
    pub client_certificates: ClientCertificates,
    /// Milliseconds for the handshake.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub handshake_timeout_ms: u64,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: String::new(),
            key: String::new(),
            client_ca: None,
            client_certificates: ClientCertificates::default(),
            handshake_timeout_ms: 10_000,
        }
    }
}

/// HTTP/2, by ALPN over TLS and by prior knowledge without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Http2 {
    /// Whether it is spoken; HTTP/1.1 always is.
    pub enabled: bool,
    /// Requests under way on one connection; further ones wait at the client.
    #[serde(deserialize_with = "number::<1, 10_000, _, _>")]
    pub streams_max: u32,
    /// Milliseconds between pings, which find out who is gone without a word.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub ping_ms: u64,
    /// Milliseconds for the answer to a ping.
    #[serde(deserialize_with = "number::<1, 3_600_000, _, _>")]
    pub ping_timeout_ms: u64,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            enabled: true,
            streams_max: 256,
            ping_ms: 20_000,
            ping_timeout_ms: 10_000,
        }
    }
}
