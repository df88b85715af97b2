//! A collector of traces: an HTTP server that takes OTLP and keeps what it was sent.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Told;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span as Sent};
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::wait::eventually;

/// One span, as it was sent.
#[derive(Clone, Debug)]
pub struct Span {
    /// 32 hex digits.
    pub trace: String,
    /// 16 hex digits.
    pub id: String,
    /// 16 hex digits; empty where it has none.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `SPAN_KIND_SERVER`, …
    pub kind: &'static str,
    /// Nanoseconds since the epoch.
    pub start_ns: u64,
    /// Nanoseconds since the epoch.
    pub end_ns: u64,
    /// Its attributes.
    pub attributes: BTreeMap<String, Value>,
    /// What its status says, where that is an error.
    pub error: Option<String>,
    /// The attributes of who sent it.
    pub resource: BTreeMap<String, Value>,
}

impl Span {
    /// An attribute; null where there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        self.attributes.get(name).unwrap_or(&Value::Null)
    }
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Span>,
    /// As they came, before anything was decoded.
    bytes: Vec<u8>,
    headers: Vec<HeaderMap>,
    paths: Vec<String>,
    refused: u64,
    status: Option<u16>,
}

/// A collector on a free port. Dropped, it is gone.
#[derive(Debug)]
pub struct Collector {
    /// `http://address:port`.
    pub url: String,
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

impl Collector {
    /// Starts one.
    ///
    /// # Errors
    /// Where no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.context("no free port")?;
        let address = listener.local_addr().context("no address")?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        Ok(Self {
            url: format!("http://{address}"),
            kept: Arc::clone(&kept),
            task: tokio::spawn(serve(listener, kept)),
        })
    }

    /// From here on every batch is answered so, and not kept where it is no success.
    pub fn answers(&self, status: u16) {
        self.with(|kept| kept.status = Some(status));
    }

    fn with<T>(&self, look: impl FnOnce(&mut Kept) -> T) -> T {
        look(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All spans so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.with(|kept| kept.spans.clone())
    }

    /// Everything that was sent so far, as it came.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.with(|kept| kept.bytes.clone())
    }

    /// Paths and headers of all batches so far.
    #[must_use]
    pub fn batches(&self) -> Vec<(String, HeaderMap)> {
        self.with(|kept| {
            let paths = kept.paths.iter().cloned();
            paths.zip(kept.headers.iter().cloned()).collect()
        })
    }

    /// Batches that it did not take.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.with(|kept| kept.refused)
    }

    /// The spans of the trace that a request is in, once they are there.
    ///
    /// # Errors
    /// Where they never come.
    pub async fn trace_of(&self, request: &str) -> anyhow::Result<Vec<Span>> {
        let mut found = Vec::new();
        eventually("the request's trace at the collector", async || {
            let spans = self.spans();
            let of_request = |span: &&Span| span.get("pointsman.request.id") == request;
            if let Some(root) = spans.iter().find(of_request) {
                let of_trace = spans.iter().filter(|span| span.trace == root.trace);
                found = of_trace.cloned().collect();
            }
            !found.is_empty()
        })
        .await?;
        Ok(found)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, kept: Arc<Mutex<Kept>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let kept = Arc::clone(&kept);
        tokio::spawn(async move {
            let service = service_fn(|request| take(Arc::clone(&kept), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // The gateway keeps its connection until it ends.
            let _ended = connection.await;
        });
    }
}

async fn take(
    kept: Arc<Mutex<Kept>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let status = kept.status.unwrap_or(200);
    let decoded = ExportTraceServiceRequest::decode(body.clone());
    let (status, answer) = match decoded {
        Ok(_) if !(200..300).contains(&status) => (status, Bytes::from_static(b"not now")),
        Ok(batch) => {
            let spans = batch.resource_spans.into_iter().flat_map(spans_of);
            kept.spans.extend(spans);
            // An empty message: everything was taken.
            (status, Bytes::new())
        }
        Err(_) => (400, Bytes::from_static(b"not OTLP")),
    };
    kept.refused += u64::from(status >= 300);
    kept.bytes.extend_from_slice(&body);
    kept.paths.push(parts.uri.to_string());
    kept.headers.push(parts.headers);
    let mut response = Response::new(Full::new(answer));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Ok(response)
}

fn spans_of(told: ResourceSpans) -> Vec<Span> {
    let resource = attributes(told.resource.unwrap_or_default().attributes);
    let sent = told.scope_spans.into_iter().flat_map(|scope| scope.spans);
    sent.map(|span| read(span, resource.clone())).collect()
}

fn read(span: Sent, resource: BTreeMap<String, Value>) -> Span {
    let status = span.status.clone().unwrap_or_default();
    Span {
        trace: hex::encode(&span.trace_id),
        id: hex::encode(&span.span_id),
        parent: hex::encode(&span.parent_span_id),
        kind: SpanKind::try_from(span.kind).map_or("?", |kind| kind.as_str_name()),
        error: (status.code() == SpanStatus::Error).then_some(status.message),
        name: span.name,
        start_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        resource,
    }
}

fn attributes(told: Vec<KeyValue>) -> BTreeMap<String, Value> {
    let value = |pair: KeyValue| (pair.key, json(pair.value));
    told.into_iter().map(value).collect()
}

fn json(told: Option<AnyValue>) -> Value {
    match told.and_then(|told| told.value) {
        Some(Told::StringValue(text)) => text.into(),
        Some(Told::BoolValue(flag)) => flag.into(),
        Some(Told::IntValue(number)) => number.into(),
        Some(Told::DoubleValue(number)) => number.into(),
        Some(Told::ArrayValue(array)) => array
            .values
            .into_iter()
            .map(|one| json(Some(one)))
            .collect(),
        _ => Value::Null,
    }
}
