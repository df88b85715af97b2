//! From a request's two records to the spans of its trace: pure, after the request has ended.
//!
//! Names are those of the OpenTelemetry semantic conventions where they have one, `pointsman.` else. Spans hold names,
//! codes, counts and times; never content or a secret.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use pointsman_domain::decision::{AttemptRecord, Closed, Opened, Outcome, PhaseTime, StepRecord};
use pointsman_domain::usage::{
    AUDIO_INPUT_TOKENS, AUDIO_OUTPUT_TOKENS, CACHE_WRITE_TOKENS, CACHED_INPUT_TOKENS, INPUT_TOKENS,
    OUTPUT_TOKENS, REASONING_TOKENS,
};

use crate::context::{Child, TraceContext};
use crate::metrics::{cache_name, dollars, outcome_name};

/// The finish reasons that are told by their name; a provider's own words are `other`.
const FINISH_REASONS: [&str; 5] = [
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "function_call",
];
/// The phase that attempts lie in.
const EXECUTE: &str = "execute";

/// What a request's records do not say of an attempt.
#[derive(Clone, Debug, Default)]
pub struct AttemptNote {
    /// Microseconds from the request's beginning to the attempt's.
    pub start_us: u64,
    /// Where it went.
    pub endpoint: http::Uri,
    /// Why its choices ended.
    pub finish_reasons: Vec<String>,
}

/// A request that has ended, as its trace tells it.
#[derive(Debug)]
pub struct Finished {
    /// Its place in its trace.
    pub context: TraceContext,
    /// When its first byte came.
    pub began: SystemTime,
    /// Of the snapshot that served it.
    pub generation: Option<u64>,
    /// Its first record.
    pub opened: Box<Opened>,
    /// Its last record.
    pub closed: Box<Closed>,
    /// In the order of its attempts.
    pub attempts: Vec<AttemptNote>,
}

/// A piece of time.
#[derive(Clone, Copy)]
struct Stretch {
    start: SystemTime,
    end: SystemTime,
}

impl Stretch {
    /// A part of it, cut where it ends.
    fn part(self, start: SystemTime, lasts: Duration) -> Self {
        let start = start.clamp(self.start, self.end);
        let end = (start + lasts).min(self.end);
        Self { start, end }
    }
}

/// A phase's span, and how much of it its steps have taken.
struct Phase {
    name: String,
    span: u64,
    stretch: Stretch,
    steps_until: SystemTime,
}

/// All spans of a request: its own, its phases', its steps', its attempts'.
pub(crate) fn spans(finished: &Finished, scope: &InstrumentationScope) -> Vec<SpanData> {
    let maker = Maker { finished, scope };
    let (opened, closed) = (&finished.opened, &finished.closed);
    let mut spans = vec![maker.request()];
    let mut phases = Vec::new();
    for (index, phase) in opened.phases.iter().chain(&closed.phases).enumerate() {
        let phase = maker.phase(index as u64, phase);
        spans.push(maker.phase_span(&phase));
        phases.push(phase);
    }
    for (index, step) in opened.steps.iter().chain(&closed.steps).enumerate() {
        let phase = phases.iter_mut().find(|phase| phase.name == step.phase);
        spans.push(maker.step(index as u64, step, phase));
    }
    let execute = phases.iter().find(|phase| phase.name == EXECUTE);
    for (index, attempt) in closed.attempts.iter().enumerate() {
        spans.push(maker.attempt(attempt, finished.attempts.get(index), execute));
    }
    spans
}

struct Maker<'a> {
    finished: &'a Finished,
    scope: &'a InstrumentationScope,
}

