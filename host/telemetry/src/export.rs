//! Traces on their way out: a bounded queue that workers never wait for, and one task that empties it.
//!
//! Promises: handing over costs a worker a move into the queue; what finds no room is dropped and counted; a collector
//! that is slow or away is tried ever more rarely and costs a log line a minute.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::SpanExporter as _;
use thiserror::Error;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::collector::{Collector, EXPORT_MS_MAX};
use crate::metrics::Metrics;
use crate::spans::{Finished, spans};
use crate::throttle::Throttle;

/// Requests whose traces wait for their export; further ones are dropped and counted.
pub const TRACES_QUEUED_MAX: usize = 2_048;
/// Requests whose traces leave together.
const TRACES_BATCH_MAX: usize = 64;
/// How often the queue is looked at. Looking, instead of being woken, spares workers a system call a request.
const LOOK_MS: u64 = 250;
/// Tries of one batch before it is given up.
const TRIES_MAX: u32 = 5;
/// The first pause after a failure; it doubles up to the last.
const PAUSE_MS_MIN: u64 = 1_000;
const PAUSE_MS_MAX: u64 = 30_000;
/// Between two log lines about a collector that takes nothing.
const COMPLAINT: Duration = Duration::from_secs(60);
/// Bytes of a collector's complaint that are logged.
const COMPLAINT_BYTES_MAX: usize = 256;

/// Where traces go.
pub struct ExportConfig {
    /// The collector: `http://127.0.0.1:4318`; `/v1/traces` is added.
    pub endpoint: String,
    /// Further headers; their values are secrets.
    pub headers: Vec<(String, String)>,
    /// `service.name`.
    pub service: String,
}

/// Why there is no export.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The collector's address.
    #[error("`{0}` is no URL; write one such as `http://127.0.0.1:4318`")]
    Endpoint(String),
    /// A variable of OpenTelemetry's own that is set to what it cannot be.
    #[error("the exporter cannot be built; look at the OTEL_EXPORTER_OTLP variables")]
    Build(#[source] ExporterBuildError),
}

/// Hands finished requests over; clones hand over to the same task.
#[derive(Clone, Debug)]
pub struct Traces {
    queue: Sender<Finished>,
    metrics: Arc<Metrics>,
}

impl Traces {
    /// Never waits.
    pub fn hand_over(&self, finished: Finished) {
        if self.queue.try_send(finished).is_err() {
            self.metrics.traces("dropped", 1);
        }
    }
}

/// The task that exports, and how to end it.
#[derive(Debug)]
pub struct Export {
    traces: Traces,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Export {
    /// Starts on the current runtime.
    ///
    /// # Errors
    /// Where the collector's address is none. That it is not there is no error.
    pub fn start(config: ExportConfig, metrics: Arc<Metrics>) -> Result<Self, ExportError> {
        let (queue, queued) = mpsc::channel(TRACES_QUEUED_MAX);
        let stop = CancellationToken::new();
        let task = Task {
            exporter: exporter(&config)?,
            scope: InstrumentationScope::builder("pointsman")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            place: config.endpoint,
            queued,
            metrics: Arc::clone(&metrics),
            stop: stop.clone(),
            complaints: Throttle::new(COMPLAINT),
            pause_ms: 0,
        };
        Ok(Self {
            traces: Traces { queue, metrics },
            stop,
            task: tokio::spawn(task.run()),
        })
    }

    /// The workers' side.
    #[must_use]
    pub fn traces(&self) -> Traces {
        self.traces.clone()
    }

    /// Exports what is queued and ends, or ends when the time is over.
    pub async fn finish(self, within: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(within, self.task).await.is_err() {
            tracing::warn!(
                within_ms = within.as_millis(),
                "the collector did not take the last traces in time"
            );
        }
    }
}

fn exporter(config: &ExportConfig) -> Result<opentelemetry_otlp::SpanExporter, ExportError> {
    let endpoint = format!("{}/v1/traces", config.endpoint.trim_end_matches('/'));
    let address: Uri = endpoint
        .parse()
        .map_err(|_error| ExportError::Endpoint(config.endpoint.clone()))?;
    let headers: HashMap<String, String> = config.headers.iter().cloned().collect();
    let mut exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Collector::new(&address))
        .with_endpoint(endpoint)
        .with_headers(headers)
        .with_timeout(Duration::from_millis(EXPORT_MS_MAX))
        // Ours pauses without a thread.
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(ExportError::Build)?;
    let resource = Resource::builder_empty()
        .with_service_name(config.service.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

struct Task {
    exporter: opentelemetry_otlp::SpanExporter,
    scope: InstrumentationScope,
    place: String,
    queued: Receiver<Finished>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    complaints: Throttle,
    /// 0 while the collector takes what it is given.
    pause_ms: u64,
}

impl Task {
    async fn run(mut self) {
        loop {
            let stopping = self.pause(LOOK_MS).await;
            while let Some(batch) = self.batch() {
                self.deliver(&batch).await;
            }
            if stopping {
                return;
            }
        }
    }

    /// Whether the end came meanwhile.
    async fn pause(&self, ms: u64) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => true,
            () = tokio::time::sleep(Duration::from_millis(ms)) => false,
        }
    }

    fn batch(&mut self) -> Option<Vec<Finished>> {
        let mut batch = Vec::new();
        while batch.len() < TRACES_BATCH_MAX
            && let Ok(finished) = self.queued.try_recv()
        {
            batch.push(finished);
        }
        (!batch.is_empty()).then_some(batch)
    }

    /// Tries until the collector has it or the tries are over; at the end of the process once.
    async fn deliver(&mut self, batch: &[Finished]) {
        let count = batch.len() as u64;
        for _ in 0..TRIES_MAX {
            // The same ids each time, so that a batch that arrived twice is seen to be one.
            let spans = batch
                .iter()
                .flat_map(|finished| spans(finished, &self.scope))
                .collect();
            match self.exporter.export(spans).await {
                Ok(()) => {
                    if std::mem::take(&mut self.pause_ms) > 0 {
                        tracing::info!(collector = %self.place, "traces are exported again");
                    }
                    self.metrics.traces("exported", count);
                    return;
                }
                Err(error) => self.complain(&error),
            }
            self.pause_ms = (self.pause_ms * 2).clamp(PAUSE_MS_MIN, PAUSE_MS_MAX);
            if self.stop.is_cancelled() || self.pause(self.pause_ms).await {
                break;
            }
        }
        self.metrics.traces("failed", count);
    }

    fn complain(&self, error: &OTelSdkError) {
        if let Some(held_back) = self.complaints.pass() {
            let mut error = error.to_string();
            let end = error.floor_char_boundary(COMPLAINT_BYTES_MAX);
            error.truncate(end);
            tracing::warn!(
                collector = %self.place, error, held_back,
                "traces cannot be exported; they are kept while there is room, then dropped"
            );
        }
    }
}
