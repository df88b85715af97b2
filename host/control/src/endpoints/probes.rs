//! Health, readiness, metrics: without a token.

use std::future::Ready;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header;

use crate::problem::{Details, Problem};
use crate::routes::App;

/// What the metrics' text is; the format ends with `# EOF`, which plain Prometheus text does not.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the process serves at all.
#[utoipa::path(
    get, path = "/healthz", operation_id = "health", tag = "probes", security(()),
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain"))
)]
pub(crate) fn health() -> Ready<&'static str> {
    std::future::ready("ok\n")
}

/// Whether the node takes requests.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readiness", tag = "probes", security(()),
    responses(
        (status = 200, description = "It does.", body = String, content_type = "text/plain"),
        (status = 503, description = "Not now, and why.", body = Details, content_type = "application/problem+json"),
    )
)]
pub(crate) fn ready(State(app): State<Arc<App>>) -> Ready<Response> {
    std::future::ready(match app.readiness.not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => Problem::not_ready(reason).into_response(),
    })
}

/// All metrics as OpenMetrics text.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "probes", security(()),
    responses((status = 200, description = "All of them.", body = String, content_type = "application/openmetrics-text"))
)]
pub(crate) fn metrics(State(app): State<Arc<App>>) -> Ready<Response> {
    std::future::ready(([(header::CONTENT_TYPE, OPEN_METRICS)], (app.metrics)()).into_response())
}
