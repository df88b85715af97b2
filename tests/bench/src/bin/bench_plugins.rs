//! `cargo xtask bench plugins`: every shipped plugin on a config of its own, fresh and pooled; a stream guard by the
//! chunk. The last line is JSON. The calls themselves are made by an example of `host/plugin`, the only crate that
//! knows the runtime.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use clap::Parser;
use serde_json::{Map, Value, json};

/// What is called, without the components' paths.
const CASES: &str = include_str!("../../plugins.json");
/// Microseconds, the middle of all calls: what the design expects of a two-core machine.
const FRESH_US: f64 = 20.0;
const POOLED_US: f64 = 8.0;
const PUSH_US: f64 = 1.0;

/// Times every shipped plugin.
#[derive(Parser)]
struct Arguments {
    /// Calls of each plugin
    #[arg(long, default_value_t = 5_000)]
    calls: u32,
    /// The folder with the components
    #[arg(long, default_value = ".pointsman/plugins")]
    plugins: PathBuf,
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
    let cases = cases(&arguments.plugins)?;
    let expected = cases.as_array().map_or(0, Vec::len);
    let file = folder.join("bench_plugins.cases.json");
    std::fs::write(&file, cases.to_string())
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut out = std::io::stdout();
    let mut goals = Map::new();
    let mut measured = 0;
    for line in run(
        &folder.join("examples/bench_plugins"),
        &file,
        arguments.calls,
    )? {
        measured += 1;
        writeln!(out, "{line}")?;
        let name = format!("{} as {}", text(&line["plugin"]), text(&line["role"]));
        for (kind, limit_us) in [
            ("fresh", FRESH_US),
            ("pooled", POOLED_US),
            ("start", FRESH_US),
            ("push", PUSH_US),
        ] {
            if let Some(value) = line[kind]["p50"].as_f64() {
                let goal = json!({"value": value, "limit": limit_us, "ok": value <= limit_us});
                goals.insert(format!("{name}, {kind}, us"), goal);
            }
        }
    }
    let unmeasured = expected - measured;
    let ok = unmeasured == 0;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let result = json!({
        "name": "plugins",
        "ok": ok,
        "promises": {"cases-unmeasured": {"value": unmeasured, "limit": 0, "ok": ok}},
        "goals": goals,
        "conditions": {"cores": cores, "calls": arguments.calls, "profile": "dev with optimised dependencies", "figure": "median, microseconds"},
    });
    writeln!(out, "{result}").context("cannot write to stdout")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The cases with the paths of their components.
fn cases(plugins: &Path) -> anyhow::Result<Value> {
    let mut cases: Value = serde_json::from_str(CASES).context("plugins.json is no JSON")?;
    for case in cases.as_array_mut().into_iter().flatten() {
        let component = plugins.join(format!("{}.wasm", text(&case["plugin"])));
        ensure!(
            component.is_file(),
            "{} is missing: run `cargo xtask plugins`",
            component.display()
        );
        case["component"] = json!(component);
    }
    Ok(cases)
}

fn run(program: &Path, cases: &Path, calls: u32) -> anyhow::Result<Vec<Value>> {
    let mut command = Command::new(program);
    command
        .arg(cases)
        .arg(calls.to_string())
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
