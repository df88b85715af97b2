//! What the engine counts, for `/metrics`.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the labels' values")]
pub(crate) enum Outcome {
    completed,
    cancelled,
    refused,
    rejected_busy,
    failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByOutcome {
    outcome: Outcome,
}

/// Handles to every metric; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<ByOutcome, Counter>,
    pub(crate) prompt_tokens: Counter,
    pub(crate) answer_tokens: Counter,
    pub(crate) first_token: Histogram,
    pub(crate) step: Histogram,
    pub(crate) running: Gauge,
    pub(crate) waiting: Gauge,
    pub(crate) kv_bytes: Gauge,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            prompt_tokens: Counter::default(),
            answer_tokens: Counter::default(),
            first_token: Histogram::new([
                0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
            ]),
            step: Histogram::new([
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
            ]),
            running: Gauge::default(),
            waiting: Gauge::default(),
            kv_bytes: Gauge::default(),
        };
        for outcome in [
            Outcome::completed,
            Outcome::cancelled,
            Outcome::refused,
            Outcome::rejected_busy,
            Outcome::failed,
        ] {
            // A counter that is there from the start can be told from one that is missing.
            let _zero = metrics.requests.get_or_create(&ByOutcome { outcome });
        }
        let mut add = |name: &str, help: &str, metric: Kind<'_>| {
            let name = format!("pointsman_engine_{name}");
            match metric {
                Kind::Requests(metric) => registry.register(name, help, metric.clone()),
                Kind::Counter(metric) => registry.register(name, help, metric.clone()),
                Kind::Gauge(metric) => registry.register(name, help, metric.clone()),
                Kind::Histogram(metric) => registry.register(name, help, metric.clone()),
            }
        };
        add(
            "requests",
            "Chat requests by how they ended",
            Kind::Requests(&metrics.requests),
        );
        add(
            "prompt_tokens",
            "Prompt tokens computed",
            Kind::Counter(&metrics.prompt_tokens),
        );
        add(
            "answer_tokens",
            "Tokens generated",
            Kind::Counter(&metrics.answer_tokens),
        );
        add(
            "first_token_seconds",
            "From arrival to the first token",
            Kind::Histogram(&metrics.first_token),
        );
        add(
            "step_seconds",
            "Time of one step over the batch",
            Kind::Histogram(&metrics.step),
        );
        add(
            "sequences_running",
            "Sequences being generated",
            Kind::Gauge(&metrics.running),
        );
        add(
            "requests_waiting",
            "Requests waiting for a sequence",
            Kind::Gauge(&metrics.waiting),
        );
        add(
            "kv_cache_bytes",
            "Memory of the running sequences' keys and values",
            Kind::Gauge(&metrics.kv_bytes),
        );
        metrics
    }

    pub(crate) fn ended(&self, outcome: Outcome) {
        self.requests.get_or_create(&ByOutcome { outcome }).inc();
    }
}

enum Kind<'a> {
    Requests(&'a Family<ByOutcome, Counter>),
    Counter(&'a Counter),
    Gauge(&'a Gauge),
    Histogram(&'a Histogram),
}
