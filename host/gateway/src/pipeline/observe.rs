//! What is told of a request beside its records: its trace, and its log line where one is wanted or worth it.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use pointsman_domain::decision::{Closed, Opened, Outcome};
use pointsman_domain::{Fault, GatewayError, Side};
use pointsman_telemetry::{AttemptNote, Finished, Sampler, Tag, Throttle, TraceContext};
use pointsman_wire::release::Summary;

use super::Exchange;
use super::timeline::Phase;
use crate::snapshot::TargetLive;

/// Between two log lines about requests that failed in the gateway or in a plugin; each is in its record.
static TROUBLE: Throttle = Throttle::new(Duration::from_secs(1));

/// What a trace needs that records do not hold; kept for sampled requests alone.
pub(super) struct Observed {
    pub(super) tag: Rc<Tag>,
    began: SystemTime,
    opened: Option<Box<Opened>>,
    /// The first of those before `opened`.
    fault: Option<Fault>,
    attempts: Vec<AttemptNote>,
}

impl Observed {
    pub(super) fn new(tag: Rc<Tag>) -> Self {
        Self {
            tag,
            began: SystemTime::now(),
            opened: None,
            fault: None,
            attempts: Vec::new(),
        }
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.tag.trace().is_sampled()
    }

    /// An attempt begins.
    pub(super) fn attempt(&mut self, start_us: u64, target: &TargetLive) {
        if self.is_sampled() {
            self.attempts.push(AttemptNote {
                start_us,
                endpoint: target.endpoint.clone(),
                finish_reasons: Vec::new(),
            });
        }
    }

    /// An attempt's answer is over.
    pub(super) fn answered(&mut self, summary: &Summary) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.finish_reasons.clone_from(&summary.finish_reasons);
        }
    }

    /// The first record is written; it is kept until the request ends.
    pub(super) fn opened(&mut self, opened: Box<Opened>) {
        self.fault = opened.steps.iter().find_map(|step| step.fault.clone());
        if self.is_sampled() {
            self.opened = Some(opened);
        }
    }
}

/// The tag of a request: its id and its place in its trace.
pub(super) fn tag(id: &str, headers: &HeaderMap, sampler: Sampler) -> Rc<Tag> {
    Tag::new(id.to_owned(), TraceContext::begin(headers, sampler))
}

impl Exchange {
    /// Enters a phase.
    pub(super) fn at(&mut self, phase: Phase) -> &mut Self {
        self.timeline.enter(phase);
        self
    }

    /// Headers for a target: the request's id and, where wanted, its place in the trace.
    pub(super) fn outgoing_headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![("x-pointsman-request-id".to_owned(), self.id.0.clone())];
        if self.worker.telling.propagate {
            let attempt = self.attempts.last().map_or(0, |attempt| attempt.index);
            let word = self.observed.tag.trace().traceparent(attempt);
            headers.extend(word.map(|word| (pointsman_telemetry::TRACEPARENT.to_owned(), word)));
        }
        headers
    }

    /// What log lines of this request say.
    pub(super) fn tag(&self) -> Rc<Tag> {
        Rc::clone(&self.observed.tag)
    }

    /// The last record is written: the log line, then the trace.
    pub(super) fn observe(&mut self, closed: Box<Closed>, error: Option<&GatewayError>) {
        self.tell_trouble(&closed, error);
        if self.worker.telling.requests {
            tell_request(&closed);
        }
        let Some(traces) = &self.worker.telling.traces else {
            return;
        };
        if let Some(opened) = self.observed.opened.take() {
            traces.hand_over(Finished {
                context: *self.observed.tag.trace(),
                began: self.observed.began,
                generation: Some(self.snapshot.generation()),
                opened,
                closed,
                attempts: std::mem::take(&mut self.observed.attempts),
            });
        }
    }

    /// A request that was refused before it had a record.
    pub(super) fn observe_unrecorded(&self, outcome: Outcome, error: Option<&GatewayError>) {
        if self.worker.telling.requests {
            tracing::info!(
                status = self.status,
                outcome = pointsman_telemetry::outcome_name(outcome),
                code = error.map(|error| error.kind.code()),
                total_us = self.elapsed_us(),
                "request"
            );
        }
    }

    /// What an operator should look into: the gateway's own failures and faults of plugins.
    fn tell_trouble(&self, closed: &Closed, error: Option<&GatewayError>) {
        let is_ours =
            error.is_some_and(|error| matches!(error.kind.side(), Side::Gateway | Side::Plugin));
        let fault = closed.steps.iter().find_map(|step| step.fault.as_ref());
        let fault = fault.or(self.observed.fault.as_ref());
        if (is_ours || fault.is_some())
            && let Some(held_back) = TROUBLE.pass()
        {
            tracing::warn!(
                code = error.map(|error| error.kind.code()),
                plugin = fault.map(|fault| fault.plugin.as_str()),
                fault = fault.map(|fault| fault.kind.as_str()),
                held_back,
                "a request met trouble; `pointsman why` tells it by its id"
            );
        }
    }
}

/// A line for those who want one a request.
fn tell_request(closed: &Closed) {
    let count = |unit: &str| -> u64 {
        let meters = closed.attempts.iter().flat_map(|attempt| &attempt.meters);
        meters
            .filter(|meter| meter.unit == unit)
            .map(|meter| meter.quantity)
            .fold(0, u64::saturating_add)
    };
    tracing::info!(
        status = closed.status,
        outcome = pointsman_telemetry::outcome_name(closed.outcome),
        code = closed.error.as_deref(),
        to = closed.target.as_deref(),
        attempts = closed.attempts.len(),
        total_us = closed.total_us,
        ttft_us = closed.ttft_us,
        input_tokens = count(pointsman_domain::usage::INPUT_TOKENS),
        output_tokens = count(pointsman_domain::usage::OUTPUT_TOKENS),
        response_bytes = closed.response_bytes,
        "request"
    );
}
