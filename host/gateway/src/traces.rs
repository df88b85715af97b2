//! Telemetry as configured: where traces go, which are kept, and what is told of requests beside their records.

use std::sync::Arc;

use anyhow::Context as _;
use pointsman_policy::config::Telemetry;
use pointsman_telemetry::{Export, ExportConfig, Metrics, Sampler, Traces};
use secrecy::ExposeSecret as _;

use crate::node::secret;

/// What a worker tells of its requests; clones tell the same.
#[derive(Clone)]
pub(crate) struct Telling {
    /// Where sampled requests go when they have ended; none without a collector.
    pub(crate) traces: Option<Traces>,
    pub(crate) sampler: Sampler,
    /// Whether targets are sent a `traceparent`.
    pub(crate) propagate: bool,
    /// A log line a request.
    pub(crate) requests: bool,
}

impl Telling {
    /// As configured, with what is exported going to `export`.
    pub(crate) fn new(telemetry: &Telemetry, export: Option<&Export>) -> Self {
        Self {
            traces: export.map(Export::traces),
            sampler: match export {
                Some(_) => Sampler::share(telemetry.sample_ratio),
                None => Sampler::NONE,
            },
            propagate: telemetry.propagate,
            requests: telemetry.requests,
        }
    }
}

/// Starts the export on the runtime that is entered, where a collector is configured.
pub(crate) fn export(
    telemetry: &Telemetry,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Option<Export>> {
    let Some(endpoint) = &telemetry.otlp else {
        return Ok(None);
    };
    let mut headers = Vec::new();
    for (name, reference) in &telemetry.headers {
        let value = secret(reference, &format!("telemetry.headers.{name}"))?;
        headers.push((name.clone(), value.expose_secret().to_owned()));
    }
    let config = ExportConfig {
        endpoint: endpoint.clone(),
        headers,
        service: telemetry.service.clone(),
    };
    let export = Export::start(config, Arc::clone(metrics)).context("cannot export traces")?;
    tracing::info!(collector = %endpoint, "traces are exported");
    Ok(Some(export))
}
