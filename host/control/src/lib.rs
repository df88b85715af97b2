//! The control listener: health, metrics, decisions, and the API for control state.
//!
//! What it serves is in its own document: `GET /admin/v1/openapi.json`, checked in as `docs/generated/openapi.json`;
//! docs/api.md is the guide. Everything under `/admin` asks for the admin token. `/metrics` follows Prometheus' custom
//! and asks for none: what keeps it private is the address, which is loopback unless the operator says otherwise.
//! Errors are RFC 9457 `application/problem+json` with a `next` member that says what to do.
//!
//! Promises: nothing blocks the runtime, a panic behind a call is that call's 500, and everything is bounded:
//! connections, headers, bodies, time, results, and how many reads, changes, uploads and followers there are at once.
//! Refuses to know where decisions come from, and how control state is kept.

mod answer;
pub mod api;
mod archive;
mod auth;
mod body;
mod caller;
mod decisions;
mod document;
mod endpoints;
mod follow;
mod limits;
mod plane;
mod problem;
mod query;
mod routes;
mod serve;
mod source;
mod strict;
mod work;

use std::sync::Arc;

use secrecy::SecretString;

pub use document::openapi;
pub use plane::{By, Condition, ControlPlane, Done, PlaneError};
pub use query::time;
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
