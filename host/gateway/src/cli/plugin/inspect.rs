//! `pointsman plugin inspect`: what a component says of itself, and what its cases take on it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use pointsman_cases::Case;
use pointsman_plugin::{CallStats, Instances, Plugin, Runtime};
use serde_json::{Value as Json, json};

use super::cases::Rehearsal;
use super::measure::{percentile_us, rounded, short, table};
use super::steps::Ready;
use super::subject::Subject;
use crate::cli::{say, say_json};

/// Runs of a case, the middle one of which is told: fuel is the same in each.
const RUNS: usize = 5;

#[derive(Args)]
pub(crate) struct Arguments {
    /// A component, or a plugin's folder, which is built first
    #[arg(value_name = "FILE|FOLDER")]
    target: PathBuf,
    /// Cases to run [default: cases.jsonl beside it, if there is one]
    #[arg(long, value_name = "FILE")]
    cases: Option<PathBuf>,
    /// Print JSON, a line each
    #[arg(long)]
    json: bool,
}

pub(super) fn inspect(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let subject = Subject::find(&arguments.target, arguments.cases.as_deref())?;
    let runtime = super::runtime(None)?;
    let plugin = subject.load(&runtime)?;
    let rows = match &subject.cases {
        Some(cases) => Some(figures(&runtime, &plugin, cases)?),
        None => None,
    };
    if arguments.json {
        let mut told = described(&plugin, &subject);
        if let Some(rows) = rows {
            told["cases"] = rows.iter().map(Row::json).collect();
        }
        say_json(&told)?;
        return Ok(ExitCode::SUCCESS);
    }
    show(&plugin, &subject)?;
    if let Some(rows) = rows {
        say(format!("a call of each case, the middle of {RUNS}:"));
        say(shown(&rows));
        if rows.iter().any(|row| !row.holds) {
            say("some do not come out as expected: pointsman plugin test says how");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What a case takes.
struct Row {
    name: String,
    /// Whether it comes out as expected.
    holds: bool,
    /// None where its configuration is refused.
    ran: Option<Ran>,
}

struct Ran {
    role: &'static str,
    stats: CallStats,
}

impl Row {
    fn json(&self) -> Json {
        let Some(Ran { role, stats }) = &self.ran else {
            return json!({ "case": self.name, "holds": self.holds, "refused": true });
        };
        json!({
            "case": self.name, "holds": self.holds, "role": role, "fuel": stats.fuel, "time-us": time_us(stats),
            "memory-kib": stats.memory_kib, "host-calls": stats.host_calls, "pushes": stats.pushes,
        })
    }
}

fn time_us(stats: &CallStats) -> f64 {
    rounded(percentile_us(&[stats.time_ns], 50))
}

fn figures(runtime: &Runtime, plugin: &Arc<Plugin>, cases: &[Case]) -> anyhow::Result<Vec<Row>> {
    let local = super::local()?;
    let mut ready = Ready::new(runtime, plugin, plugin.info().defaults.instances);
    let mut rows = Vec::new();
    for case in cases {
        let row = |holds, ran| Row {
            name: case.name.clone(),
            holds,
            ran,
        };
        let Ok(steps) = ready.steps(case)? else {
            rows.push(row(case.is_refused(), None));
            continue;
        };
        let rehearsal = Rehearsal::new(case)?;
        let named = || format!("case `{}`", case.name);
        let outcome = local.block_on(rehearsal.run(steps)).with_context(named)?;
        let holds = case.differing(&outcome).is_empty();
        for step in steps {
            let stats = local.block_on(runs(&rehearsal, step)).with_context(named)?;
            let role = step.role().as_str();
            rows.extend(stats.map(|stats| row(holds, Some(Ran { role, stats }))));
        }
    }
    Ok(rows)
}

/// The middle run by time.
async fn runs(
    rehearsal: &Rehearsal<'_>,
    step: &pointsman_plugin::Step,
) -> anyhow::Result<Option<CallStats>> {
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        runs.extend(rehearsal.once(step, &mut Vec::new()).await?);
    }
    runs.sort_unstable_by_key(|stats| stats.time_ns);
    Ok(runs.get(runs.len() / 2).copied())
}

fn shown(rows: &[Row]) -> String {
    let head = [
        "case",
        "role",
        "fuel",
        "µs",
        "memory KiB",
        "host calls",
        "pushes",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for Row { name, ran, .. } in rows {
        let mut line = vec![short(name)];
        match ran {
            None => line.push("config refused".to_owned()),
            Some(Ran { role, stats }) => line.extend([
                (*role).to_owned(),
                stats.fuel.to_string(),
                format!("{:.1}", time_us(stats)),
                stats.memory_kib.to_string(),
                stats.host_calls.to_string(),
                stats.pushes.to_string(),
            ]),
        }
        lines.push(line);
    }
    table(&lines)
}

fn described(plugin: &Plugin, subject: &Subject) -> Json {
    let info = plugin.info();
    let limits = &info.defaults.limits;
    json!({
        "name": info.name, "version": info.version, "roles": info.roles, "imports": info.imports,
        "contract": info.contract, "config-schema": info.config_schema, "digest": plugin.digest(),
        "bytes": subject.bytes.len(), "instances": word(info.defaults.instances), "memory-mib": limits.memory_mib,
        "fuel": limits.fuel, "epoch-ms": limits.epoch_ms,
    })
}

fn show(plugin: &Plugin, subject: &Subject) -> anyhow::Result<()> {
    let info = plugin.info();
    say(super::summary(plugin, &subject.path)?);
    let imports = if info.imports.is_empty() {
        "none".to_owned()
    } else {
        info.imports.join(", ")
    };
    say(format!("grants it needs: {imports}"));
    say(format!("contract: pointsman:plugin@{}", info.contract));
    let defaults = &info.defaults;
    say(format!(
        "unless the step says otherwise: {}; {} MiB, {} fuel, {} ms a call",
        match defaults.instances {
            Instances::Fresh => "a fresh instance for each decision, and a replay is exact",
            Instances::Pooled => "instances are pooled, and a replay is not exact",
        },
        defaults.limits.memory_mib,
        defaults.limits.fuel,
        defaults.limits.epoch_ms
    ));
    say(format!(
        "config schema:\n{}",
        serde_json::to_string_pretty(&info.config_schema)?
    ));
    Ok(())
}

/// `fresh` or `pooled`.
pub(super) const fn word(instances: Instances) -> &'static str {
    match instances {
        Instances::Fresh => "fresh",
        Instances::Pooled => "pooled",
    }
}
