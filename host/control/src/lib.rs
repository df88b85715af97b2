//! The control listener: health, readiness, metrics, decisions.
//!
//! | endpoint | token | answer |
//! |---|---|---|
//! | `GET /healthz` | no | 200 while the process serves at all |
//! | `GET /readyz` | no | 200, or 503 and the reason |
//! | `GET /metrics` | no | `OpenMetrics` text: names of tenants and targets, counts, costs |
//! | `GET /admin/v1/decisions` | yes | the newest decisions; `tenant`, `target`, `outcome`, `since`, `limit` |
//! | `GET /admin/v1/decisions/{id}` | yes | both records of one; a unique beginning of the id is enough |
//! | `GET /admin/v1/decisions/tail` | yes | server-sent events, one a decision, as requests end; `tenant`, `target`, `outcome` |
//!
//! `/metrics` follows Prometheus' custom and asks for no token: what keeps it private is the address, which is loopback
//! unless the operator says otherwise. Errors are RFC 9457 `application/problem+json` with a `next` member that says
//! what to do.
//!
//! Promises: reads of the log never block the runtime, and everything is bounded: connections, headers, time, results,
//! concurrent reads and followers. Refuses to know where decisions come from.

pub mod api;
mod auth;
mod decisions;
mod follow;
mod plane;
mod problem;
mod query;
mod routes;
mod serve;
mod source;

use std::sync::Arc;

use secrecy::SecretString;

pub use plane::{By, Condition, ControlPlane, Done, PlaneError};
pub use serve::{ControlError, serve};
pub use source::{Decision, DecisionSource, DecisionTail, Listing, SourceError, Wanted};

/// What the listener serves.
pub struct Control {
    /// What `Authorization: Bearer` must carry under `/admin`.
    token: SecretString,
    /// Behind `/readyz`.
    readiness: Arc<dyn Readiness>,
    /// Behind `/metrics`: the text of all metrics.
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Behind `/admin/v1/decisions`.
    decisions: Arc<dyn DecisionSource>,
    /// Behind all else under `/admin`.
    plane: Option<Arc<dyn ControlPlane>>,
}

impl Control {
    /// What a node that keeps no control state serves; asked for it, it says 503.
    #[must_use]
    pub fn new(
        token: SecretString,
        readiness: Arc<dyn Readiness>,
        metrics: Arc<dyn Fn() -> String + Send + Sync>,
        decisions: Arc<dyn DecisionSource>,
    ) -> Self {
        Self {
            token,
            readiness,
            metrics,
            decisions,
            plane: None,
        }
    }

    /// With the control state of the node.
    #[must_use]
    pub fn with_plane(mut self, plane: Arc<dyn ControlPlane>) -> Self {
        self.plane = Some(plane);
        self
    }
}

/// Whether the node takes requests.
pub trait Readiness: Send + Sync {
    /// Why not, or none where it does.
    fn not_ready(&self) -> Option<String>;
}
