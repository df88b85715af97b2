//! A bundle's case through the deciding phases and its answer through the guards: the code that serves, without a
//! client, a provider or a record.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use pointsman_domain::decision::StepRecord;
use pointsman_domain::plan::CandidatePool;
use pointsman_domain::usage::{Amount, Meter, Usage};
use pointsman_domain::{ErrorKind, GatewayError, RequestId, Value};
use pointsman_policy::cases::{Answer, Case, Denied, Outcome};
use pointsman_wire::openai::{ChatRequest, ParseLimits};
use pointsman_wire::release::{Release, Shape};
use pointsman_wire::sse;
use serde_json::{Value as Json, json};

use super::Stop;
use super::account;
use super::deliberation::{Caller, Deliberation};
use super::guards::Guards;
use super::metering::{Length, Progress};
use crate::limits;
use crate::snapshot::PolicyLive;

/// Makes conversations of cases the same on every machine.
const PEPPER: &[u8] = b"case";
/// 2026-01-01, where a case says nothing of the time.
const AT_MS: u64 = 1_767_225_600_000;

/// Runs one case.
pub(crate) async fn rehearse(policy: &Arc<PolicyLive>, case: &Case) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        case.request.dialect == "openai-chat",
        "dialect `{}` is not offered yet; write openai-chat",
        case.request.dialect
    );
    let mut outcome = Outcome::default();
    let mut decided = match begin(policy, case) {
        Ok(decided) => decided,
        Err(Begin::Refused(error)) => {
            outcome.error = Some(error.kind.code().to_owned());
            return Ok(outcome);
        }
        Err(Begin::Broken(error)) => return Err(error),
    };
    match phases(&mut decided, case, &mut outcome).await {
        Ok(()) => {}
        Err(Stop::Error(error)) => ended(&decided, &error, &mut outcome),
        Err(Stop::Gone) => anyhow::bail!("a case has no client that could leave"),
    }
    tell(&decided, &mut outcome);
    Ok(outcome)
}

enum Begin {
    /// As a client would be refused.
    Refused(GatewayError),
    /// The case is not one.
    Broken(anyhow::Error),
}

fn begin(policy: &Arc<PolicyLive>, case: &Case) -> Result<Deliberation, Begin> {
    let broken = |error: anyhow::Error| Begin::Broken(error);
    let body = Json::Object(case.request.body.clone()).to_string();
    let chat =
        ChatRequest::parse(Bytes::from(body), &ParseLimits::default()).map_err(Begin::Refused)?;
    let mut headers = HeaderMap::new();
    let conversation = case
        .inputs
        .conversation
        .iter()
        .map(|id| ("x-pointsman-conversation", id.as_str()));
    let given = case
        .request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in given.chain(conversation) {
        let name: HeaderName = name
            .parse()
            .with_context(|| format!("`{name}` is no header name"))
            .map_err(broken)?;
        let value: HeaderValue = value
            .parse()
            .with_context(|| format!("header `{name}` has a bad value"))
            .map_err(broken)?;
        headers.insert(name, value);
    }
    let caller = Caller {
        tenant: case.inputs.tenant.as_deref().unwrap_or("case"),
        key: case.inputs.key.as_deref().unwrap_or("case"),
        endpoint: "/v1/chat/completions",
        headers: &headers,
        pepper: PEPPER,
        counts: None,
    };
    let id = RequestId(format!("case-{}", case.line));
    let at_ms = case.inputs.now_ms.unwrap_or(AT_MS);
    Deliberation::select(id, at_ms, Arc::clone(policy), chat, &caller).map_err(Begin::Refused)
}

async fn phases(
    decided: &mut Deliberation,
    case: &Case,
    outcome: &mut Outcome,
) -> Result<(), Stop> {
    decided.classify(None).await?;
    decided.guard_request(None).await?;
    decided.split(None).await?;
    decided.narrow();
    let mut pool = decided.pool(0);
    overlay(&mut pool, &case.inputs.pool);
    decided.route(Arc::new(pool), None).await?;
    decided.reserve(None).await?;
    if let Some(answer) = &case.answer {
        respond(decided, answer, outcome).await;
    }
    Ok(())
}

/// Columns that the case says otherwise.
fn overlay(pool: &mut CandidatePool, said: &BTreeMap<String, BTreeMap<String, Json>>) {
    for (target, columns) in said {
        let Some(row) = pool.names.iter().position(|name| name == target) else {
            continue;
        };
        for (key, value) in columns {
            let index = pool
                .columns
                .iter()
                .position(|(known, _)| known == key)
                .unwrap_or_else(|| {
                    pool.columns
                        .push((key.clone(), vec![None; pool.names.len()]));
                    pool.columns.len() - 1
                });
            pool.columns[index].1[row] = value_of(value);
        }
    }
}

fn value_of(json: &Json) -> Option<Value> {
    match json {
        Json::Null | Json::Object(_) => None,
        Json::Bool(flag) => Some(Value::Flag(*flag)),
        Json::Number(number) => number
            .as_i64()
            .map(Value::Integer)
            .or_else(|| number.as_f64().map(Value::Number)),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Array(texts) => Some(Value::Texts(
            texts
                .iter()
                .filter_map(|text| text.as_str().map(str::to_owned))
                .collect(),
        )),
    }
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Texts(texts) => json!(texts),
        Value::Integer(integer) => json!(integer),
        Value::Number(number) => json!(number),
        Value::Flag(flag) => json!(flag),
    }
}

