//! guard-pii beside Presidio's recognisers on the same texts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use guard_pii::Settings;
use guard_pii::kind::Kind;
use pointsman_guard::finds;
use pointsman_sdk::byte_of_character;
use serde_json::Value;

use super::rows::{Folders, source, text};
use super::spans::{Score, Span, Tally};
use super::{Findings, share};

/// The least F1 that the guard promises.
const F1_MIN: f64 = 0.93;
/// Presidio's share of clean texts hit where it cannot be run: 11 of 821 of other texts of the same sources.
const PRESIDIO_CLEAN_HIT: f64 = 11.0 / 821.0;

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Email => "EMAIL",
        Kind::Phone => "PHONE",
        Kind::Card => "CREDIT_CARD",
        Kind::Iban => "IBAN",
        Kind::Ip => "IP",
        Kind::UsSsn => "US_SSN",
    }
}

/// Measures; `python` is an interpreter that has Presidio, if there is one.
///
/// # Errors
/// Rows that cannot be read, and a Presidio that fails.
pub fn measure(folders: &Folders, python: Option<&Path>) -> anyhow::Result<Findings> {
    let rows = folders.rows("pii.jsonl")?;
    let settings = Settings::masking();
    let presidio = match python {
        Some(python) => Some(presidio(folders, python)?),
        None => None,
    };
    let (mut ours, mut theirs) = (Score::default(), Score::default());
    for row in &rows {
        let body = text(row, "text");
        let spans = spans(row, body);
        let finds: Vec<Span> = finds(&settings, body)
            .into_iter()
            .map(|find| (name(Kind::ALL[find.kind]).to_owned(), find.start, find.end))
            .collect();
        ours.add(source(row), &finds, &spans);
        if let Some(presidio) = &presidio {
            let finds = presidio.get(text(row, "id")).map_or(&[][..], Vec::as_slice);
            let finds: Vec<Span> = finds.iter().filter_map(|find| found(find, body)).collect();
            theirs.add(source(row), &finds, &spans);
        }
    }
    Ok(findings(&ours, presidio.is_some().then_some(&theirs)))
}

fn findings(ours: &Score, theirs: Option<&Score>) -> Findings {
    let mut findings = Findings::default();
    findings.say("| PII | precision | recall | F1 | clean texts hit |");
    findings.say("|---|---|---|---|---|");
    findings.say(row("guard-pii", ours));
    if let Some(theirs) = theirs {
        findings.say(row("Presidio's recognisers", theirs));
    }
    findings.say("");
    findings.say("| kind | spans | guard-pii P / R | Presidio P / R |");
    findings.say("|---|---|---|---|");
    let both = |tally: &Tally| format!("{:.3} / {:.3}", tally.precision(), tally.recall());
    for (kind, tally) in &ours.kinds {
        let other = theirs
            .and_then(|theirs| theirs.kinds.get(kind))
            .map_or_else(|| "–".to_owned(), both);
        findings.say(format!(
            "| {kind} | {} | {} | {other} |",
            tally.spans,
            both(tally)
        ));
    }
    findings.say("");
    findings.say("| source | clean texts | hit by guard-pii | hit by Presidio |");
    findings.say("|---|---|---|---|");
    for (source, (clean, hit)) in &ours.clean {
        let other = theirs.map_or_else(
            || "–".to_owned(),
            |theirs| theirs.clean[source].1.to_string(),
        );
        findings.say(format!("| {source} | {clean} | {hit} | {other} |"));
    }
    findings.say("");
    let (clean, hit) = ours.clean_texts();
    let limit = theirs.map_or(PRESIDIO_CLEAN_HIT, |theirs| {
        share(theirs.clean_texts().1, clean)
    });
    findings.at_least("pii-f1", ours.all.f1(), F1_MIN);
    findings.below("pii-clean-texts-hit", share(hit, clean), limit);
    findings
}

fn row(name: &str, score: &Score) -> String {
    let (clean, hit) = score.clean_texts();
    let all = &score.all;
    format!(
        "| {name} | {:.3} | {:.3} | {:.3} | {hit} of {clean} |",
        all.precision(),
        all.recall(),
        all.f1()
    )
}

fn spans(row: &Value, text: &str) -> Vec<Span> {
    let span = |span: &Value| {
        let find = serde_json::json!([span["type"], span["start"], span["end"]]);
        found(&find, text)
    };
    row["spans"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(span)
        .collect()
}

/// `[type, first character, character after the last]` in bytes.
fn found(find: &Value, text: &str) -> Option<Span> {
    let place = |index: usize| {
        let character = usize::try_from(find[index].as_u64()?).ok()?;
        Some(byte_of_character(text, character))
    };
    Some((find[0].as_str()?.to_owned(), place(1)?, place(2)?))
}

/// Finds of Presidio by row.
fn presidio(folders: &Folders, python: &Path) -> anyhow::Result<BTreeMap<String, Vec<Value>>> {
    let output = Command::new(python)
        .arg(folders.own.join("presidio.py"))
        .arg(folders.file("pii.jsonl")?)
        .output()
        .with_context(|| format!("cannot run {}", python.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "Presidio failed: {}", said.trim());
    let lines = String::from_utf8(output.stdout).context("Presidio printed no text")?;
    let mut finds = BTreeMap::new();
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).context("Presidio printed no JSON")?;
        let of_row = row["finds"].as_array().cloned().unwrap_or_default();
        finds.insert(text(&row, "id").to_owned(), of_row);
    }
    Ok(finds)
}
