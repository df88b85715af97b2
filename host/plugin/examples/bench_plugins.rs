//! Times steps with real components: `bench_plugins CASES.json [CALLS]`, best built with `--release`.
//!
//! Cases are a JSON list of `{"component": PATH, "role": "splitter", "config": {…}, "view": {"fields": {"model": "auto"},
//! "texts": ["…"]}, "targets": ["…"]}`; all but the first two may be left out. One JSON line a case comes out, times in
//! microseconds: `fresh` and `pooled` calls, or for response guards `start` (to the first push) and `push`.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use pointsman_domain::guard::{Channel, Delta};
use pointsman_domain::plan::CandidatePool;
use pointsman_domain::request::{Message, Segment};
use pointsman_domain::usage::{INPUT_TOKENS, Meter, Usage};
use pointsman_domain::{RequestId, RequestView, Role, Value};
use pointsman_plugin::{
    Call, Instances, Runtime, RuntimeConfig, Step, StepFailure, StepLimits, StepSpec,
};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

type Failure = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Case {
    component: String,
    role: Role,
    #[serde(default = "empty")]
    config: Json,
    #[serde(default)]
    view: ViewCase,
    #[serde(default)]
    targets: Vec<String>,
}

#[derive(Default, Deserialize)]
struct ViewCase {
    #[serde(default)]
    fields: Map<String, Json>,
    #[serde(default)]
    texts: Vec<String>,
}

fn empty() -> Json {
    json!({})
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
        let value = |value: &Json| match value {
            Json::Bool(flag) => Value::Flag(*flag),
            Json::Number(number) => number.as_i64().map_or_else(
                || Value::Number(number.as_f64().unwrap_or(0.0)),
                Value::Integer,
            ),
            other => Value::Text(other.as_str().unwrap_or_default().to_owned()),
        };
        RequestView {
            fields: self
                .fields
                .iter()
                .map(|(key, field)| (key.clone().into(), value(field)))
                .collect(),
            messages: self.texts.iter().map(|_| Message::default()).collect(),
            segments: self.texts.iter().enumerate().map(text).collect(),
            ..RequestView::default()
        }
    }
}

/// Least and middle, microseconds.
fn summary(mut nanoseconds: Vec<u64>) -> Json {
    nanoseconds.sort_unstable();
    let at = |index: usize| {
        nanoseconds
            .get(index)
            .map_or(0.0, |ns| (*ns as f64) / 1000.0)
    };
    json!({ "min": at(0), "p50": at(nanoseconds.len() / 2) })
}

async fn once(
    step: &Step,
    call: &Call,
    pool: &Arc<CandidatePool>,
    usages: &[Usage],
) -> Result<(), StepFailure> {
    match step.role() {
        Role::Classifier => step.classify(call).await.result.map(drop),
        Role::RequestGuard => step.check_request(call).await.result.map(drop),
        Role::Splitter => step.split(call, 4711).await.result.map(drop),
        Role::Router => step.route(call, Arc::clone(pool)).await.result.map(drop),
        Role::Accountant => step.account(call, usages).await.result.map(drop),
        Role::ResponseGuard => step.guard(call).await.result.map(drop),
    }
}

fn since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

async fn calls(step: &Step, case: &Case, call: &Call, count: u32) -> Result<Json, StepFailure> {
    let pool = Arc::new(CandidatePool {
        names: case.targets.clone(),
        columns: Vec::new(),
    });
    let usages = [Usage {
        attempt: 0,
        target: case.targets.first().cloned().unwrap_or_default(),
        outcome: "ok".to_owned(),
        meters: vec![Meter {
            unit: INPUT_TOKENS.to_owned(),
            quantity: 1000,
            estimated: false,
        }],
        attributes: Vec::new(),
    }];
    let mut times = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        once(step, call, &pool, &usages).await?;
        times.push(since(started));
    }
    Ok(summary(times))
}

/// Time from nothing to the first push, and of a further push of 12 bytes.
async fn stream(step: &Step, call: &Call, count: u32) -> Result<(Json, Json), StepFailure> {
    let channel = Channel {
        kind: "text".to_owned(),
        ..Channel::default()
    };
    let delta = [Delta {
        channel: 1,
        text: "twelve bytes".to_owned(),
    }];
    let (mut starts, mut pushes) = (Vec::new(), Vec::new());
    for _ in 0..count.div_ceil(10) {
        let started = Instant::now();
        let mut guard = step.guard(call).await.result?;
        guard.open(1, &channel).await?;
        guard.push(&delta).await?;
        starts.push(since(started));
        for _ in 0..10 {
            let started = Instant::now();
            guard.push(&delta).await?;
            pushes.push(since(started));
        }
    }
    Ok((summary(starts), summary(pushes)))
}

async fn bench(runtime: &Runtime, case: &Case, count: u32) -> Result<Json, Failure> {
    let plugin = runtime.load(&std::fs::read(&case.component)?)?;
    let step = |instances| {
        runtime.prepare(StepSpec {
            id: "bench".to_owned(),
            plugin: Arc::clone(&plugin),
            role: case.role,
            config: case.config.clone(),
            data: Vec::new(),
            grants: plugin.info().imports.clone(),
            instances,
            limits: StepLimits::default(),
        })
    };
    let call = Call {
        view: Arc::new(case.view.view()),
        request_id: RequestId("bench".to_owned()),
        now_ms: 0,
        prices: None,
        tenant: None,
    };
    let mut line = json!({ "plugin": plugin.info().name, "role": case.role, "calls": count });
    let fresh = step(Instances::Fresh)?;
    if case.role == Role::ResponseGuard {
        let (start, push) = stream(&fresh, &call, count).await?;
        line["start"] = start;
        line["push"] = push;
    } else {
        line["fresh"] = calls(&fresh, case, &call, count).await?;
        line["pooled"] = calls(&*step(Instances::Pooled)?, case, &call, count).await?;
    }
    Ok(line)
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments
        .next()
        .ok_or("name a file of cases: bench_plugins CASES.json [CALLS]")?;
    let count = arguments.next().map_or(Ok(10_000), |count| count.parse())?;
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let runtime = Runtime::new(RuntimeConfig::default())?;
    let executor = tokio::runtime::Builder::new_current_thread().build()?;
    for case in &cases {
        let line = executor.block_on(bench(&runtime, case, count))?;
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok(())
}
