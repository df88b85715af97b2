//! The endpoints and what they share.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use bytes::Bytes;
use http::Uri;
use secrecy::SecretString;
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::document::{Base, openapi};
use crate::endpoints::{keys, node, plugins, policies, prices, probes, tenants, versions};
use crate::limits::{
    BACKUPS_MAX, CHECKS_MAX, FOLLOWERS_MAX, READ_TIMEOUT, READS_MAX, TENANT_WRITES_MAX,
    UPLOAD_TIMEOUT, UPLOADS_MAX, WORK_TIMEOUT, WRITES_MAX,
};
use crate::plane::ControlPlane;
use crate::problem::Problem;
use crate::work::Queue;
use crate::{Control, DecisionSource, Readiness, auth, decisions, follow};

/// What handlers share.
pub(crate) struct App {
    pub(crate) token: SecretString,
    pub(crate) readiness: Arc<dyn Readiness>,
    pub(crate) metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) decisions: Arc<dyn DecisionSource>,
    pub(crate) plane: Option<Arc<dyn ControlPlane>>,
    /// Of control state.
    pub(crate) reads: Queue,
    /// Of the decision log, which is large: they hold up none of the former.
    pub(crate) log_reads: Queue,
    /// Of policies, plugins and prices.
    pub(crate) writes: Queue,
    /// Of tenants and their keys.
    pub(crate) tenant_writes: Queue,
    pub(crate) checks: Queue,
    pub(crate) uploads: Queue,
    pub(crate) backups: Queue,
    pub(crate) followers: Arc<Semaphore>,
    /// The OpenAPI document.
    pub(crate) document: Bytes,
    /// True once the listener is closing.
    pub(crate) closing: watch::Receiver<bool>,
}

pub(crate) fn router(control: Control, closing: watch::Receiver<bool>) -> Router {
    let again = "read what it changes before you repeat it: it goes on, and may be done by now";
    let less = "ask for less: a later `since`, a smaller `limit`";
    let soon = "ask again in a moment";
    let app = Arc::new(App {
        token: control.token,
        readiness: control.readiness,
        metrics: control.metrics,
        decisions: control.decisions,
        plane: control.plane,
        reads: Queue::new("reads", READS_MAX, READ_TIMEOUT, soon),
        log_reads: Queue::new("reads of the log", READS_MAX, READ_TIMEOUT, less),
        writes: Queue::new("changes", WRITES_MAX, WORK_TIMEOUT, again),
        tenant_writes: Queue::new("changes of tenants", TENANT_WRITES_MAX, WORK_TIMEOUT, again),
        checks: Queue::new("dry runs", CHECKS_MAX, WORK_TIMEOUT, soon),
        uploads: Queue::new("uploads", UPLOADS_MAX, UPLOAD_TIMEOUT, again),
        backups: Queue::new("backups", BACKUPS_MAX, WORK_TIMEOUT, soon),
        followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        document: openapi().to_string().into(),
        closing,
    });
    Router::from(endpoints())
        .fallback(|uri: Uri| std::future::ready(Problem::unknown_path(uri.path())))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            auth::admin,
        ))
        .with_state(app)
}

/// Every endpoint, with what the document says of it.
pub(crate) fn endpoints() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(probes::health))
        .routes(routes!(probes::ready))
        .routes(routes!(probes::metrics))
        .routes(routes!(plugins::list, plugins::push))
        .routes(routes!(plugins::one))
        .routes(routes!(policies::list))
        .routes(routes!(policies::one))
        .routes(routes!(versions::list, versions::push))
        .routes(routes!(versions::one))
        .routes(routes!(versions::validate))
        .routes(routes!(versions::diff))
        .routes(routes!(policies::activate))
        .routes(routes!(policies::roll_back))
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::one, tenants::put, tenants::remove))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(prices::get, prices::put))
        .routes(routes!(node::usage))
        .routes(routes!(node::targets))
        .routes(routes!(node::changes))
        .routes(routes!(node::backup))
        .routes(routes!(node::openapi))
        .routes(routes!(decisions::list))
        .routes(routes!(follow::tail))
        .routes(routes!(decisions::one))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::endpoints;

    #[test]
    fn every_route_is_documented_and_every_documented_path_is_a_route() {
        let (router, document) = endpoints().split_for_parts();
        // axum tells its paths in its debug form alone: `RouteId(3): "/admin/v1/plugins"`.
        let text = format!("{router:?}");
        let routed: BTreeSet<&str> = text
            .split("RouteId(")
            .filter_map(|piece| piece.split_once("): \"")?.1.split('"').next())
            // The last two are its fallback.
            .filter(|path| !path.contains("__private__axum_fallback") && *path != "/")
            .collect();
        let documented: BTreeSet<&str> = document.paths.paths.keys().map(String::as_str).collect();
        assert!(routed.len() > 20, "axum tells its paths no more: {text}");
        assert_eq!(routed, documented);
    }
}
