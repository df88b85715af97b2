//! What one data-plane thread owns: its upstream pool, its decision chain, and its view of the node.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use http::HeaderMap;
use pointsman_audit::{
    About, AuditError, CONTENT_SEGMENT_BYTES_MAX, Chain, ContentWriter, Kept, SALT_BYTES,
};
use pointsman_domain::decision::Record;
use pointsman_domain::{ErrorKind, GatewayError, RequestId};
use pointsman_policy::config::StaticConfig;
use pointsman_telemetry::Metrics;
use pointsman_upstream::{Upstream, UpstreamConfig};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::answers::Answers;
use crate::aside::Aside;
use crate::ids::Ids;
use crate::meters::{Meters, Refusal, ScopeMeter, Share};
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
    /// What is kept of the content of the chain's requests.
    content: RefCell<ContentWriter>,
    ids: RefCell<Ids>,
    pub(crate) aside: Arc<Aside>,
    bodies: Arc<AtomicUsize>,
    in_flight: Arc<AtomicU32>,
    in_flight_max: u32,
    share: Share,
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
pub(crate) struct InFlight {
    all: Arc<AtomicU32>,
    tenant: Arc<ScopeMeter>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        self.tenant.held().requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The bytes of one request's body, out of those that all bodies of the node may be; dropping it gives them back.
pub(crate) struct BodyRoom {
    all: Arc<AtomicUsize>,
    tenant: Arc<ScopeMeter>,
    share: Share,
    mine: usize,
    max: usize,
    metrics: Arc<Metrics>,
}

impl BodyRoom {
    /// Takes room for so many more bytes; the refusal says which bound was met.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), GatewayError> {
        let all = self.all.fetch_add(bytes, Ordering::Relaxed);
        let held = &self.tenant.held().body_bytes;
        let of_tenant = held.fetch_add(bytes, Ordering::Relaxed);
        let is_alone = of_tenant <= self.mine;
        self.mine += bytes;
        if all + bytes > self.max {
            let message = format!(
                "the bodies of all requests under way are over {} bytes (data.bodies-bytes-max); try again",
                self.max
            );
            return Err(later(message));
        }
        // A tenant's only body is bounded by its own size.
        if is_alone || self.share.allows(of_tenant, self.max - all) {
            return Ok(());
        }
        let of = "the bytes of all bodies (data.bodies-bytes-max)";
        let refusal = self.tenant.over_share("bodies-share", of, self.share);
        Err(refused(&self.metrics, &self.tenant, refusal))
    }
}

impl Drop for BodyRoom {
    fn drop(&mut self) {
        self.all.fetch_sub(self.mine, Ordering::Relaxed);
        let held = &self.tenant.held().body_bytes;
        held.fetch_sub(self.mine, Ordering::Relaxed);
    }
}

/// The node has no room now.
fn later(message: String) -> GatewayError {
    let mut error = GatewayError::new(ErrorKind::Unavailable, message);
    error.retry_after_s = Some(1);
    error
}

fn refused(metrics: &Metrics, tenant: &ScopeMeter, refusal: Refusal) -> GatewayError {
    metrics.limited(refusal.scope, refusal.limit, Some(tenant.tenant()));
    *refusal.error
}

impl Worker {
    pub(crate) fn new(node: Arc<Node>, index: usize) -> anyhow::Result<Self> {
        let (chain, name) = node.open_chain(index)?;
        let content = ContentWriter::new(&node.content_dir, &name, CONTENT_SEGMENT_BYTES_MAX)?;
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
            aside: Arc::clone(&node.aside),
            bodies: Arc::clone(&node.bodies),
            chain: RefCell::new(chain),
            content: RefCell::new(content),
            ids: RefCell::default(),
            in_flight: Arc::clone(&node.in_flight),
            in_flight_max: node.config.data.requests_max,
            share: Share::new(node.config.data.tenant_percent_max),
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

    /// A place for one more request of a tenant, or the refusal that says which bound was met.
    pub(crate) fn admit(&self, tenant: &Arc<ScopeMeter>) -> Result<InFlight, GatewayError> {
        if let Err(error) = self.chain.borrow_mut().admit() {
            let message = format!(
                "decisions cannot be recorded ({error}), so none are made; free disk space"
            );
            return Err(GatewayError::new(ErrorKind::AuditUnavailable, message));
        }
        let all = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let of_tenant = tenant.held().requests.fetch_add(1, Ordering::Relaxed);
        // From here on it is given back where it is not kept.
        let place = InFlight {
            all: Arc::clone(&self.in_flight),
            tenant: Arc::clone(tenant),
        };
        let max = self.in_flight_max;
        if all >= max {
            return Err(later(format!(
                "{max} requests are in flight (data.requests-max)"
            )));
        }
        if self.share.allows(of_tenant, (max - all) as usize) {
            return Ok(place);
        }
        let of = "the requests in flight (data.requests-max)";
        let refusal = tenant.over_share("requests-share", of, self.share);
        Err(refused(&self.metrics, tenant, refusal))
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

    /// Room for the body of one request of a tenant.
    pub(crate) fn body_room(&self, tenant: &Arc<ScopeMeter>) -> BodyRoom {
        let data = &self.config.data;
        BodyRoom {
            all: Arc::clone(&self.bodies),
            tenant: Arc::clone(tenant),
            share: self.share,
            mine: 0,
            max: data.bodies_bytes_max.max(data.body_bytes_max),
            metrics: Arc::clone(&self.metrics),
        }
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

    /// Keeps the content of one request beside this thread's chain.
    pub(crate) fn keep(
        &self,
        about: &About,
        salt: &[u8; SALT_BYTES],
        parts: &[&[u8]],
    ) -> Result<Kept, AuditError> {
        self.content.borrow_mut().put(about, salt, parts)
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
    use pointsman_domain::control::Limits;

    use super::*;
    use crate::meters::ScopeId;

    fn room(all: &Arc<AtomicUsize>, tenant: &Arc<ScopeMeter>) -> BodyRoom {
        BodyRoom {
            all: Arc::clone(all),
            tenant: Arc::clone(tenant),
            share: Share::new(75),
            mine: 0,
            max: 100,
            metrics: Arc::default(),
        }
    }

    fn tenant(id: &str) -> Arc<ScopeMeter> {
        let id = ScopeId::Tenant(id.to_owned());
        Meters::default().scope(id, &Limits::default(), &[])
    }

    #[test]
    fn bodies_share_one_bound_and_give_back() {
        let all = Arc::new(AtomicUsize::new(0));
        let mut one = room(&all, &tenant("one"));
        let mut other = room(&all, &tenant("other"));
        assert!(one.grow(60).is_ok());
        let refused = other.grow(50).expect_err("over the bound");
        assert_eq!(
            (refused.http_status(), refused.retry_after_s),
            (503, Some(1))
        );
        drop(other);
        assert!(one.grow(40).is_ok(), "a body may be as large as all");
        drop(one);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_tenants_bodies_leave_room_for_another_tenants() {
        let all = Arc::new(AtomicUsize::new(0));
        let greedy = tenant("greedy");
        let mut rooms: Vec<BodyRoom> = (0..9).map(|_| room(&all, &greedy)).collect();
        let taken = rooms.iter_mut().filter_map(|room| room.grow(10).ok());
        assert_eq!(taken.count(), 8);
        let refused = rooms[8].grow(1).expect_err("over its share");
        assert_eq!(
            (refused.http_status(), refused.retry_after_s),
            (429, Some(1))
        );
        drop(rooms);
        assert_eq!(greedy.held().body_bytes.load(Ordering::Relaxed), 0);
    }
}
