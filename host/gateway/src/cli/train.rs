//! `pointsman train routing`: from labelled rows to a data file of the plugin `route-learned`. It asks no server.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use pointsman_learn::metrics::{Curve, Scored, saved};
use pointsman_learn::{Options, OptionsError, Row, out_of_fold, parse_rows, train};
use serde_json::json;

use super::say;

#[derive(Subcommand)]
pub(crate) enum TrainCommand {
    /// Train a router between a strong and a weak model
    #[command(
        after_help = "Example:\n  pointsman train routing --rows rows.jsonl --out policies/mine/router.bin\n\nRows are JSON, one a line: prompt, strong_correct and weak_correct (0 or 1) or strong_score and weak_score; subject, benchmark, artefact, contaminated where known. The same rows and seed give the same file."
    )]
    Routing {
        /// Labelled rows; may be named several times
        #[arg(long, required = true, value_name = "FILE")]
        rows: Vec<PathBuf>,
        /// The model, a data file of the plugin route-learned
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Word slots as a power of two, 8 to 20: a byte each
        #[arg(long, default_value_t = Options::default().bits)]
        bits: u32,
        /// Inverse of the penalty on weights: more fits the rows better, and new topics worse
        #[arg(long, default_value_t = Options::default().strength)]
        strength: f64,
        /// Draws the folds that the figures come from
        #[arg(long, default_value_t = Options::default().seed)]
        seed: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: TrainCommand) -> anyhow::Result<ExitCode> {
    let TrainCommand::Routing {
        rows: files,
        out,
        bits,
        strength,
        seed,
        json,
    } = command;
    let mut rows = Vec::new();
    for file in &files {
        rows.extend(read(file)?);
    }
    let options = Options {
        bits,
        strength,
        seed,
    };
    let trained = train(&rows, &options)?;
    let bytes = trained.model.to_bytes();
    std::fs::write(&out, &bytes).with_context(|| format!("cannot write {}", out.display()))?;
    let known = figures(&rows, &trained.scores);
    let unseen = match out_of_fold(&rows, &options) {
        Ok(scores) => figures(&rows, &scores),
        Err(OptionsError::Subjects) => None,
        Err(error) => return Err(error.into()),
    };
    let left_out = rows.iter().filter(|row| !row.teaches()).count();
    if json {
        let figures = |figures: Option<(f64, f64)>| {
            figures.map(|(apgr, saved)| json!({"apgr": apgr, "saved-at-95": saved}))
        };
        say(json!({
            "out": out, "bytes": bytes.len(), "rows": trained.model.rows(), "left-out": left_out,
            "known-topics": figures(known), "new-topics": figures(unseen),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    say(format!(
        "{}: {} bytes from {} rows ({left_out} artefacts or contaminated rows left out)",
        out.display(),
        bytes.len(),
        trained.model.rows()
    ));
    say(told("topics of these rows", known));
    say(told("topics that it has not seen", unseen));
    say("a draw has APGR 0.500; judge it by the kind of traffic that you will send it");
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Vec<Row>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let rows = parse_rows(&text).with_context(|| format!("{} is no rows", file.display()))?;
    ensure!(!rows.is_empty(), "{} holds no rows", file.display());
    Ok(rows)
}

/// APGR and what is saved where 95 % of the quality is kept, out of fold, on the rows that teach.
fn figures(rows: &[Row], scores: &[f64]) -> Option<(f64, f64)> {
    let scored: Vec<Scored> = rows
        .iter()
        .zip(scores)
        .filter(|(row, _)| row.teaches())
        .map(|(row, score)| Scored::new(row, *score))
        .collect();
    let curve = Curve::of(&scored)?;
    Some((curve.apgr(), saved(curve.share_that_keeps(0.95))))
}

fn told(what: &str, figures: Option<(f64, f64)>) -> String {
    match figures {
        Some((apgr, saved)) => format!(
            "{what}: APGR {apgr:.3}, {:.0} % of the strong model's cost saved at 95 % of its quality (RouteLLM's prices)",
            saved * 100.0
        ),
        None => format!("{what}: cannot be told from these rows"),
    }
}
