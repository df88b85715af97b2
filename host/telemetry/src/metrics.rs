//! What the gateway counts. The table of names is in the crate's documentation.

use std::sync::atomic::AtomicU64;

use pointsman_domain::Picos;
use pointsman_domain::decision::{Closed, Opened, Outcome, StepRecord};
use pointsman_domain::usage::Amount;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

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
/// The label of what is not known.
const UNKNOWN: &str = "-";

type Dollars = Counter<f64, AtomicU64>;

/// Every metric of the gateway; shared by all threads.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Series<3, Counter>,
    request_seconds: Series<1, Times>,
    first_content_seconds: Series<1, Times>,
    step_seconds: Series<2, Times>,
    step_faults: Series<3, Counter>,
    attempts: Series<2, Counter>,
    usage: Series<3, Counter>,
    cost: Series<2, Dollars>,
    unpriced: Series<1, Counter>,
    generation: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All metrics, at nothing.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("pointsman"),
            requests: Series::new(["tenant", "outcome", "status"], Counter::default),
            request_seconds: Series::new(["outcome"], || Times::new(&ANSWER_BOUNDS_NS)),
            first_content_seconds: Series::new(["target"], || Times::new(&ANSWER_BOUNDS_NS)),
            step_seconds: Series::new(["phase", "plugin"], || Times::new(&STEP_BOUNDS_NS)),
            step_faults: Series::new(["phase", "plugin", "kind"], Counter::default),
            attempts: Series::new(["target", "outcome"], Counter::default),
            usage: Series::new(["tenant", "target", "unit"], Counter::default),
            cost: Series::new(["tenant", "target"], Dollars::default),
            unpriced: Series::new(["tenant"], Counter::default),
            generation: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    /// The registry adds `_total` to counters.
    fn register(&mut self) {
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
        add(r, "step_seconds", "Time in a plugin", &self.step_seconds);
        add(r, "step_faults", "Faults of plugins", &self.step_faults);
        add(r, "attempts", "Tries at targets", &self.attempts);
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
            "generation",
            "Generation of the snapshot that new requests get",
            &self.generation,
        );
        r.register(
            "build",
            "This gateway",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    /// A request ended; `tenant` where its key was known.
    pub fn request(&self, outcome: Outcome, status: u16, tenant: Option<&str>) {
        let labels = [
            tenant.unwrap_or(UNKNOWN),
            outcome_name(outcome),
            &status.to_string(),
        ];
        self.requests.with(labels, one);
    }

    /// A request's first record: the plugins that decided.
    pub fn opened(&self, opened: &Opened) {
        self.steps(&opened.steps);
    }

    /// Times and faults of the steps that ran.
    fn steps(&self, steps: &[StepRecord]) {
        for step in steps.iter().filter(|step| step.digest.is_some()) {
            let (phase, plugin) = (step.phase.as_str(), step.plugin.as_str());
            self.step_seconds
                .with([phase, plugin], |times| times.observe_ns(step.time_ns));
            if let Some(fault) = &step.fault {
                self.step_faults
                    .with([phase, plugin, fault.kind.as_str()], one);
            }
        }
    }

    /// A try at a target ended.
    pub fn attempt(&self, target: &str, outcome: &str) {
        self.attempts.with([target, outcome], one);
    }

    /// A request's last record: its times, its later plugins, what its attempts used, and what they cost.
    pub fn closed(&self, closed: &Closed) {
        self.steps(&closed.steps);
        let tenant = closed.tenant.as_str();
        self.request_seconds
            .with([outcome_name(closed.outcome)], |times| {
                times.observe_ns(closed.total_us.saturating_mul(US));
            });
        if let Some(us) = closed.ttft_us {
            let target = closed.target.as_deref().unwrap_or(UNKNOWN);
            self.first_content_seconds
                .with([target], |times| times.observe_ns(us.saturating_mul(US)));
        }
        for attempt in &closed.attempts {
            for meter in &attempt.meters {
                self.usage
                    .with([tenant, &attempt.target, &meter.unit], |counter| {
                        counter.inc_by(meter.quantity);
                    });
            }
        }
        for line in &closed.cost {
            let (Amount::Exact(picos) | Amount::Estimated(picos)) = line.amount else {
                continue;
            };
            let attempt = closed
                .attempts
                .iter()
                .find(|attempt| attempt.index == line.attempt);
            let target = attempt.map_or(UNKNOWN, |attempt| attempt.target.as_str());
            // A counter cannot fall: a credit is in the records, not here.
            let dollars = dollars(picos).max(0.0);
            self.cost.with([tenant, target], |counter| {
                counter.inc_by(dollars);
            });
        }
        if closed.unpriced {
            self.unpriced.with([tenant], one);
        }
    }

    /// New requests get this generation's snapshot.
    pub fn generation(&self, generation: u64) {
        self.generation
            .set(i64::try_from(generation).unwrap_or(i64::MAX));
    }

    /// All metrics as `OpenMetrics` text, which Prometheus reads.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let encoded = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        encoded.expect("writing to a string does not fail");
        text
    }
}

fn add(registry: &mut Registry, name: &str, help: &str, metric: &(impl Metric + Clone)) {
    registry.register(name, help, metric.clone());
}

fn one(counter: &Counter) {
    counter.inc();
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a metric for people; records and bills hold the exact amount"
)]
fn dollars(picos: Picos) -> f64 {
    picos.0 as f64 / 1e12
}

/// An outcome's name, as records write it.
fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Denied => "denied",
        Outcome::Cut => "cut",
        Outcome::Error => "error",
        Outcome::Cancelled => "cancelled",
    }
}
