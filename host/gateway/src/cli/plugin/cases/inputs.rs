//! What a case says as the runtime takes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::bail;
use bytes::Bytes;
use pointsman_cases::{BYTES_PER_TOKEN, Case, FIELDS, Scalar, TENANT};
use pointsman_domain::plan::CandidatePool;
use pointsman_domain::request::RequestView;
use pointsman_domain::usage::{Meter, Rate, Usage};
use pointsman_domain::{Attribute, Label, RequestId, Value};
use pointsman_plugin::{Call, Counted, PriceBook, Tenant, Vector};
use pointsman_wire::openai::{ChatRequest, ParseLimits};
use serde_json::{Value as Json, json};

/// Whose requests cases are.
#[derive(Debug)]
struct Counts(BTreeMap<String, u64>);

impl Tenant for Counts {
    fn id(&self) -> &str {
        TENANT
    }

    fn count(&self, counted: Counted, _window_s: u32, _now_ms: u64) -> u64 {
        self.0.get(counted.as_str()).copied().unwrap_or_default()
    }
}

pub(super) fn call(case: &Case) -> anyhow::Result<Call> {
    Ok(Call {
        view: Arc::new(view(case)?),
        request_id: RequestId(format!("case-{}", case.line)),
        now_ms: case.inputs.time_ms,
        prices: Some(Arc::new(prices(case))),
        tenant: Some(Arc::new(Counts(case.inputs.counts.clone()))),
        vectors: vectors(case),
    })
}

fn vectors(case: &Case) -> Arc<[(String, Vector)]> {
    let vectors = case.inputs.vectors.iter();
    vectors
        .map(|(name, vector)| (name.clone(), vector.as_slice().into()))
        .collect()
}

fn view(case: &Case) -> anyhow::Result<RequestView> {
    let mut view = parsed(case)?;
    let bytes: usize = view.segments.iter().map(|segment| segment.text.len()).sum();
    let estimate = i64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(i64::MAX);
    view.set_field("input-tokens-estimate", estimate);
    for (name, field) in FIELDS {
        view.set_field(name, field);
    }
    let time_ms = i64::try_from(case.inputs.time_ms).unwrap_or(i64::MAX);
    view.set_field("time-ms", time_ms);
    for (name, header) in &case.request.headers {
        view.headers
            .push((name.to_ascii_lowercase(), header.clone()));
    }
    for (name, field) in &case.inputs.fields {
        match view.fields.iter_mut().find(|(known, _)| known == name) {
            Some(slot) => slot.1 = value(field),
            None => view.fields.push((name.clone().into(), value(field))),
        }
    }
    view.add_labels(case.inputs.labels.iter().map(|(key, label)| Label {
        key: key.clone(),
        value: value(label),
        score: 1.0,
    }));
    Ok(view)
}

/// The body as the gateway reads it. A case may leave out what the gateway needs: the model, and messages, which
/// then are none.
fn parsed(case: &Case) -> anyhow::Result<RequestView> {
    let mut body = case.request.body.clone();
    body.entry("model").or_insert_with(|| "auto".into());
    let messages = body.get("messages").and_then(Json::as_array);
    let without = messages.is_none_or(Vec::is_empty);
    if without {
        body.insert(
            "messages".to_owned(),
            json!([{"role": "user", "content": ""}]),
        );
    }
    let body = Bytes::from(Json::Object(body).to_string());
    let mut view = match ChatRequest::parse(body, &ParseLimits::default()) {
        Ok(chat) => chat.view(),
        Err(error) => bail!("the gateway would refuse its request: {}", error.message),
    };
    if without {
        view.messages.clear();
        view.segments.retain(|segment| segment.message == u32::MAX);
    }
    Ok(view)
}