/// The first target of the plan answers, as a stream: the hardest way through the guards.
async fn respond(decided: &mut Deliberation, answer: &Answer, outcome: &mut Outcome) {
    let first = decided.plan.as_ref().and_then(|plan| plan.attempts.first());
    let target = first.map_or_else(String::new, |attempt| attempt.target.clone());
    let shape = Shape::Stream {
        client_wants_usage: false,
    };
    let (mut guards, mut release) = decided.begin_answer(0, &target, 200, shape).await;
    let mut released = Released::default();
    for event in events(answer) {
        release.event(sse::Event::from_data(event), 0);
        flow(&mut guards, &mut release, &mut released).await;
    }
    release.end(0);
    flow(&mut guards, &mut release, &mut released).await;
    let summary = release.summary();
    outcome.cut = summary.cut.as_ref().map(|cut| cut.reason.code.clone());
    outcome.released = Some(released.text);
    outcome.released_arguments = released.arguments.into_values().collect();
    let meters = if answer.usage.is_empty() {
        decided.meters(&target, &Progress::of(summary), Length::AsCame)
    } else {
        told(&answer.usage)
    };
    decided.later_steps.extend(guards.records());
    decided.usages.push(Usage {
        attempt: 0,
        target,
        outcome: "ok".to_owned(),
        meters,
        attributes: Vec::new(),
    });
    decided.account().await;
    outcome.unpriced = decided
        .cost
        .iter()
        .any(|line| line.amount == Amount::Unpriced);
    outcome.cost = Some(account::sum(&decided.cost));
}

fn told(usage: &BTreeMap<String, u64>) -> Vec<Meter> {
    let meter = |(unit, quantity): (&String, &u64)| Meter {
        unit: unit.clone(),
        quantity: *quantity,
        estimated: false,
    };
    usage.iter().map(meter).collect()
}

/// The answer as a provider streams it.
fn events(answer: &Answer) -> Vec<String> {
    let chunk = |delta: Json, finish: Option<&str>| {
        json!({
            "id": "case", "object": "chat.completion.chunk", "created": 0, "model": "case",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
        .to_string()
    };
    let mut events: Vec<String> = answer
        .deltas
        .iter()
        .map(|text| chunk(json!({"content": text}), None))
        .collect();
    for (index, call) in answer.tool_calls.iter().enumerate() {
        let begin = json!({"index": index, "id": format!("call-{index}"), "type": "function", "function": {"name": call.name, "arguments": ""}});
        events.push(chunk(json!({"tool_calls": [begin]}), None));
        for piece in &call.arguments {
            let more = json!({"index": index, "function": {"arguments": piece}});
            events.push(chunk(json!({"tool_calls": [more]}), None));
        }
    }
    let finish = if answer.tool_calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    events.push(chunk(json!({}), Some(finish)));
    events.push("[DONE]".to_owned());
    events
}

/// What reaches the client.
#[derive(Default)]
struct Released {
    text: String,
    arguments: BTreeMap<u64, String>,
}

async fn flow(guards: &mut Guards, release: &mut Release, released: &mut Released) {
    guards.drive(release).await;
    let mut decoder = sse::Decoder::new(limits::EVENT_BYTES_MAX);
    while let Some(bytes) = release.output() {
        decoder.push(&bytes);
        while let Ok(Some(event)) = decoder.next_event() {
            let chunk = event
                .data
                .and_then(|data| serde_json::from_slice::<Json>(&data).ok())
                .unwrap_or_default();
            let delta = &chunk["choices"][0]["delta"];
            released
                .text
                .push_str(delta["content"].as_str().unwrap_or_default());
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let arguments = released
                    .arguments
                    .entry(call["index"].as_u64().unwrap_or(0))
                    .or_default();
                arguments.push_str(call["function"]["arguments"].as_str().unwrap_or_default());
            }
        }
    }
}

/// A refusal by the code that the guard gave, any other error by its own.
fn ended(decided: &Deliberation, error: &GatewayError, outcome: &mut Outcome) {
    if error.kind == ErrorKind::PolicyDenied {
        let denial = decided
            .steps
            .iter()
            .rev()
            .find(|step| step.verdict == "deny");
        let code = denial.map_or_else(String::new, |step| step.detail.clone());
        outcome.denied = Some(Denied {
            code,
            status: Some(error.http_status()),
        });
    } else {
        outcome.error = Some(error.kind.code().to_owned());
    }
}

fn tell(decided: &Deliberation, outcome: &mut Outcome) {
    outcome.labels = decided
        .view
        .labels
        .iter()
        .map(|label| (label.key.clone(), json_of(&label.value)))
        .collect();
    let texts: Vec<&str> = decided
        .view
        .segments
        .iter()
        .map(|segment| segment.text.as_str())
        .collect();
    outcome.edited = Some(texts.join("\n"));
    outcome.variant.clone_from(&decided.variant);
    if let Some(plan) = &decided.plan {
        outcome.plan = Some(
            plan.attempts
                .iter()
                .map(|attempt| attempt.target.clone())
                .collect(),
        );
        outcome.reason = Some(plan.reason.code.clone());
    }
    let verdict = |step: &StepRecord| (step.id.clone(), step.verdict.clone());
    outcome.steps = decided
        .steps
        .iter()
        .chain(&decided.later_steps)
        .map(verdict)
        .collect();
}
