//! Times steps with real components: `bench_plugins CASES.json [CALLS] [CACHE-FOLDER]`, best built with `--release`.
//!
//! One JSON line comes out for each case, times in microseconds: `fresh` and `pooled` calls with their parts, or for
//! response guards `start` (to the first push) and `push`; then a line each for the chain of steps, for threads, and
//! for the way from compiled code to the first answer.

mod calls;
mod case;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use pointsman_domain::Role;
use pointsman_plugin::{Instances, Runtime, RuntimeConfig};
use serde_json::{Value as Json, json};

use calls::Inputs;
use case::{Case, Cases};

type Failure = Box<dyn std::error::Error>;

/// How long each number of threads calls.
const THREADS_FOR: Duration = Duration::from_millis(1500);
const THREADS: [u32; 4] = [1, 2, 8, 16];

async fn one(
    runtime: &Runtime,
    case: &Case,
    inputs: &Inputs,
    crossing: (f64, f64),
    count: u32,
) -> Result<Json, Failure> {
    let plugin = runtime.load(&std::fs::read(&case.component)?)?;
    let info = plugin.info();
    let mut line = json!({ "plugin": info.name, "role": case.role, "calls": count });
    let fresh = case.step(runtime, Instances::Fresh)?;
    if case.role == Role::ResponseGuard {
        let (start, push) = calls::stream(&fresh, inputs, count).await?;
        line["start"] = start;
        line["push"] = push;
        return Ok(line);
    }
    let (times, _) = calls::calls(&fresh, inputs, count).await?;
    line["fresh"] = calls::summary(times);
    let pooled = case.step(runtime, Instances::Pooled)?;
    let (times, stats) = calls::calls(&pooled, inputs, count).await?;
    line["pooled"] = calls::summary(times);
    line["host-calls"] = json!(stats.host_calls);
    line["fuel"] = json!(stats.fuel);
    let (call, host_call) = crossing;
    let pooled_us = line["pooled"]["p50"].as_f64().unwrap_or(0.0);
    let crossing = (call + f64::from(stats.host_calls) * host_call).min(pooled_us);
    line["crossing"] = json!({ "p50": crossing });
    line["guest"] = json!({ "p50": pooled_us - crossing });
    Ok(line)
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments
        .next()
        .ok_or("name a file of cases: bench_plugins CASES.json [CALLS] [CACHE-FOLDER]")?;
    let count = arguments.next().map_or(Ok(10_000), |count| count.parse())?;
    let cache: Option<PathBuf> = arguments.next().map(PathBuf::from);
    let cases: Cases = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let settings = || RuntimeConfig {
        compile_cache_dir: cache.clone(),
        ..RuntimeConfig::default()
    };
    let runtime = Runtime::new(settings())?;
    let executor = tokio::runtime::Builder::new_current_thread().build()?;
    let inputs = Inputs::of(&cases);
    let mut out = std::io::stdout();
    let crossing = executor.block_on(calls::crossing(&runtime, &cases, &inputs, count))?;
    writeln!(
        out,
        "{}",
        json!({"crossing": {"call": crossing.0, "host-call": crossing.1}})
    )?;
    for case in &cases.cases {
        let line = executor.block_on(one(&runtime, case, &inputs, crossing, count))?;
        writeln!(out, "{line}")?;
    }
    let mut chain = json!({});
    for (name, instances) in [("fresh", Instances::Fresh), ("pooled", Instances::Pooled)] {
        let chained = calls::chain(&runtime, &cases, &inputs, instances, count.div_ceil(4));
        chain[name] = executor.block_on(chained)?;
    }
    writeln!(
        out,
        "{}",
        json!({"chain": chain, "steps": cases.chain.len()})
    )?;
    let step = cases.cases[cases.threads].step(&runtime, Instances::Fresh)?;
    let mut throughput = json!({});
    for threads in THREADS {
        let per_second = calls::threads(&step, &cases, threads, THREADS_FOR)?;
        throughput[threads.to_string()] = json!(per_second.round());
    }
    writeln!(
        out,
        "{}",
        json!({"threads": throughput, "of": step.plugin()})
    )?;
    if cache.is_some() {
        let runtime = || Ok(Runtime::new(settings())?);
        let published = calls::publish(runtime, &cases.cases[cases.threads], &inputs);
        let (ready_ms, first_ms) = executor.block_on(published)?;
        writeln!(
            out,
            "{}",
            json!({"publish": {"ready-ms": ready_ms, "first-call-ms": first_ms}})
        )?;
    }
    Ok(())
}