impl Maker<'_> {
    fn whole(&self) -> Stretch {
        let start = self.finished.began;
        let lasts = Duration::from_micros(self.finished.closed.total_us);
        Stretch {
            start,
            end: start + lasts,
        }
    }

    fn at(&self, us: u64) -> SystemTime {
        self.finished.began + Duration::from_micros(us)
    }

    fn own(&self) -> u64 {
        self.finished.context.span().0
    }

    fn span(
        &self,
        id: u64,
        parent: u64,
        kind: SpanKind,
        name: String,
        stretch: Stretch,
        attributes: Vec<KeyValue>,
        status: Status,
    ) -> SpanData {
        let trace = TraceId::from_bytes(self.finished.context.trace().0.to_be_bytes());
        let id = SpanId::from_bytes(id.to_be_bytes());
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: SpanId::from_bytes(parent.to_be_bytes()),
            parent_span_is_remote: false,
            span_kind: kind,
            name: name.into(),
            start_time: stretch.start,
            end_time: stretch.end,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn request(&self) -> SpanData {
        let (opened, closed) = (&self.finished.opened, &self.finished.closed);
        let parent = self.finished.context.parent();
        let mut span = self.span(
            self.own(),
            parent.map_or(0, |parent| parent.0),
            SpanKind::Server,
            format!("POST {}", opened.endpoint),
            self.whole(),
            self.request_attributes(opened, closed),
            match closed.outcome {
                Outcome::Error if closed.status >= 500 || closed.status == 200 => {
                    failed(closed.error.as_deref().unwrap_or("error"))
                }
                _ => Status::Unset,
            },
        );
        span.parent_span_is_remote = parent.is_some();
        span
    }

    fn request_attributes(&self, opened: &Opened, closed: &Closed) -> Vec<KeyValue> {
        let mut all = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.route", opened.endpoint.clone()),
            KeyValue::new("url.path", opened.endpoint.clone()),
            KeyValue::new("http.response.status_code", i64::from(closed.status)),
            KeyValue::new("gen_ai.conversation.id", opened.conversation.clone()),
            KeyValue::new("pointsman.request.id", opened.id.0.clone()),
            KeyValue::new("pointsman.tenant", opened.tenant.clone()),
            KeyValue::new("pointsman.key.id", opened.key.clone()),
            KeyValue::new("pointsman.dialect", opened.dialect.clone()),
            KeyValue::new("pointsman.streaming", opened.streaming),
            KeyValue::new("pointsman.policy", opened.policy.clone()),
            KeyValue::new("pointsman.policy.version", number(opened.version)),
            KeyValue::new("pointsman.policy.digest", opened.policy_digest.to_string()),
            KeyValue::new("pointsman.outcome", outcome_name(closed.outcome)),
            KeyValue::new("pointsman.cost.usd", dollars(closed.cost_pico_usd)),
            KeyValue::new("pointsman.cost.unpriced", closed.unpriced),
            KeyValue::new("pointsman.cost.estimated", closed.estimated),
            KeyValue::new("pointsman.response.bytes", number(closed.response_bytes)),
        ];
        let mut told = |name: &'static str, value: Option<Value>| {
            all.extend(value.map(|value| KeyValue::new(name, value)));
        };
        let text = |text: &Option<String>| text.clone().map(Value::from);
        told("error.type", text(&closed.error));
        told("pointsman.target", text(&closed.target));
        told("pointsman.variant", text(&opened.variant));
        told(
            "pointsman.generation",
            self.finished.generation.map(|count| number(count).into()),
        );
        told(
            "pointsman.cache",
            closed.cache.map(|cache| cache_name(cache).into()),
        );
        told(
            "pointsman.time_to_first_content",
            closed.ttft_us.map(seconds),
        );
        all.retain(|attribute| attribute.value != Value::from(""));
        all
    }

    fn phase(&self, index: u64, phase: &PhaseTime) -> Phase {
        let lasts = Duration::from_micros(phase.us);
        let stretch = self.whole().part(self.at(phase.start_us), lasts);
        Phase {
            name: phase.phase.clone().into_owned(),
            span: self.finished.context.child(Child::Phase, index),
            stretch,
            steps_until: stretch.start,
        }
    }

    fn phase_span(&self, phase: &Phase) -> SpanData {
        self.span(
            phase.span,
            self.own(),
            SpanKind::Internal,
            phase.name.clone(),
            phase.stretch,
            vec![KeyValue::new("pointsman.phase", phase.name.clone())],
            Status::Unset,
        )
    }

    /// Records say how long a step took and in which order, not when: it lies where those before it end.
    fn step(&self, index: u64, step: &StepRecord, phase: Option<&mut Phase>) -> SpanData {
        let lasts = Duration::from_nanos(step.time_ns);
        let (parent, stretch) = match phase {
            Some(phase) => {
                let stretch = phase.stretch.part(phase.steps_until, lasts);
                phase.steps_until = stretch.end;
                (phase.span, stretch)
            }
            None => (self.own(), self.whole().part(self.finished.began, lasts)),
        };
        let (name, version) = step.plugin.split_once('@').unwrap_or((&step.plugin, ""));
        let mut attributes = vec![
            KeyValue::new("pointsman.step.id", step.id.clone()),
            KeyValue::new("pointsman.phase", step.phase.clone()),
            KeyValue::new("pointsman.plugin.name", name.to_owned()),
            KeyValue::new("pointsman.plugin.version", version.to_owned()),
            KeyValue::new("pointsman.step.verdict", step.verdict.clone()),
            KeyValue::new("pointsman.step.detail", step.detail.clone()),
            KeyValue::new("pointsman.step.time_ns", number(step.time_ns)),
            KeyValue::new("pointsman.step.fuel", number(step.fuel)),
            KeyValue::new("pointsman.step.host_calls", i64::from(step.host_calls)),
            KeyValue::new("pointsman.step.fresh", step.fresh),
        ];
        if let Some(digest) = step.digest {
            attributes.push(KeyValue::new("pointsman.plugin.digest", digest.to_string()));
        }
        if let Some(fault) = &step.fault {
            attributes.push(KeyValue::new("error.type", fault.kind.as_str()));
            let on_fault = step.on_fault.clone().unwrap_or_default();
            attributes.push(KeyValue::new("pointsman.step.on_fault", on_fault));
        }
        attributes.retain(|attribute| attribute.value != Value::from(""));
        let status = step
            .fault
            .as_ref()
            .map_or(Status::Unset, |fault| failed(fault.kind.as_str()));
        self.span(
            self.finished.context.child(Child::Step, index),
            parent,
            SpanKind::Internal,
            format!("step {}", step.id),
            stretch,
            attributes,
            status,
        )
    }

    fn attempt(
        &self,
        attempt: &AttemptRecord,
        note: Option<&AttemptNote>,
        execute: Option<&Phase>,
    ) -> SpanData {
        let within = execute.map_or_else(|| self.whole(), |phase| phase.stretch);
        let start = note.map_or(within.start, |note| self.at(note.start_us));
        let stretch = within.part(start, Duration::from_micros(attempt.total_us));
        let status = match attempt.outcome.as_str() {
            "ok" | "cancelled" => Status::Unset,
            outcome => failed(outcome),
        };
        self.span(
            self.finished.context.attempt(attempt.index).0,
            execute.map_or_else(|| self.own(), |phase| phase.span),
            SpanKind::Client,
            format!("chat {}", attempt.model),
            stretch,
            self.attempt_attributes(attempt, note),
            status,
        )
    }

    fn attempt_attributes(
        &self,
        attempt: &AttemptRecord,
        note: Option<&AttemptNote>,
    ) -> Vec<KeyValue> {
        let mut all = vec![
            KeyValue::new("gen_ai.operation.name", "chat"),
            // The format that targets speak, which is what the conventions ask for.
            KeyValue::new("gen_ai.provider.name", "openai"),
            KeyValue::new("gen_ai.request.model", attempt.model.clone()),
            KeyValue::new("gen_ai.request.stream", self.finished.opened.streaming),
            KeyValue::new("pointsman.target", attempt.target.clone()),
            KeyValue::new("pointsman.attempt.index", i64::from(attempt.index)),
            KeyValue::new("pointsman.attempt.outcome", attempt.outcome.clone()),
        ];
        let mut told = |name: &'static str, value: Option<Value>| {
            all.extend(value.map(|value| KeyValue::new(name, value)));
        };
        told(
            "gen_ai.response.model",
            attempt.response_model.clone().map(Value::from),
        );
        told(
            "http.response.status_code",
            attempt.status.map(|status| i64::from(status).into()),
        );
        told(
            "gen_ai.response.time_to_first_chunk",
            attempt.ttft_us.map(seconds),
        );
        if !matches!(attempt.outcome.as_str(), "ok" | "cancelled") {
            let status = attempt.status.filter(|status| *status >= 400);
            let kind = status.map_or_else(|| attempt.outcome.clone(), |status| status.to_string());
            told("error.type", Some(kind.into()));
        }
        for (name, units) in USAGE {
            told(
                name,
                tokens(attempt, units).map(|count| number(count).into()),
            );
        }
        told(
            "pointsman.usage.estimated",
            (!attempt.meters.is_empty())
                .then(|| attempt.meters.iter().any(|meter| meter.estimated).into()),
        );
        if let Some(note) = note {
            told(
                "server.address",
                note.endpoint.host().map(|host| host.to_owned().into()),
            );
            told(
                "server.port",
                port(&note.endpoint).map(|port| i64::from(port).into()),
            );
            if !note.finish_reasons.is_empty() {
                told(
                    "gen_ai.response.finish_reasons",
                    Some(reasons(&note.finish_reasons)),
                );
            }
        }
        all
    }
}

