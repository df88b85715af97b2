//! `pointsman plugin bench`: how fast a plugin's cases run on its component, fresh and pooled.
//!
//! Promises: calls are those of the runtime that serves, on threads as the gateway's workers are; what is timed is the
//! call alone, not making its inputs. Refuses to know: what a time should be.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use pointsman_cases::Case;
use pointsman_plugin::{CallStats, Instances, Plugin, Runtime, Step};
use serde_json::{Value as Json, json};

use super::cases::Rehearsal;
use super::inspect::word;
use super::measure::{nanoseconds, percentile_us, rounded, short, table};
use super::steps::Ready;
use super::subject::Subject;
use crate::cli::{say, say_json, warn};

/// Between two lines that say how far it is.
const PROGRESS: Duration = Duration::from_secs(2);
/// Times that one thread keeps of one case: more tell nothing new.
const TIMES_MAX: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    Fresh,
    Pooled,
    Both,
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// A component, or a plugin's folder, which is built first
    #[arg(default_value = ".", value_name = "FILE|FOLDER")]
    target: PathBuf,
    /// Cases to run [default: cases.jsonl beside it]
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// How calls get their instances [default: both; pooled where the plugin is so by default]
    #[arg(long, value_enum)]
    instances: Option<Which>,
    /// How long to call in all, shared by the cases
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Threads that call at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Which {
    /// A plugin with an interpreter in it takes many seconds to be made ready for fresh instances.
    const fn usual(plugin: &Plugin) -> Self {
        match plugin.info().defaults.instances {
            Instances::Fresh => Self::Both,
            Instances::Pooled => Self::Pooled,
        }
    }

    const fn instances(self) -> &'static [Instances] {
        match self {
            Self::Fresh => &[Instances::Fresh],
            Self::Pooled => &[Instances::Pooled],
            Self::Both => &[Instances::Fresh, Instances::Pooled],
        }
    }
}

/// Nanoseconds of calls, and how long they took all together.
#[derive(Default)]
struct Times {
    calls_ns: Vec<u64>,
    pushes_ns: Vec<u64>,
    /// Calls that were made, those whose times were not kept included.
    count: u64,
    elapsed: Duration,
}

/// A case with one role of the plugin.
struct Row {
    name: String,
    role: &'static str,
    stats: CallStats,
    times: Vec<(Instances, Times)>,
}

/// From bytes to the first answer, milliseconds and microseconds.
struct Load {
    compile_ms: f64,
    ready_ms: f64,
    first_call_us: f64,
}

pub(super) fn bench(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let subject = Subject::find(&arguments.target, arguments.cases.as_deref())?;
    let cases = subject.cases.as_deref().with_context(|| {
        format!(
            "there are no cases beside {}; name a file with --cases",
            arguments.target.display()
        )
    })?;
    if cfg!(debug_assertions) {
        warn("this is a debug build of pointsman: times are longer than those of a release build");
    }
    let (runtime, started) = (super::runtime(None)?, Instant::now());
    let plugin = subject.load(&runtime)?;
    let compile_ms = ms(started);
    let load = Load {
        compile_ms,
        ..first(&runtime, &plugin, cases)?
    };
    let which = arguments.instances;
    let instances = which.unwrap_or_else(|| Which::usual(&plugin)).instances();
    let mut bench = Bench {
        arguments,
        instances,
        rows: Vec::new(),
        said: Instant::now(),
    };
    for &instances in instances {
        bench.all(&runtime, &plugin, cases, instances)?;
    }
    if arguments.json {
        say_json(&bench.json(&plugin, &load))?;
    } else {
        bench.show(&plugin, &load);
    }
    Ok(ExitCode::SUCCESS)
}

fn ms(started: Instant) -> f64 {
    rounded(started.elapsed().as_secs_f64() * 1000.0)
}

/// Makes the first case's steps ready that there are, and calls one of them.
fn first(runtime: &Runtime, plugin: &Arc<Plugin>, cases: &[Case]) -> anyhow::Result<Load> {
    let local = super::local()?;
    for case in cases {
        let mut ready = Ready::new(runtime, plugin, plugin.info().defaults.instances);
        let started = Instant::now();
        let Ok(steps) = ready.steps(case)? else {
            continue;
        };
        let ready_ms = ms(started);
        let rehearsal = Rehearsal::new(case)?;
        for step in steps {
            let started = Instant::now();
            if local
                .block_on(rehearsal.once(step, &mut Vec::new()))
                .with_context(|| format!("case `{}`", case.name))?
                .is_some()
            {
                return Ok(Load {
                    compile_ms: 0.0,
                    ready_ms,
                    first_call_us: rounded(percentile_us(&[nanoseconds(started)], 50)),
                });
            }
        }
    }
    bail!("none of its {} cases calls the plugin", cases.len())
}

