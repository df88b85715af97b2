//! `cargo xtask bench routing`: what the learned router is worth, next to a draw and to a table of subject means. It
//! trains as `pointsman train routing` does. The last line is JSON.
//!
//! Contaminated rows are left out of everything, artefacts of training; figures are given with and without the latter.
//! What it knows of topics that it has not seen stands in the second table, and only there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use clap::Parser;
use pointsman_learn::metrics::{Curve, Scored, apgr_interval, deployed, saved};
use pointsman_learn::{Model, Options, Row, out_of_fold, parse_rows, train};
use serde_json::{Value, json};

/// Our copy of the rows.
const OURS: &str = "tests/quality/routing";
/// What the plugin ships.
const SHIPPED: &str = "plugins/route-learned/model.bin";
/// Part of the strong model's quality that shall be kept.
const KEPT: f64 = 0.95;
/// Of the bootstrap.
const SEED: u64 = 1;

/// Judges the learned router.
#[derive(Parser)]
struct Arguments {
    /// A folder with further `routing_*.jsonl` to judge on, in it or in its folders; our own `routing_dev.jsonl` is
    /// judged besides unless one of that name is there
    #[arg(long)]
    data: Option<PathBuf>,
    /// The rows to train on
    #[arg(long, default_value = "tests/quality/routing/routing_train.jsonl")]
    train: PathBuf,
    /// As of `pointsman train routing`
    #[arg(long, default_value_t = Options::default().bits)]
    bits: u32,
    /// As of `pointsman train routing`
    #[arg(long, default_value_t = Options::default().strength)]
    strength: f64,
    /// Writes the trained model here, to ship it
    #[arg(long)]
    out: Option<PathBuf>,
    /// Taken like by every measurement; this one looks at no recordings
    #[arg(long)]
    recordings: Option<PathBuf>,
}

/// What a router comes to on some rows.
struct Figures {
    apgr: f64,
    interval: Option<(f64, f64)>,
    cpt50: f64,
    cpt80: f64,
    saved: f64,
    /// Share, kept quality and saving at a threshold that was fixed on the training rows.
    deployed: Option<(f64, f64, f64)>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let rows = read(&arguments.train)?;
    let options = Options {
        bits: arguments.bits,
        strength: arguments.strength,
        ..Options::default()
    };
    let began = Instant::now();
    let trained = train(&rows, &options)?;
    let seconds = began.elapsed().as_secs_f64();
    if let Some(file) = &arguments.out {
        std::fs::write(file, trained.model.to_bytes())
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let mut out = String::new();
    let mut tables = serde_json::Map::new();
    let means = subject_means(&rows);
    for (name, path) in sets(arguments.data.as_deref())? {
        let rows = read(&path)?;
        tables.insert(
            name.clone(),
            known(&mut out, &name, &rows, &trained.model, &means)?,
        );
    }
    let (unseen, apgr_unseen) = unseen(&mut out, &rows, &trained.scores, &options)?;
    tables.insert("unseen".to_owned(), unseen);
    let differs = shipped_differs(&arguments.train, &options, &trained.model)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let result = json!({
        "name": "routing",
        "ok": differs == 0,
        "promises": {"shipped-model-differs": {"value": differs, "limit": 0, "ok": differs == 0}},
        "goals": {
            "APGR on unseen subjects": {"value": round(apgr_unseen), "limit": 0.5, "ok": apgr_unseen > 0.5},
            "training and its folds, seconds": {"value": round(seconds), "limit": 60, "ok": seconds <= 60.0},
        },
        "tables": tables,
        "conditions": {
            "rows": trained.model.rows(), "bits": options.bits, "strength": options.strength, "seed": options.seed,
            "cores": cores,
        },
    });
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{out}{result}").context("cannot write to stdout")
}

fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_rows(&text).with_context(|| format!("{} is no rows", path.display()))
}

/// What is judged on, by name.
fn sets(data: Option<&Path>) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut sets = BTreeMap::new();
    sets.insert(
        "routing_dev".to_owned(),
        Path::new(OURS).join("routing_dev.jsonl"),
    );
    let Some(data) = data else {
        return Ok(sets);
    };
    let list = |folder: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder)
            .with_context(|| format!("cannot read {}", folder.display()))?;
        entries
            .map(|entry| Ok(entry?.path()))
            .collect::<anyhow::Result<_>>()
    };
    let mut files = list(data)?;
    for folder in files.clone().iter().filter(|path| path.is_dir()) {
        files.extend(list(folder)?);
    }
    for file in files {
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let rows = file.extension().is_some_and(|end| end == "jsonl");
        if rows && name.starts_with("routing_") && name != "routing_train" {
            sets.insert(name, file);
        }
    }
    Ok(sets)
}

