//! What one data-plane thread owns: its upstream pool, its decision chain, and its view of the node.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use http::HeaderMap;
use pointsman_audit::Chain;
use pointsman_domain::decision::Record;
use pointsman_domain::{ErrorKind, GatewayError, RequestId};
use pointsman_policy::config::StaticConfig;
use pointsman_telemetry::Metrics;
use pointsman_upstream::{Upstream, UpstreamConfig};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::answers::Answers;
use crate::ids::Ids;
use crate::meters::Meters;
use crate::node::Node;
use crate::pipeline::epoch_ms;
use crate::plane::Serving;
use crate::traces::Telling;

/// One data-plane thread.
pub(crate) struct Worker {
    pub(crate) config: Arc<StaticConfig>,
    pub(crate) serving: Serving,
    pub(crate) meters: Arc<Meters>,
    /// What keys are hashed under; also the key of conversation ids.
    pub(crate) pepper: Arc<[u8]>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) telling: Telling,
    pub(crate) upstream: Upstream,
    pub(crate) answers: Arc<Answers>,
    /// Requests under way; drain waits for them, since they outlive their connections until recorded.
    pub(crate) tasks: TaskTracker,
    /// Which requests are to end now.
    pub(crate) cut: watch::Sender<Cut>,
    cut_below: watch::Receiver<u64>,
    chain: RefCell<Chain>,
    ids: RefCell<Ids>,
    bodies: Arc<AtomicUsize>,
    in_flight: Arc<AtomicU32>,
    in_flight_max: u32,
    epoch: Instant,
}

/// Which requests are to end now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The drain bound was reached.
    pub(crate) all: bool,
    /// Those pinned to generations below this: too much is kept for them.
    pub(crate) below: u64,
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
            "the bodies of all requests under way are over {} bytes (data.bodies-bytes-max); try again",
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
            serving: Arc::clone(&node.serving),
            meters: Arc::clone(&node.meters),
            pepper: Arc::clone(&node.pepper),
            metrics: Arc::clone(&node.metrics),
            telling: node.telling.clone(),
            upstream: Upstream::new(config),
            answers: Arc::clone(&node.answers),
            tasks: TaskTracker::new(),
            cut: watch::channel(Cut::default()).0,
            cut_below: node.cut_below.subscribe(),
            bodies: Arc::clone(&node.bodies),
            chain: RefCell::new(chain),
            ids: RefCell::default(),
            in_flight: Arc::clone(&node.in_flight),
            in_flight_max: node.config.data.requests_max,
            epoch: node.epoch,
        })
    }

    /// An id for a request of this millisecond since the epoch.
    pub(crate) fn new_id(&self, at_ms: u64) -> RequestId {
        self.ids.borrow_mut().next(at_ms)
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

    /// Hands on what the node says of replaced snapshots.
    pub(crate) async fn follow_cuts(self: Rc<Self>) {
        let mut below = self.cut_below.clone();
        while below.changed().await.is_ok() {
            let below = *below.borrow_and_update();
            self.cut.send_modify(|cut| cut.below = below);
        }
    }

    /// Resolves when a request of this generation is to end, and says why.
    pub(crate) async fn cut(&self, generation: u64) -> &'static str {
        let mut cut = self.cut.subscribe();
        let ends = cut.wait_for(|cut| cut.all || generation < cut.below).await;
        match ends {
            Ok(cut) if !cut.all => {
                "its policy version was replaced, and what it keeps in memory is needed; try again"
            }
            _ => "the gateway is shutting down and could not wait any longer; try again",
        }
    }

    /// Room for one request's body.
    pub(crate) fn body_room(&self) -> BodyRoom {
        let data = &self.config.data;
        let max = data.bodies_bytes_max.max(data.body_bytes_max);
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
        let snapshot = self.serving.load();
        let principal = snapshot.authenticate(&self.pepper, headers, "models", epoch_ms())?;
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