struct Bench<'a> {
    arguments: &'a Arguments,
    instances: &'static [Instances],
    rows: Vec<Row>,
    said: Instant,
}

impl Bench<'_> {
    fn all(
        &mut self,
        runtime: &Runtime,
        plugin: &Arc<Plugin>,
        cases: &[Case],
        instances: Instances,
    ) -> anyhow::Result<()> {
        let local = super::local()?;
        let mut ready = Ready::new(runtime, plugin, instances);
        let mut calls = Vec::new();
        for (index, case) in cases.iter().enumerate() {
            self.progress(|| {
                format!(
                    "{}: {index} of {} cases are ready",
                    word(instances),
                    cases.len()
                )
            });
            let steps = ready.steps(case)?;
            for step in steps.iter().flatten() {
                // Once before it is timed, which also tells whether the case has anything for the step.
                let stats = local.block_on(Rehearsal::new(case)?.once(step, &mut Vec::new()));
                let stats = stats.with_context(|| format!("case `{}`", case.name))?;
                calls.extend(stats.map(|stats| (case, Arc::clone(step), stats)));
            }
        }
        let shares = calls.len() * self.instances.len();
        let within = Duration::from_secs(self.arguments.seconds.into())
            .div_f64(u32::try_from(shares).map_or(1.0, f64::from).max(1.0));
        let count = calls.len();
        for (index, (case, step, stats)) in calls.into_iter().enumerate() {
            self.progress(|| format!("{}: {index} of {count} measured", word(instances)));
            let times = timed(case, &step, self.arguments.threads, within)
                .with_context(|| format!("case `{}`", case.name))?;
            self.add(case, step.role().as_str(), stats, instances, times);
        }
        Ok(())
    }

    fn add(
        &mut self,
        case: &Case,
        role: &'static str,
        stats: CallStats,
        instances: Instances,
        times: Times,
    ) {
        let known = |row: &&mut Row| row.name == case.name && row.role == role;
        match self.rows.iter_mut().find(known) {
            Some(row) => row.times.push((instances, times)),
            None => self.rows.push(Row {
                name: case.name.clone(),
                role,
                stats,
                times: vec![(instances, times)],
            }),
        }
    }

    fn progress(&mut self, line: impl FnOnce() -> String) {
        if self.said.elapsed() >= PROGRESS {
            self.said = Instant::now();
            warn(&line());
        }
    }

    /// All cases together, by how they got their instances.
    fn together(&self) -> Vec<(Instances, Times)> {
        let sum = |instances: Instances| {
            let mut all = Times::default();
            let rows = self.rows.iter().flat_map(|row| &row.times);
            for (_, times) in rows.filter(|(had, _)| *had == instances) {
                all.calls_ns.extend(&times.calls_ns);
                all.pushes_ns.extend(&times.pushes_ns);
                all.count += times.count;
                all.elapsed += times.elapsed;
            }
            all.calls_ns.sort_unstable();
            all.pushes_ns.sort_unstable();
            (instances, all)
        };
        self.instances
            .iter()
            .map(|instances| sum(*instances))
            .collect()
    }

    fn json(&self, plugin: &Plugin, load: &Load) -> Json {
        let info = plugin.info();
        let rows: Vec<Json> = self.rows.iter().map(Row::json).collect();
        let mut told = json!({
            "plugin": info.name, "version": info.version, "digest": plugin.digest(),
            "debug-build": cfg!(debug_assertions),
            "threads": self.arguments.threads, "seconds": self.arguments.seconds,
            "load": {
                "compile-ms": load.compile_ms, "ready-ms": load.ready_ms, "first-call-us": load.first_call_us,
            },
            "cases": rows, "all": {},
        });
        for (instances, times) in self.together() {
            told["all"][word(instances)] = times.json();
        }
        told
    }

    fn show(&self, plugin: &Plugin, load: &Load) {
        let info = plugin.info();
        say(format!(
            "{}@{}: compiled in {} ms, configured and ready in {} ms, first call {} µs",
            info.name, info.version, load.compile_ms, load.ready_ms, load.first_call_us
        ));
        let mut head = vec!["case".to_owned(), "role".to_owned(), "fuel".to_owned()];
        for instances in self.instances {
            let name = word(*instances);
            head.extend(["p50 µs", "p99 µs", "calls/s"].map(|what| format!("{name} {what}")));
        }
        let pushes = self.rows.iter().any(|row| row.stats.pushes > 0);
        if pushes {
            head.push("push p50 µs".to_owned());
        }
        let mut lines = vec![head];
        let cells = |first: [String; 3], times: &[(Instances, Times)]| {
            let mut line = first.to_vec();
            line.extend(times.iter().flat_map(|(_, times)| times.cells()));
            let push = times.iter().find(|(_, times)| !times.pushes_ns.is_empty());
            line.extend(
                push.map(|(_, times)| format!("{:.1}", percentile_us(&times.pushes_ns, 50))),
            );
            line
        };
        for row in &self.rows {
            let first = [
                short(&row.name),
                row.role.to_owned(),
                row.stats.fuel.to_string(),
            ];
            lines.push(cells(first, &row.times));
        }
        let first = ["all".to_owned(), String::new(), String::new()];
        lines.push(cells(first, &self.together()));
        say(table(&lines));
    }
}

