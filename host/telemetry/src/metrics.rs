//! What the gateway counts, and under which names. The table of names is in `docs/telemetry.md`.

mod count;
mod process;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

pub use count::{Ended, outcome_name};
pub(crate) use count::{cache_name, dollars};
use process::Process;

use crate::histogram::Times;
use crate::series::Series;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;
const S: u64 = 1_000_000_000;

/// Bounds of times in plugins: from an untouched snapshot to the epoch backstop.
const STEP_BOUNDS_NS: [u64; 14] = [
    5 * US,
    10 * US,
    20 * US,
    50 * US,
    100 * US,
    200 * US,
    500 * US,
    MS,
    2 * MS,
    5 * MS,
    10 * MS,
    20 * MS,
    50 * MS,
    100 * MS,
];
/// Bounds of times that a model's answer takes.
const ANSWER_BOUNDS_NS: [u64; 16] = [
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    S,
    2 * S,
    5 * S,
    10 * S,
    20 * S,
    30 * S,
    60 * S,
    120 * S,
    300 * S,
];
/// Bounds of the time between two tokens: from 1,000 a second to one.
const TOKEN_BOUNDS_NS: [u64; 11] = [
    MS,
    2 * MS,
    5 * MS,
    10 * MS,
    20 * MS,
    35 * MS,
    50 * MS,
    100 * MS,
    200 * MS,
    500 * MS,
    S,
];
/// Bounds of the time from an activation's beginning to its answer.
const ACTIVATION_BOUNDS_NS: [u64; 12] = [
    MS,
    2 * MS,
    5 * MS,
    10 * MS,
    20 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    S,
    5 * S,
    30 * S,
];
/// The label of what is not known, and of what there was none of.
const NONE: &str = "-";

type Dollars = Counter<f64, AtomicU64>;
type Level = Gauge<i64, AtomicI64>;

type Look = Box<dyn Fn(&Metrics) + Send + Sync>;

/// Every metric of the gateway; shared by all threads.
pub struct Metrics {
    registry: Registry,
    /// What every process has, by the names that every process has them under.
    process_registry: Registry,
    process: Process,
    look: OnceLock<Look>,
    requests: Series<5, Counter>,
    request_seconds: Series<1, Times>,
    first_content_seconds: Series<1, Times>,
    output_token_seconds: Series<1, Times>,
    step_seconds: Series<2, Times>,
    step_fuel: Series<2, Counter>,
    step_faults: Series<3, Counter>,
    tenant_fuel: Series<1, Counter>,
    tenant_memory: Series<1, Counter>,
    attempts: Series<2, Counter>,
    embeddings: Series<2, Counter>,
    usage: Series<3, Counter>,
    cost: Series<2, Dollars>,
    unpriced: Series<1, Counter>,
    estimated: Series<1, Counter>,
    cache: Series<2, Counter>,
    limit_hits: Series<3, Counter>,
    in_flight: Level,
    body_bytes: Level,
    generation: Level,
    policy_version: Series<1, Level>,
    activation_seconds: Series<1, Times>,
    retired: Level,
    retired_bytes: Level,
    traces: Series<1, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// All metrics, at nothing.
    #[must_use]
    pub fn new() -> Self {
        let answers = || Times::new(&ANSWER_BOUNDS_NS);
        let mut metrics = Self {
            registry: Registry::with_prefix("pointsman"),
            process_registry: Registry::with_prefix("process"),
            process: Process::default(),
            look: OnceLock::new(),
            requests: Series::new(
                ["tenant", "policy", "outcome", "status", "code"],
                Counter::default,
            ),
            request_seconds: Series::new(["outcome"], answers),
            first_content_seconds: Series::new(["target"], answers),
            output_token_seconds: Series::new(["target"], || Times::new(&TOKEN_BOUNDS_NS)),
            step_seconds: Series::new(["phase", "plugin"], || Times::new(&STEP_BOUNDS_NS)),
            step_fuel: Series::new(["phase", "plugin"], Counter::default),
            step_faults: Series::new(["phase", "plugin", "kind"], Counter::default),
            tenant_fuel: Series::new(["tenant"], Counter::default),
            tenant_memory: Series::new(["tenant"], Counter::default),
            attempts: Series::new(["target", "outcome"], Counter::default),
            embeddings: Series::new(["target", "outcome"], Counter::default),
            usage: Series::new(["tenant", "target", "unit"], Counter::default),
            cost: Series::new(["tenant", "target"], Dollars::default),
            unpriced: Series::new(["tenant"], Counter::default),
            estimated: Series::new(["tenant"], Counter::default),
            cache: Series::new(["tenant", "use"], Counter::default),
            limit_hits: Series::new(["tenant", "scope", "limit"], Counter::default),
            in_flight: Level::default(),
            body_bytes: Level::default(),
            generation: Level::default(),
            policy_version: Series::new(["policy"], Level::default),
            activation_seconds: Series::new(["policy"], || Times::new(&ACTIVATION_BOUNDS_NS)),
            retired: Level::default(),
            retired_bytes: Level::default(),
            traces: Series::new(["outcome"], Counter::default),
        };
        metrics.register_requests();
        metrics.register_node();
        metrics
    }