/// The conventions' counts, and the meters that each of them sums: theirs overlap, ours do not.
const USAGE: [(&str, &[&str]); 5] = [
    (
        "gen_ai.usage.input_tokens",
        &[
            INPUT_TOKENS,
            CACHED_INPUT_TOKENS,
            CACHE_WRITE_TOKENS,
            AUDIO_INPUT_TOKENS,
        ],
    ),
    (
        "gen_ai.usage.output_tokens",
        &[OUTPUT_TOKENS, REASONING_TOKENS, AUDIO_OUTPUT_TOKENS],
    ),
    (
        "gen_ai.usage.cache_read.input_tokens",
        &[CACHED_INPUT_TOKENS],
    ),
    (
        "gen_ai.usage.cache_creation.input_tokens",
        &[CACHE_WRITE_TOKENS],
    ),
    ("gen_ai.usage.reasoning.output_tokens", &[REASONING_TOKENS]),
];

/// None where no meter of the kind was told: unknown is not zero.
fn tokens(attempt: &AttemptRecord, units: &[&str]) -> Option<u64> {
    let mut counts = attempt
        .meters
        .iter()
        .filter(|meter| units.contains(&meter.unit.as_str()))
        .map(|meter| meter.quantity);
    let first = counts.next()?;
    Some(counts.fold(first, u64::saturating_add))
}

fn reasons(told: &[String]) -> Value {
    let known = |told: &String| {
        let known = FINISH_REASONS.iter().find(|known| **known == told.as_str());
        StringValue::from(*known.unwrap_or(&"other"))
    };
    Value::Array(Array::String(told.iter().map(known).collect()))
}

fn port(endpoint: &http::Uri) -> Option<u16> {
    endpoint
        .port_u16()
        .or_else(|| match endpoint.scheme_str()? {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        })
}

fn failed(why: &str) -> Status {
    Status::Error {
        description: why.to_owned().into(),
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn seconds(us: u64) -> Value {
    Duration::from_micros(us).as_secs_f64().into()
}
