//! What one data-plane thread owns: its upstream pool, its decision chain, and its view of the node.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use http::HeaderMap;
use pointsman_audit::Chain;
use pointsman_domain::decision::Record;
use pointsman_domain::{ErrorKind, GatewayError};
use pointsman_policy::config::StaticConfig;
use pointsman_telemetry::Metrics;
use pointsman_upstream::{Upstream, UpstreamConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits;
use crate::node::Node;
use crate::pipeline::epoch_ms;
use crate::snapshot::Snapshot;
use crate::tenants::Directory;

/// One data-plane thread.
pub(crate) struct Worker {
    pub(crate) config: Arc<StaticConfig>,
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) tenants: Arc<Directory>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) upstream: Upstream,
    /// Requests under way; drain waits for them, since they outlive their connections until recorded.
    pub(crate) tasks: TaskTracker,
    /// The drain bound was reached: requests that are still under way end now.
    pub(crate) cut: CancellationToken,
    chain: RefCell<Chain>,
    bodies: Arc<AtomicUsize>,
    in_flight: Arc<AtomicU32>,
    in_flight_max: u32,
    epoch: Instant,
}

/// One admitted request; dropping it frees the place.
pub(crate) struct InFlight(Arc<AtomicU32>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of one request's body, out of those that all bodies of the node may be; dropping it gives them back.
pub(crate) struct BodyRoom {
    all: Arc<AtomicUsize>,
    mine: usize,
    max: usize,
}

impl BodyRoom {
    fn new(all: Arc<AtomicUsize>, max: usize) -> Self {
        Self { all, mine: 0, max }
    }

    /// Takes room for so many more bytes; the refusal says which bound was met.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), GatewayError> {
        self.mine += bytes;
        if self.all.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.max {
            return Ok(());
        }
        let message = format!(
            "the bodies of all requests under way are over {} bytes; try again",
            self.max
        );
        let mut error = GatewayError::new(ErrorKind::Unavailable, message);
        error.retry_after_s = Some(1);
        Err(error)
    }
}

impl Drop for BodyRoom {
    fn drop(&mut self) {
        self.all.fetch_sub(self.mine, Ordering::Relaxed);
    }
}

impl Worker {
    pub(crate) fn new(node: Arc<Node>, index: usize) -> anyhow::Result<Self> {
        let chain = node.open_chain(index)?;
        let config = UpstreamConfig {
            egress: node.egress.clone(),
            ..UpstreamConfig::default()
        };
        Ok(Self {
            config: Arc::clone(&node.config),
            snapshot: Arc::clone(&node.snapshot),
            tenants: Arc::clone(&node.tenants),
            metrics: Arc::clone(&node.metrics),
            upstream: Upstream::new(config),
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            bodies: Arc::clone(&node.bodies),
            chain: RefCell::new(chain),
            in_flight: Arc::clone(&node.in_flight),
            in_flight_max: node.config.data.requests_max,
            epoch: node.epoch,
        })
    }

    /// Milliseconds since the node started: the clock of health and breakers, shared by all workers.
    pub(crate) fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A place for one more request, or the refusal that says which bound was met.
    pub(crate) fn admit(&self) -> Result<InFlight, GatewayError> {
        if let Err(error) = self.chain.borrow_mut().admit() {
            let message = format!(
                "decisions cannot be recorded ({error}), so none are made; free disk space"
            );
            return Err(GatewayError::new(ErrorKind::AuditUnavailable, message));
        }
        if self.in_flight.fetch_add(1, Ordering::Relaxed) >= self.in_flight_max {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            let message = format!(
                "{} requests are in flight (data.requests-max)",
                self.in_flight_max
            );
            let mut error = GatewayError::new(ErrorKind::Unavailable, message);
            error.retry_after_s = Some(1);
            return Err(error);
        }
        Ok(InFlight(Arc::clone(&self.in_flight)))
    }

    /// Room for one request's body.
    pub(crate) fn body_room(&self) -> BodyRoom {
        let max = limits::BODIES_BYTES_MAX.max(self.config.data.body_bytes_max);
        BodyRoom::new(Arc::clone(&self.bodies), max)
    }

    /// Appends to this thread's chain.
    pub(crate) fn append(&self, record: &Record) -> Result<(), GatewayError> {
        match self.chain.borrow_mut().append(record) {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::error!(error = %error, "append to the decision log failed");
                Err(GatewayError::new(
                    ErrorKind::AuditUnavailable,
                    "the decision log cannot take a record",
                ))
            }
        }
    }

    /// Ends the chain's segment in order.
    pub(crate) fn seal(&self) {
        if let Err(error) = self.chain.borrow_mut().seal() {
            tracing::error!(error = %error, "the decision log could not be sealed; recovery will do it");
        }
    }

    /// The model names that a caller's policy offers.
    pub(crate) fn models(&self, headers: &HeaderMap) -> Result<Vec<String>, GatewayError> {
        let principal = self.tenants.authenticate(headers, "models", epoch_ms())?;
        let snapshot = self.snapshot.load();
        Ok(snapshot.policy_of(&principal)?.model_names.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_one_bound_and_give_back() {
        let all = Arc::new(AtomicUsize::new(0));
        let mut one = BodyRoom::new(Arc::clone(&all), 10);
        let mut other = BodyRoom::new(Arc::clone(&all), 10);
        assert!(one.grow(6).is_ok());
        let refused = other.grow(5).expect_err("over the bound");
        assert_eq!(
            (refused.http_status(), refused.retry_after_s),
            (503, Some(1))
        );
        drop(other);
        assert!(one.grow(4).is_ok());
        drop(one);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