    /// The registry adds `_total` to counters.
    fn register_requests(&mut self) {
        let r = &mut self.registry;
        add(r, "requests", "Requests that ended", &self.requests);
        add(
            r,
            "request_seconds",
            "From the first byte in to the record",
            &self.request_seconds,
        );
        add(
            r,
            "first_content_seconds",
            "From the first byte in to the first content byte out",
            &self.first_content_seconds,
        );
        add(
            r,
            "output_token_seconds",
            "Time per output token after the first, of streams",
            &self.output_token_seconds,
        );
        add(r, "step_seconds", "Time in a plugin", &self.step_seconds);
        add(
            r,
            "step_fuel",
            "Instructions of plugins, as fuel counts them",
            &self.step_fuel,
        );
        add(r, "step_faults", "Faults of plugins", &self.step_faults);
        add(
            r,
            "tenant_step_fuel",
            "Instructions that plugins ran for a tenant",
            &self.tenant_fuel,
        );
        add(
            r,
            "tenant_step_memory_bytes",
            "Memory of the instances that ran for a tenant, added up",
            &self.tenant_memory,
        );
        add(r, "attempts", "Tries at targets", &self.attempts);
        add(
            r,
            "embeddings",
            "Steps that needed vectors, by how they got them",
            &self.embeddings,
        );
        add(r, "usage", "Tokens and other meters", &self.usage);
        add(r, "cost_usd", "Priced cost in US dollars", &self.cost);
        add(
            r,
            "unpriced",
            "Requests with a line that has no price",
            &self.unpriced,
        );
        add(
            r,
            "estimated",
            "Requests with a line that is estimated",
            &self.estimated,
        );
        add(
            r,
            "cache",
            "Requests by what the cache had to do with them",
            &self.cache,
        );
        add(
            r,
            "limit_hits",
            "Requests that a limit or budget refused",
            &self.limit_hits,
        );
    }

    fn register_node(&mut self) {
        let r = &mut self.registry;
        add(
            r,
            "in_flight_requests",
            "Requests under way",
            &self.in_flight,
        );
        add(
            r,
            "body_bytes",
            "Bytes of the bodies of requests under way",
            &self.body_bytes,
        );
        add(
            r,
            "generation",
            "Generation of the snapshot that new requests get",
            &self.generation,
        );
        add(
            r,
            "policy_version",
            "Version that serves new requests",
            &self.policy_version,
        );
        add(
            r,
            "activation_seconds",
            "From an activation's beginning to its answer",
            &self.activation_seconds,
        );
        add(
            r,
            "retired_snapshots",
            "Snapshots that serve no new request and still serve an old one",
            &self.retired,
        );
        add(
            r,
            "retired_snapshot_bytes",
            "Bytes of their plugins that no later snapshot shares",
            &self.retired_bytes,
        );
        add(r, "traces", "Traces by what became of them", &self.traces);
        r.register(
            "build",
            "This gateway",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        self.process.register(&mut self.process_registry);
    }

    /// All metrics as `OpenMetrics` text, which Prometheus reads.
    #[must_use]
    pub fn encode(&self) -> String {
        if let Some(look) = self.look.get() {
            look(self);
        }
        self.process.read();
        let mut text = String::new();
        let encoded = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &self.process_registry))
            .and_then(|()| encode_eof(&mut text));
        encoded.expect("writing to a string does not fail");
        text
    }
}

/// The registry's hold shares what is counted.
fn add(registry: &mut Registry, name: &str, help: &str, metric: &(impl Metric + Clone)) {
    registry.register(name, help, metric.clone());
}

fn level(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