/// How often the strong model was needed, by subject: the table that text models must beat. It has seen artefacts.
fn subject_means(rows: &[Row]) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.contaminated) {
        let sum = sums.entry(row.subject.clone()).or_default();
        sum.0 += f64::from(u8::from(row.needs_strong()));
        sum.1 += 1.0;
    }
    sums.into_iter()
        .map(|(subject, (needed, rows))| (subject, needed / rows))
        .collect()
}

/// Rows of a benchmark that are not contaminated, and of it without artefacts where it has some.
fn parts(rows: &[Row]) -> Vec<(String, Vec<&Row>)> {
    let mut benchmarks: Vec<&str> = rows.iter().map(|row| row.benchmark.as_str()).collect();
    benchmarks.sort_unstable();
    benchmarks.dedup();
    let mut parts = Vec::new();
    for benchmark in benchmarks {
        let all: Vec<&Row> = rows
            .iter()
            .filter(|row| row.benchmark == benchmark && !row.contaminated)
            .collect();
        let clean: Vec<&Row> = all.iter().copied().filter(|row| !row.artefact).collect();
        let artefacts = all.len() - clean.len();
        parts.push((benchmark.to_owned(), all));
        if artefacts > 0 {
            parts.push((format!("{benchmark} without artefacts"), clean));
        }
    }
    parts
}