pub(super) fn pool(case: &Case) -> CandidatePool {
    let names: Vec<String> = case.inputs.pool.keys().cloned().collect();
    let mut pool = CandidatePool {
        // A candidate is healthy unless the case says otherwise, as the gateway fills it.
        columns: vec![(
            "healthy".to_owned(),
            vec![Some(Value::Flag(true)); names.len()],
        )],
        names,
    };
    for (row, columns) in case.inputs.pool.values().enumerate() {
        for (key, cell) in columns {
            let known = pool.columns.iter().position(|(known, _)| known == key);
            let column = known.unwrap_or_else(|| {
                pool.columns
                    .push((key.clone(), vec![None; pool.names.len()]));
                pool.columns.len() - 1
            });
            pool.columns[column].1[row] = Some(value(cell));
        }
    }
    pool
}

fn prices(case: &Case) -> PriceBook {
    let rate = |rate: &pointsman_cases::Rate| Rate {
        unit: rate.unit.clone(),
        pico_usd: rate.pico_usd,
        above_input_tokens: rate.above_input_tokens,
        attributes: attributes(&rate.attributes),
    };
    let targets = case.inputs.prices.iter();
    targets
        .map(|(target, rates)| (target.clone(), rates.iter().map(rate).collect()))
        .collect()
}

pub(super) fn usages(case: &Case) -> Vec<Usage> {
    let meter = |meter: &pointsman_cases::Meter| Meter {
        unit: meter.unit.clone(),
        quantity: meter.quantity,
        estimated: meter.estimated,
    };
    (0..)
        .zip(&case.inputs.usages)
        .map(|(attempt, usage)| Usage {
            attempt,
            target: usage.target.clone(),
            outcome: usage.outcome.clone(),
            meters: usage.meters.iter().map(meter).collect(),
            attributes: attributes(&usage.attributes),
        })
        .collect()
}

fn attributes(attributes: &BTreeMap<String, Scalar>) -> Vec<Attribute> {
    let attribute = |(key, scalar): (&String, &Scalar)| Attribute {
        key: key.clone(),
        value: value(scalar),
    };
    attributes.iter().map(attribute).collect()
}

fn value(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Text(text) => Value::Text(text.clone()),
        Scalar::Texts(texts) => Value::Texts(texts.clone()),
        Scalar::Integer(integer) => Value::Integer(*integer),
        Scalar::Number(number) => Value::Number(*number),
        Scalar::Flag(flag) => Value::Flag(*flag),
    }
}

#[cfg(test)]
mod tests {
    use pointsman_cases::COUNTS;
    use pointsman_plugin::Counted;
    use serde_json::json;

    #[test]
    fn a_case_says_what_its_request_is() {
        let line = json!({
            "name": "x", "request": {"headers": {"X-Team": "red"}, "body": {"messages": [{"role": "user", "content": "12345"}]}},
            "inputs": {"fields": {"budget": 3}, "labels": {"task": "code"}, "pool": {"b": {"quality": 0.5}, "a": {}},
                "counts": {"cuts": 3}, "time-ms": 7}, "expect": {"plan": []},
        });
        let cases = pointsman_cases::read(&line.to_string()).expect("a case");
        let call = super::call(&cases[0]).expect("a call");
        assert_eq!(call.view.header("x-team"), Some("red"));
        assert_eq!(
            call.view.field("input-tokens-estimate"),
            Some(&2_i64.into())
        );
        assert_eq!(call.view.field("budget"), Some(&3_i64.into()));
        assert_eq!(call.now_ms, 7);
        let tenant = call.tenant.expect("a tenant");
        assert_eq!(tenant.count(Counted::Cuts, 60, 7), 3);
        assert_eq!(tenant.count(Counted::Errors, 60, 7), 0);
        let pool = super::pool(&cases[0]);
        assert_eq!(pool.names, ["a", "b"]);
        assert_eq!(pool.column("healthy"), vec![Some(true.into()); 2]);
        assert_eq!(pool.column("quality"), [None, Some(0.5.into())]);
    }

    #[test]
    fn cases_can_set_every_count() {
        assert_eq!(COUNTS, Counted::ALL.map(Counted::as_str));
    }
}
