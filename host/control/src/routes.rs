//! The endpoints and what they share.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Method, Uri, header};
use secrecy::SecretString;
use tokio::sync::{Semaphore, watch};

use crate::problem::Problem;
use crate::{Control, DecisionSource, Readiness, auth, decisions, follow};

/// Reads of the decision log at once.
const READS_MAX: usize = 4;
/// Followers of the decision log at once.
const FOLLOWERS_MAX: usize = 16;
/// What the metrics' text is; the format ends with `# EOF`, which plain Prometheus text does not.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What handlers share.
pub(crate) struct App {
    pub(crate) token: SecretString,
    readiness: Arc<dyn Readiness>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) decisions: Arc<dyn DecisionSource>,
    pub(crate) reads: Arc<Semaphore>,
    pub(crate) followers: Arc<Semaphore>,
    /// True once the listener is closing.
    pub(crate) closing: watch::Receiver<bool>,
}

pub(crate) fn router(control: Control, closing: watch::Receiver<bool>) -> Router {
    let app = Arc::new(App {
        token: control.token,
        readiness: control.readiness,
        metrics: control.metrics,
        decisions: control.decisions,
        reads: Arc::new(Semaphore::new(READS_MAX)),
        followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        closing,
    });
    Router::new()
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/admin/v1/decisions", get(decisions::list))
        .route("/admin/v1/decisions/tail", get(follow::tail))
        .route("/admin/v1/decisions/{id}", get(decisions::one))
        .fallback(|uri: Uri| std::future::ready(Problem::unknown_path(uri.path())))
        .method_not_allowed_fallback(|method: Method, uri: Uri| {
            std::future::ready(Problem::method(&method, uri.path()))
        })
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            auth::admin,
        ))
        .with_state(app)
}

fn ready(State(app): State<Arc<App>>) -> std::future::Ready<Response> {
    std::future::ready(match app.readiness.not_ready() {
        None => "ready\n".into_response(),
        Some(reason) => Problem::not_ready(reason).into_response(),
    })
}

fn metrics(State(app): State<Arc<App>>) -> std::future::Ready<Response> {
    std::future::ready(([(header::CONTENT_TYPE, OPEN_METRICS)], (app.metrics)()).into_response())
}
