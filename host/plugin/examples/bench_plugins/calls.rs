//! Calls of one step: fresh, pooled, a stream by the push; the five steps of a request; many threads at once; from
//! cached code to the first answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pointsman_domain::Role;
use pointsman_domain::guard::{Channel, Delta};
use pointsman_domain::plan::CandidatePool;
use pointsman_domain::usage::Usage;
use pointsman_plugin::{Call, CallStats, Instances, Runtime, Step, StepFailure};
use serde_json::{Value as Json, json};

use crate::Failure;
use crate::case::{Case, Cases};

/// The inputs of any role.
pub(crate) struct Inputs {
    call: Call,
    pool: Arc<CandidatePool>,
    usages: Vec<Usage>,
}

impl Inputs {
    pub(crate) fn of(cases: &Cases) -> Self {
        Self {
            call: cases.call(),
            pool: cases.pool(),
            usages: cases.usages(),
        }
    }
}

/// Least and middle, microseconds.
pub(crate) fn summary(mut nanoseconds: Vec<u64>) -> Json {
    nanoseconds.sort_unstable();
    let at = |index: usize| {
        nanoseconds
            .get(index)
            .map_or(0.0, |ns| (*ns as f64) / 1000.0)
    };
    json!({ "min": at(0), "p50": at(nanoseconds.len() / 2) })
}

fn since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// One call; a response guard is started, given twelve bytes and ended.
async fn once(step: &Step, inputs: &Inputs) -> Result<CallStats, StepFailure> {
    let call = &inputs.call;
    macro_rules! ran {
        ($call:expr) => {{
            let ran = $call.await;
            ran.result.map(|_| ran.stats)
        }};
    }
    match step.role() {
        Role::Classifier => ran!(step.classify(call)),
        Role::RequestGuard => ran!(step.check_request(call)),
        Role::Splitter => ran!(step.split(call, 4711)),
        Role::Router => ran!(step.route(call, Arc::clone(&inputs.pool))),
        Role::Accountant => ran!(step.account(call, &inputs.usages)),
        Role::ResponseGuard => {
            let ran = step.guard(call).await;
            let mut guard = ran.result?;
            guard.open(1, &text()).await?;
            guard.push(&twelve()).await?;
            guard.finish(Vec::new()).await?;
            Ok(ran.stats)
        }
    }
}

fn text() -> Channel {
    Channel {
        kind: "text".to_owned(),
        ..Channel::default()
    }
}

fn twelve() -> [Delta; 1] {
    [Delta {
        channel: 1,
        text: "twelve bytes".to_owned(),
    }]
}

/// Times of `count` calls, and what the last of them took.
pub(crate) async fn calls(
    step: &Step,
    inputs: &Inputs,
    count: u32,
) -> Result<(Vec<u64>, CallStats), StepFailure> {
    let (mut times, mut last) = (Vec::new(), CallStats::default());
    for _ in 0..count {
        let started = Instant::now();
        last = once(step, inputs).await?;
        times.push(since(started));
    }
    Ok((times, last))
}

/// Time from nothing to the first push, and of a further push of 12 bytes.
pub(crate) async fn stream(
    step: &Step,
    inputs: &Inputs,
    count: u32,
) -> Result<(Json, Json), StepFailure> {
    let (mut starts, mut pushes) = (Vec::new(), Vec::new());
    for _ in 0..count.div_ceil(10) {
        let started = Instant::now();
        let mut guard = step.guard(&inputs.call).await.result?;
        guard.open(1, &text()).await?;
        guard.push(&twelve()).await?;
        starts.push(since(started));
        for _ in 0..10 {
            let started = Instant::now();
            guard.push(&twelve()).await?;
            pushes.push(since(started));
        }
    }
    Ok((summary(starts), summary(pushes)))
}

/// What a call costs that does nothing, and what each call of the host adds, microseconds.
pub(crate) async fn crossing(
    runtime: &Runtime,
    cases: &Cases,
    inputs: &Inputs,
    count: u32,
) -> Result<(f64, f64), Failure> {
    let case = |behaviour: &str| Case {
        component: cases.nothing.clone(),
        role: Role::Splitter,
        config: json!({ "behaviour": behaviour }),
    };
    let nothing = case("echo").step(runtime, Instances::Pooled)?;
    let (times, _) = calls(&nothing, inputs, count).await?;
    let call_us = summary(times)["p50"].as_f64().unwrap_or(0.0);
    // It asks until it may no more, so each of its calls ends in a fault; what it took is known all the same.
    let asks = case("host-calls").step(runtime, Instances::Fresh)?;
    let mut least = f64::INFINITY;
    for _ in 0..20 {
        let stats = asks.split(&inputs.call, 4711).await.stats;
        least = least.min(stats.time_ns as f64 / 1000.0 / f64::from(stats.host_calls.max(1)));
    }
    Ok((call_us, least))
}

/// The steps of one request, one after the other.
pub(crate) async fn chain(
    runtime: &Runtime,
    cases: &Cases,
    inputs: &Inputs,
    instances: Instances,
    count: u32,
) -> Result<Json, Failure> {
    let steps = cases
        .chain
        .iter()
        .map(|&index| cases.cases[index].step(runtime, instances));
    let steps = steps.collect::<Result<Vec<_>, _>>()?;
    let mut times = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        for step in &steps {
            once(step, inputs).await?;
        }
        times.push(since(started));
    }
    Ok(summary(times))
}

/// Calls a second of one step by so many threads, each with a runtime of its own, as the gateway's workers are.
pub(crate) fn threads(
    step: &Arc<Step>,
    cases: &Cases,
    threads: u32,
    within: Duration,
) -> Result<f64, Failure> {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let inputs = Inputs::of(cases);
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                let Ok(runtime) = runtime else {
                    failed.store(true, Ordering::Relaxed);
                    return;
                };
                while !stop.load(Ordering::Relaxed) {
                    match runtime.block_on(once(step, &inputs)) {
                        Ok(_) => done.fetch_add(1, Ordering::Relaxed),
                        Err(_) => return failed.store(true, Ordering::Relaxed),
                    };
                }
            });
        }
        std::thread::sleep(within);
        stop.store(true, Ordering::Relaxed);
    });
    if failed.load(Ordering::Relaxed) {
        return Err("a call failed under many threads".into());
    }
    Ok(done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64())
}

/// Milliseconds from compiled code on the disk to a step that is ready, and to its first answer: what an activation
/// after a start does for each step.
pub(crate) async fn publish(
    runtime: impl Fn() -> Result<Runtime, Failure>,
    case: &Case,
    inputs: &Inputs,
) -> Result<(f64, f64), Failure> {
    drop(case.step(&runtime()?, Instances::Fresh)?);
    let (mut ready, mut first) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let runtime = runtime()?;
        let started = Instant::now();
        let step = case.step(&runtime, Instances::Fresh)?;
        ready.push(since(started));
        once(&step, inputs).await?;
        first.push(since(started));
    }
    let ms = |times: Vec<u64>| summary(times)["p50"].as_f64().unwrap_or(0.0) / 1000.0;
    Ok((ms(ready), ms(first)))
}
