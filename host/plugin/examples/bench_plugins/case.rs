//! What is called: cases as JSON tells them, the request that all of them see, targets and prices.

use std::sync::Arc;

use pointsman_domain::plan::CandidatePool;
use pointsman_domain::request::{Message, Segment};
use pointsman_domain::usage::{INPUT_TOKENS, Meter, OUTPUT_TOKENS, Rate, Usage};
use pointsman_domain::{RequestId, RequestView, Role, Value};
use pointsman_plugin::{Call, Instances, PriceBook, Runtime, Step, StepLimits, StepSpec};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::Failure;

/// Everything that is measured.
#[derive(Deserialize)]
pub(crate) struct Cases {
    /// Each for itself.
    pub(crate) cases: Vec<Case>,
    /// Indexes of those that make one request's steps, in their order.
    pub(crate) chain: Vec<usize>,
    /// Which one is called from many threads.
    pub(crate) threads: usize,
    /// The component whose well-behaved call does nothing.
    pub(crate) nothing: String,
    pub(crate) view: ViewCase,
    /// Columns by target.
    pub(crate) targets: Map<String, Json>,
    /// Pico-dollars by unit, of every target.
    pub(crate) rates: Vec<(String, i64)>,
}

/// One step.
#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) component: String,
    pub(crate) role: Role,
    #[serde(default = "empty")]
    pub(crate) config: Json,
}

/// A request.
#[derive(Deserialize)]
pub(crate) struct ViewCase {
    fields: Map<String, Json>,
    texts: Vec<String>,
}

fn empty() -> Json {
    json!({})
}

fn value(json: &Json) -> Value {
    match json {
        Json::Bool(flag) => Value::Flag(*flag),
        Json::Number(number) => number.as_i64().map_or_else(
            || Value::Number(number.as_f64().unwrap_or(0.0)),
            Value::Integer,
        ),
        Json::Array(items) => {
            let text = |item: &Json| item.as_str().unwrap_or_default().to_owned();
            Value::Texts(items.iter().map(text).collect())
        }
        other => Value::Text(other.as_str().unwrap_or_default().to_owned()),
    }
}

impl ViewCase {
    fn view(&self) -> RequestView {
        let text = |(index, text): (usize, &String)| Segment {
            message: u32::try_from(index).unwrap_or(u32::MAX),
            part: 0,
            role: "user".into(),
            kind: "text".into(),
            path: String::new(),
            text: text.clone(),
        };
        let fields = self.fields.iter();
        RequestView {
            fields: fields
                .map(|(key, field)| (key.clone().into(), value(field)))
                .collect(),
            messages: self.texts.iter().map(|_| Message::default()).collect(),
            segments: self.texts.iter().enumerate().map(text).collect(),
            ..RequestView::default()
        }
    }
}

impl Cases {
    /// The inputs of every call.
    pub(crate) fn call(&self) -> Call {
        let rate = |(unit, pico_usd): &(String, i64)| Rate {
            unit: unit.clone(),
            pico_usd: *pico_usd,
            above_input_tokens: 0,
            attributes: Vec::new(),
        };
        let rates: Vec<Rate> = self.rates.iter().map(rate).collect();
        let book: PriceBook = self
            .targets
            .keys()
            .map(|target| (target.clone(), rates.clone()))
            .collect();
        Call {
            view: Arc::new(self.view.view()),
            request_id: RequestId("bench".to_owned()),
            now_ms: 0,
            prices: Some(Arc::new(book)),
            tenant: None,
            vectors: Arc::default(),
        }
    }

    pub(crate) fn pool(&self) -> Arc<CandidatePool> {
        let mut pool = CandidatePool {
            names: self.targets.keys().cloned().collect(),
            columns: Vec::new(),
        };
        for (row, columns) in self.targets.values().enumerate() {
            for (key, cell) in columns.as_object().into_iter().flatten() {
                let known = pool.columns.iter().position(|(known, _)| known == key);
                let column = known.unwrap_or_else(|| {
                    let cells = vec![None; self.targets.len()];
                    pool.columns.push((key.clone(), cells));
                    pool.columns.len() - 1
                });
                pool.columns[column].1[row] = Some(value(cell));
            }
        }
        Arc::new(pool)
    }

    pub(crate) fn usages(&self) -> Vec<Usage> {
        let meter = |unit: &str, quantity| Meter {
            unit: unit.to_owned(),
            quantity,
            estimated: false,
        };
        vec![Usage {
            attempt: 0,
            target: self.targets.keys().next().cloned().unwrap_or_default(),
            outcome: "ok".to_owned(),
            meters: vec![meter(INPUT_TOKENS, 1000), meter(OUTPUT_TOKENS, 200)],
            attributes: Vec::new(),
        }]
    }
}

impl Case {
    /// The step, ready to run.
    pub(crate) fn step(
        &self,
        runtime: &Runtime,
        instances: Instances,
    ) -> Result<Arc<Step>, Failure> {
        let plugin = runtime.load(&std::fs::read(&self.component)?)?;
        let grants = plugin.info().imports.clone();
        Ok(runtime.prepare(StepSpec {
            id: "bench".to_owned(),
            plugin,
            role: self.role,
            config: self.config.clone(),
            data: Vec::new(),
            grants,
            secrets: Vec::new(),
            instances,
            limits: StepLimits::default(),
        })?)
    }
}