impl Row {
    fn json(&self) -> Json {
        let mut told = json!({
            "case": self.name, "role": self.role, "fuel": self.stats.fuel, "host-calls": self.stats.host_calls,
            "memory-kib": self.stats.memory_kib, "pushes": self.stats.pushes,
        });
        for (instances, times) in &self.times {
            told[word(*instances)] = times.json();
        }
        told
    }
}

impl Times {
    fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            (self.count as f64 / seconds).round()
        } else {
            0.0
        }
    }

    fn json(&self) -> Json {
        let at = |times: &[u64], percent| rounded(percentile_us(times, percent));
        let mut told = json!({
            "calls": self.count, "calls-per-s": self.per_second(),
            "p50-us": at(&self.calls_ns, 50), "p99-us": at(&self.calls_ns, 99),
        });
        if !self.pushes_ns.is_empty() {
            told["push-p50-us"] = at(&self.pushes_ns, 50).into();
            told["push-p99-us"] = at(&self.pushes_ns, 99).into();
        }
        told
    }

    fn cells(&self) -> [String; 3] {
        [
            format!("{:.1}", percentile_us(&self.calls_ns, 50)),
            format!("{:.1}", percentile_us(&self.calls_ns, 99)),
            format!("{:.0}", self.per_second()),
        ]
    }
}

/// Calls a step by so many threads for so long, each with a runtime of its own.
fn timed(case: &Case, step: &Arc<Step>, threads: u32, within: Duration) -> anyhow::Result<Times> {
    let started = Instant::now();
    let by_thread = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| on_one(case, step, started, within)))
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended.collect::<Vec<_>>()
    });
    let mut all = Times {
        elapsed: started.elapsed(),
        ..Times::default()
    };
    for times in by_thread {
        let times = times.map_err(|_| anyhow!("a thread that called it panicked"))??;
        all.calls_ns.extend(times.calls_ns);
        all.pushes_ns.extend(times.pushes_ns);
        all.count += times.count;
    }
    all.calls_ns.sort_unstable();
    all.pushes_ns.sort_unstable();
    Ok(all)
}

fn on_one(case: &Case, step: &Step, started: Instant, within: Duration) -> anyhow::Result<Times> {
    let (local, rehearsal) = (super::local()?, Rehearsal::new(case)?);
    let mut times = Times::default();
    let mut pushes_ns = Vec::new();
    loop {
        let call = Instant::now();
        let ran = local.block_on(rehearsal.once(step, &mut pushes_ns))?;
        let took_ns = nanoseconds(call);
        ensure!(
            ran.is_some(),
            "it has nothing for the {}",
            step.role().as_str()
        );
        times.count += 1;
        if times.calls_ns.len() < TIMES_MAX {
            times.calls_ns.push(took_ns);
            times.pushes_ns.append(&mut pushes_ns);
        }
        pushes_ns.clear();
        if started.elapsed() >= within {
            return Ok(times);
        }
    }
}
