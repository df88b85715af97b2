//! `cargo xtask bench guards`: precision, recall and false positives of the guards on labelled texts, beside what
//! others reach there. Prints the tables of docs/quality.md; the last line is JSON.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Parser;
use pointsman_bench::guards::{Folders, measure_injection, measure_pii, measure_secrets, train};
use serde_json::{Map, json};

/// The repository's own labelled texts.
const OWN: &str = "tests/quality";
/// The interpreter that `cargo xtask bench guards` gives Presidio.
const PYTHON: &str = ".pointsman/presidio/bin/python3";

/// Measures the guards.
#[derive(Parser)]
struct Arguments {
    /// A folder with pii.jsonl, secrets.b64.jsonl and injection.jsonl, or with a folder `dev` that has them
    #[arg(long, default_value = OWN)]
    data: PathBuf,
    /// Taken like by every measurement; this one looks at no recordings
    #[arg(long)]
    recordings: Option<PathBuf>,
    /// Train the weights of guard-injection and write them here, instead of measuring
    #[arg(long)]
    train: Option<PathBuf>,
    /// Name the rows of secrets that come out wrong
    #[arg(long)]
    misses: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folders = Folders {
        data: arguments.data,
        own: PathBuf::from(OWN),
    };
    let mut out = std::io::stdout();
    if let Some(file) = arguments.train {
        train(&folders, &file)?;
        let result = json!({"name": "guards", "ok": true, "promises": {}, "goals": {}, "conditions": {"trained": file}});
        writeln!(out, "{result}")?;
        return Ok(());
    }
    let python = Some(PathBuf::from(PYTHON)).filter(|python| python.is_file());
    let mut promises = Map::new();
    for findings in [
        measure_pii(&folders, python.as_deref())?,
        measure_secrets(&folders, arguments.misses)?,
        measure_injection(&folders)?,
    ] {
        for line in &findings.lines {
            writeln!(out, "{line}")?;
        }
        promises.extend(findings.promises);
    }
    let ok = promises.values().all(|promise| promise["ok"] == true);
    let presidio = if python.is_some() {
        "run"
    } else {
        "not installed; its listed figure is the limit"
    };
    let result = json!({
        "name": "guards",
        "ok": ok,
        "promises": promises,
        "goals": {},
        "conditions": {"data": folders.data, "presidio": presidio},
    });
    writeln!(out, "{result}")?;
    Ok(())
}
