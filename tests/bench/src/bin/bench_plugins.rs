//! `cargo xtask bench plugins`: every shipped plugin on a 4 KB request, fresh, pooled and without a sandbox; a stream
//! guard by the chunk; the steps of a request, many threads, and the way from compiled code to the first answer. The
//! last line is JSON. The calls themselves are made by an example of `host/plugin`, the only crate that knows the
//! runtime.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use clap::Parser;
use pointsman_bench::plugins;
use serde_json::{Map, Value, json};

/// Microseconds, at the middle of all calls.
const FRESH_OVER_POOLED_US: f64 = 15.0;
const POOLED_OVER_NATIVE_US: f64 = 4.0;
const FRESH_US: f64 = 25.0;
const PUSH_US: f64 = 2.0;
const CHAIN_US: f64 = 130.0;
const CHAIN_AIM_US: f64 = 100.0;
/// Milliseconds from compiled code to a step that is ready.
const READY_MS: f64 = 10.0;

/// Times every shipped plugin.
#[derive(Parser)]
struct Arguments {
    /// Calls of each plugin
    #[arg(long, default_value_t = 5_000)]
    calls: u32,
    /// The folder with the components
    #[arg(long, default_value = ".pointsman/plugins")]
    plugins: PathBuf,
    /// The component whose well-behaved call does nothing
    #[arg(long, default_value = "target/guests/pointsman-guests.wasm")]
    guests: PathBuf,
    /// Taken like by every measurement; this one looks at no data
    #[arg(long)]
    data: Option<PathBuf>,
    /// Taken like by every measurement; this one looks at no recordings
    #[arg(long)]
    recordings: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let itself = std::env::current_exe().context("this program does not know its own file")?;
    let folder = itself.parent().context("this program is in no folder")?;
    let cases = plugins::cases(&arguments.plugins, &arguments.guests)?;
    let kept = cases["cases"].as_array().cloned().unwrap_or_default();
    let file = folder.join("bench_plugins.cases.json");
    std::fs::write(&file, cases.to_string())
        .with_context(|| format!("cannot write {}", file.display()))?;
    // The runtime takes no folder for compiled code that others may read.
    let ours_alone = std::fs::Permissions::from_mode(0o700);
    let cache = tempfile::Builder::new().permissions(ours_alone).tempdir();
    let cache = cache.context("no folder for compiled code")?;
    let program = folder.join("examples/bench_plugins");
    let lines = run(&program, &file, arguments.calls, cache.path())?;
    let mut out = std::io::stdout();
    let mut report = Report::default();
    let mut measured = lines.iter().filter(|line| line["plugin"].is_string());
    let body = plugins::body();
    for case in &kept {
        let Some(line) = measured.next() else { break };
        let (plugin, role) = (text(&case["plugin"]), text(&case["role"]));
        let native = plugins::native_us(plugin, role, &case["config"], &body, arguments.calls);
        writeln!(out, "{}", told(plugin, role, line, native))?;
        report.plugin(plugin, role, line, native);
    }
    for line in lines.iter().filter(|line| !line["plugin"].is_string()) {
        writeln!(out, "{line}")?;
        report.whole(line);
    }
    let unmeasured = kept.len() - report.plugins;
    let ok = unmeasured == 0;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let result = json!({
        "name": "plugins",
        "ok": ok,
        "promises": {"cases-unmeasured": {"value": unmeasured, "limit": 0, "ok": ok}},
        "goals": report.goals,
        "conditions": {
            "cores": cores, "calls": arguments.calls, "request-bytes": body.to_string().len(),
            "profile": "dev with optimised dependencies", "figure": "median, microseconds",
        },
    });
    writeln!(out, "{result}").context("cannot write to stdout")
}

/// Which goals are met.
#[derive(Default)]
struct Report {
    goals: Map<String, Value>,
    plugins: usize,
}

impl Report {
    fn goal(&mut self, name: String, value: f64, limit: f64) {
        let value = (value * 100.0).round() / 100.0;
        let goal = json!({"value": value, "limit": limit, "ok": value <= limit});
        self.goals.insert(name, goal);
    }

    fn plugin(&mut self, plugin: &str, role: &str, line: &Value, native: Option<f64>) {
        self.plugins += 1;
        let name = format!("{plugin} as {role}");
        if let Some(push) = line["push"]["p50"].as_f64() {
            self.goal(format!("{name}, push, us"), push, PUSH_US);
        }
        let (Some(fresh), Some(pooled)) = (
            line["fresh"]["p50"].as_f64(),
            line["pooled"]["p50"].as_f64(),
        ) else {
            return;
        };
        let over = format!("{name}, fresh beyond pooled, us");
        self.goal(over, fresh - pooled, FRESH_OVER_POOLED_US);
        if matches!(role, "router" | "splitter" | "accountant") {
            self.goal(format!("{name}, fresh, us"), fresh, FRESH_US);
        }
        if let Some(native) = native {
            let over = format!("{name}, pooled beyond native, us");
            self.goal(over, pooled - native, POOLED_OVER_NATIVE_US);
        }
    }

    fn whole(&mut self, line: &Value) {
        if let Some(chain) = line["chain"]["fresh"]["p50"].as_f64() {
            let name = "quickstart's five steps, fresh, us";
            self.goal(name.to_owned(), chain, CHAIN_US);
            self.goal(format!("{name}, aim"), chain, CHAIN_AIM_US);
        }
        if let Some(ready) = line["publish"]["ready-ms"].as_f64() {
            let name = "from compiled code to a ready step, ms";
            self.goal(name.to_owned(), ready, READY_MS);
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A line of the table.
fn told(plugin: &str, role: &str, line: &Value, native: Option<f64>) -> String {
    let us = |name: &str| line[name]["p50"].as_f64();
    let cell = |name: &str, value: Option<f64>| {
        value.map_or_else(String::new, |value| format!("  {name} {value:.1}"))
    };
    let mut row = format!("{plugin:<20} {role:<15}");
    for name in ["fresh", "pooled", "crossing", "guest", "start", "push"] {
        row.push_str(&cell(name, us(name)));
    }
    row.push_str(&cell("native", native));
    row
}

fn run(program: &Path, cases: &Path, calls: u32, cache: &Path) -> anyhow::Result<Vec<Value>> {
    let mut command = Command::new(program);
    command
        .arg(cases)
        .arg(calls.to_string())
        .arg(cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let missing = || {
        format!(
            "cannot run {}: run `cargo xtask bench plugins`, which builds it",
            program.display()
        )
    };
    let mut child = command.spawn().with_context(missing)?;
    let stdout = child.stdout.take().context("its output is not piped")?;
    let mut lines = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("it prints no text")?;
        lines.push(
            serde_json::from_str(&line).with_context(|| format!("it printed no JSON: {line}"))?,
        );
    }
    let status = child.wait().context("cannot wait for it")?;
    ensure!(status.success(), "it ended with {status}");
    Ok(lines)
}