/// The table of rows whose topics the model has seen.
fn known(
    out: &mut String,
    name: &str,
    rows: &[Row],
    model: &Model,
    means: &BTreeMap<String, f64>,
) -> anyhow::Result<Value> {
    writeln!(out, "\n{name}: topics of the training rows\n")?;
    writeln!(
        out,
        "| rows | router | APGR [95 %] | CPT50 | CPT80 | saved at 95 % | deployed: strong, kept, saved |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let mut table = serde_json::Map::new();
    let least = model.score_of_share(model.share_of_quality(KEPT));
    for (part, rows) in parts(rows) {
        let learned: Vec<Scored> = rows
            .iter()
            .map(|row| Scored::new(row, model.score(&row.prompt)))
            .collect();
        let Some(curve) = Curve::of(&learned) else {
            continue;
        };
        let mut lines = vec![("learned", judged(&learned, &curve, Some(least)))];
        if rows.iter().all(|row| means.contains_key(&row.subject)) && subjects(&rows) > 1 {
            let of = |row: &&Row| Scored::new(row, means[&row.subject]);
            let scored: Vec<Scored> = rows.iter().map(of).collect();
            if let Some(curve) = Curve::of(&scored) {
                lines.push(("subject means", judged(&scored, &curve, None)));
            }
        }
        lines.push(("a draw", draw(&curve)));
        let title = format!("{part}, n = {}", rows.len());
        let mut entries = serde_json::Map::new();
        for (router, figures) in lines {
            writeln!(out, "| {title} | {router} | {figures} |")?;
            entries.insert(router.to_owned(), figures.json());
        }
        table.insert(part, json!({"rows": rows.len(), "routers": entries}));
    }
    ensure!(!table.is_empty(), "{name} holds no rows to judge on");
    Ok(Value::Object(table))
}

/// The table of topics that the model has not seen, on the training rows, each scored by a model without its subject.
/// Its last value is the APGR of the largest benchmark without artefacts.
fn unseen(
    out: &mut String,
    rows: &[Row],
    random: &[f64],
    options: &Options,
) -> anyhow::Result<(Value, f64)> {
    let subjects_out = out_of_fold(rows, options)?;
    writeln!(
        out,
        "\nTraining rows, out of fold: what is left on new topics\n"
    )?;
    writeln!(
        out,
        "| rows | folds | APGR [95 %] | ranked within subjects | CPT50 | CPT80 | saved at 95 % | a draw saves |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    let mut table = serde_json::Map::new();
    let mut largest = (0, 0.0);
    for (part, members) in parts(rows) {
        let mut entries = serde_json::Map::new();
        for (folds, scores) in [
            ("at random", random),
            ("without the subject", &subjects_out),
        ] {
            let scored: Vec<Scored> = rows
                .iter()
                .zip(scores)
                .filter(|(row, _)| members.iter().any(|member| std::ptr::eq(*member, *row)))
                .map(|(row, score)| Scored::new(row, *score))
                .collect();
            let Some(curve) = Curve::of(&scored) else {
                continue;
            };
            let figures = judged(&scored, &curve, None);
            let within = within_subjects(&members, &scored);
            writeln!(
                out,
                "| {part}, n = {} | {folds} | {} | {} | {} | {} | {} | {} |",
                members.len(),
                figures.apgr_text(),
                within.map_or_else(|| "–".to_owned(), |apgr| format!("{apgr:.3}")),
                percent(figures.cpt50),
                percent(figures.cpt80),
                percent(figures.saved),
                percent(draw(&curve).saved),
            )?;
            let larger = members.len() > largest.0 || part.ends_with("without artefacts");
            if folds == "without the subject" && larger {
                largest = (members.len(), figures.apgr);
            }
            let mut entry = figures.json();
            entry["apgr-within-subjects"] = json!(within.map(round));
            entries.insert(folds.to_owned(), entry);
        }
        table.insert(part, Value::Object(entries));
    }
    Ok((Value::Object(table), largest.1))
}

fn subjects(rows: &[&Row]) -> usize {
    let mut subjects: Vec<&str> = rows.iter().map(|row| row.subject.as_str()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects.len()
}

/// The APGR of scores that are replaced by ranks within each subject: what the model knows besides the topic.
fn within_subjects(rows: &[&Row], scored: &[Scored]) -> Option<f64> {
    if subjects(rows) < 2 {
        return None;
    }
    let mut by_subject: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
    for (row, scored) in rows.iter().zip(scored) {
        by_subject.entry(&row.subject).or_default().push(*scored);
    }
    let mut ranked = Vec::new();
    for mut members in by_subject.into_values() {
        members.sort_by(|one, other| one.score.total_cmp(&other.score));
        let count = members.len() as f64;
        for (rank, member) in members.iter().enumerate() {
            ranked.push(Scored {
                score: (rank as f64 + 0.5) / count,
                ..*member
            });
        }
    }
    Curve::of(&ranked).map(|curve| curve.apgr())
}

fn judged(scored: &[Scored], curve: &Curve, least: Option<f64>) -> Figures {
    let at = |least: f64| {
        let deployed = deployed(scored, least);
        (deployed.share, deployed.kept, saved(deployed.share))
    };
    Figures {
        apgr: curve.apgr(),
        interval: apgr_interval(scored, SEED),
        cpt50: curve.cpt(0.5),
        cpt80: curve.cpt(0.8),
        saved: saved(curve.share_that_keeps(KEPT)),
        deployed: least.map(at),
    }
}

/// What a router that draws comes to in the mean.
fn draw(curve: &Curve) -> Figures {
    Figures {
        apgr: 0.5,
        interval: None,
        cpt50: 0.5,
        cpt80: 0.8,
        saved: saved(curve.pgr_that_keeps(KEPT)),
        deployed: None,
    }
}

impl Figures {
    fn apgr_text(&self) -> String {
        match self.interval {
            Some((low, high)) => format!("{:.3} [{low:.3} {high:.3}]", self.apgr),
            None => format!("{:.3}", self.apgr),
        }
    }

    fn json(&self) -> Value {
        json!({
            "apgr": round(self.apgr),
            "interval": self.interval.map(|(low, high)| [round(low), round(high)]),
            "cpt50": round(self.cpt50),
            "cpt80": round(self.cpt80),
            "saved-at-95": round(self.saved),
            "deployed": self.deployed.map(|(share, kept, saved)| json!({
                "strong": round(share), "kept": round(kept), "saved": round(saved),
            })),
        })
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cpt50, cpt80) = (percent(self.cpt50), percent(self.cpt80));
        write!(
            f,
            "{} | {cpt50} | {cpt80} | {} | ",
            self.apgr_text(),
            percent(self.saved)
        )?;
        match self.deployed {
            Some((share, kept, saved)) => {
                write!(
                    f,
                    "{}, {}, {}",
                    percent(share),
                    percent(kept),
                    percent(saved)
                )
            }
            None => f.write_str("–"),
        }
    }
}

/// Bytes of the shipped model that training does not give again; of other rows or options nothing is promised.
fn shipped_differs(train: &Path, options: &Options, model: &Model) -> anyhow::Result<usize> {
    if train != Path::new(OURS).join("routing_train.jsonl") || *options != Options::default() {
        return Ok(0);
    }
    let shipped = std::fs::read(SHIPPED).with_context(|| format!("cannot read {SHIPPED}"))?;
    let trained = model.to_bytes();
    let same = shipped
        .iter()
        .zip(&trained)
        .filter(|(one, other)| one == other);
    Ok(shipped.len().max(trained.len()) - same.count())
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}
