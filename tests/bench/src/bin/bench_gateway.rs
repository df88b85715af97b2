//! `cargo xtask bench gateway`: the request path beside nginx, all gateways up at once, one core for them and one for load
//! and provider. The last line is JSON: correctness decides, speed is reported.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use clap::Parser;
use pointsman_bench::beside::{
    Bodies, Figure, GATEWAY_CORE, Kind, LOAD_CORE, Machine, Row, Rows, nginx_version, pin_self,
};
use serde_json::{Map, Value, json};

const WHOLE: &str = include_str!("../../bodies/chat.json");
const STREAM: &str = include_str!("../../bodies/chat-stream.json");
/// The model of the bodies, and the one that policies offer.
const MODEL: (&str, &str) = ("\"gpt-4o-mini\"", "\"auto\"");
const STARTS: u32 = 5;

/// Measures the request path beside nginx.
#[derive(Parser)]
struct Arguments {
    /// Turns of every row under every kind of load
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Seconds of a turn
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rows beside direct and nginx
    #[arg(long, value_delimiter = ',', default_value = "plain,fresh,pooled")]
    rows: Vec<String>,
    /// Kinds of load
    #[arg(long, value_delimiter = ',', default_value = "whole,rate,paced,flood")]
    loads: Vec<String>,
    /// The build of pointsman to measure: target/release/pointsman, … [default: the dev build]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// A second build of pointsman, measured beside it under the plain policy
    #[arg(long, value_name = "FILE")]
    other: Option<PathBuf>,
    /// Taken like by every measurement; this one looks at no data
    #[arg(long)]
    data: Option<PathBuf>,
    /// Taken like by every measurement; this one looks at no recordings
    #[arg(long)]
    recordings: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.rounds > 0 && arguments.seconds > 0.0 && arguments.seconds <= 60.0,
        "--rounds is at least 1, --seconds above 0 and at most 60"
    );
    pin_self(LOAD_CORE)?;
    pin_self(GATEWAY_CORE)?;
    pin_self(LOAD_CORE)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    tokio::task::LocalSet::new().block_on(&runtime, measure(&arguments))
}

async fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let nginx = nginx_version()?;
    let bodies = Bodies {
        whole: WHOLE.replace(MODEL.0, MODEL.1).into(),
        stream: STREAM.replace(MODEL.0, MODEL.1).into(),
    };
    let builds = (arguments.program.as_deref(), arguments.other.as_deref());
    let mut rows = Rows::start(&arguments.rows, builds.0, builds.1).await?;
    for row in &mut rows.0 {
        row.restart(STARTS, &bodies.whole).await?;
    }
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| arguments.loads.iter().any(|load| load == kind.name()))
        .collect();
    for kind in &kinds {
        for row in &mut rows.0 {
            kind.run(row, &bodies, arguments.seconds, false).await?;
        }
    }
    let (began, machine, ours_s) = (Instant::now(), Machine::now()?, rows.cpu_s()?);
    let mut order = Shuffle::new();
    for _ in 0..arguments.rounds {
        for kind in &kinds {
            for index in order.of(rows.0.len()) {
                kind.run(&mut rows.0[index], &bodies, arguments.seconds, true)
                    .await?;
            }
        }
    }
    let wall_s = began.elapsed().as_secs_f64();
    let after = Machine::now()?;
    let others_s = (after.busy_s - machine.busy_s) - (rows.cpu_s()? - ours_s);
    let conditions = json!({
        "cores": {"gateways": GATEWAY_CORE, "load-and-provider": LOAD_CORE},
        "others-busy-cores": to(others_s.max(0.0) / wall_s, 100.0),
        "stolen-cores": to((after.stolen_s - machine.stolen_s) / wall_s, 100.0),
        "rounds": arguments.rounds, "seconds": arguments.seconds,
        "build": match &arguments.program {
            Some(program) => program.display().to_string(),
            None => "dev: optimised, with the debug assertions of our own crates".to_owned(),
        },
        "pointsman": env!("CARGO_PKG_VERSION"), "nginx": nginx,
        "figure": "median of the rounds' ratios to, or differences from, the same round of nginx",
    });
    let mut out = std::io::stdout();
    for line in table(&rows, &kinds)? {
        writeln!(out, "{line}")?;
    }
    let goals = goals(&rows);
    let promises = promises(&mut rows, &mut out).await?;
    let ok = promises.values().all(|promise| promise["ok"] == true);
    let result = json!({
        "name": "gateway", "ok": ok, "promises": promises, "goals": goals, "conditions": conditions,
    });
    writeln!(out, "{result}").context("cannot write to stdout")?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Every request answered, every decision recorded, every link sound.
async fn promises(
    rows: &mut Rows,
    out: &mut impl std::io::Write,
) -> anyhow::Result<Map<String, Value>> {
    let (mut failed, mut astray, mut unsound) = (0, 0, 0);
    for row in &mut rows.0 {
        failed += row.failed;
        let provided = row.provided();
        let Some(recorded) = row.recorded().await? else {
            continue;
        };
        astray += provided.abs_diff(recorded.opened)
            + recorded.opened.abs_diff(recorded.closed_ok)
            + recorded.closed_otherwise;
        unsound += u64::from(!recorded.sound);
        writeln!(
            out,
            "{:<8} the provider answered {provided}; decisions: {} opened, {} closed ok",
            row.name, recorded.opened, recorded.closed_ok
        )?;
    }
    let none = |value: u64| json!({"value": value, "limit": 0, "ok": value == 0});
    let promises = [
        ("requests-failed", none(failed)),
        ("decisions-astray", none(astray)),
        ("logs-unsound", none(unsound)),
    ];
    Ok(promises
        .into_iter()
        .map(|(name, promise)| (name.to_owned(), promise))
        .collect())
}

fn goals(rows: &Rows) -> Map<String, Value> {
    let mut goals = Map::new();
    let mut goal = |name: &str, value: Option<f64>, limit: f64| {
        if let Some(value) = value {
            let value = to(value, 1000.0);
            let goal = json!({"value": value, "limit": limit, "ok": value <= limit});
            goals.insert(name.to_owned(), goal);
        }
    };
    for (row, limit, aim) in [
        ("plain", 2.5, 1.5),
        ("fresh", 8.0, 5.0),
        ("pooled", 4.0, 2.5),
    ] {
        let value = ratio(rows, row, Figure::WholeUs);
        goal(&format!("{row}, CPU of an answer, x nginx"), value, limit);
        goal(
            &format!("{row}, CPU of an answer, x nginx, aim"),
            value,
            aim,
        );
    }
    let beyond = |figure| difference(rows, "plain", "nginx", figure);
    goal(
        "plain, p50 at 1000/s beyond nginx, us",
        beyond(Figure::RateP50Us),
        150.0,
    );
    goal(
        "plain, first event beyond nginx, us",
        beyond(Figure::FirstP50Us),
        300.0,
    );
    for (name, figure) in [("paced", Figure::PacedUs), ("flood", Figure::FloodUs)] {
        let value = ratio(rows, "plain", figure);
        goal(
            &format!("plain, CPU of a {name} chunk, x nginx"),
            value,
            2.0,
        );
    }
    let of = |figure| {
        rows.get("fresh")
            .and_then(|row| median(row.figures.of(figure)))
    };
    goal("fresh, idle, MiB", of(Figure::IdleMib), 60.0);
    goal(
        "fresh, start to first answer, ms",
        of(Figure::StartMs),
        200.0,
    );
    goals
}

/// The middle of the rounds' ratios to nginx.
fn ratio(rows: &Rows, row: &str, figure: Figure) -> Option<f64> {
    same_round(rows, row, "nginx", figure, |value, nginx| value / nginx)
}

/// The middle of the rounds' differences.
fn difference(rows: &Rows, row: &str, from: &str, figure: Figure) -> Option<f64> {
    same_round(rows, row, from, figure, |value, other| value - other)
}

fn same_round(
    rows: &Rows,
    row: &str,
    other: &str,
    figure: Figure,
    compare: impl Fn(f64, f64) -> f64,
) -> Option<f64> {
    let (row, other) = (rows.get(row)?, rows.get(other)?);
    let pairs = row.figures.of(figure).iter().zip(other.figures.of(figure));
    let compared: Vec<f64> = pairs.map(|(&row, &other)| compare(row, other)).collect();
    median(&compared)
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.is_empty() {
        None
    } else if values.len().is_multiple_of(2) {
        Some(f64::midpoint(values[middle - 1], values[middle]))
    } else {
        Some(values[middle])
    }
}

/// Median, least and greatest of every figure, and how it compares.
fn table(rows: &Rows, kinds: &[Kind]) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut figures: Vec<Figure> = kinds
        .iter()
        .flat_map(|kind| kind.figures())
        .copied()
        .collect();
    figures.extend([Figure::StartMs, Figure::IdleMib]);
    for figure in figures {
        lines.push(format!("{}:", figure.about()));
        for row in &rows.0 {
            if let Some(line) = shown(rows, row, figure) {
                lines.push(line);
            }
        }
    }
    for row in &rows.0 {
        if let Some(mib) = row.resident_mib()? {
            lines.push(format!(
                "{:<8} resident after all load: {mib:.1} MiB",
                row.name
            ));
        }
    }
    Ok(lines)
}

fn shown(rows: &Rows, row: &Row, figure: Figure) -> Option<String> {
    let values = row.figures.of(figure);
    let middle = median(values)?;
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut line = format!(
        "  {:<8} {middle:>9.1}  ({least:.1} to {greatest:.1})",
        row.name
    );
    if let Some(ratio) = ratio(rows, row.name, figure).filter(|ratio| ratio.is_finite()) {
        line.push_str(&format!("  {ratio:.2} x nginx"));
    }
    if let Some(added) = difference(rows, row.name, "direct", figure) {
        line.push_str(&format!("  {added:+.0} to direct"));
    }
    if let Some(ratio) = same_round(rows, row.name, "other", figure, |value, other| {
        value / other
    }) {
        line.push_str(&format!("  {ratio:.3} x other"));
    }
    Some(line)
}

/// To the given fraction.
fn to(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Orders that nothing periodic on the machine can follow.
struct Shuffle(u64);

impl Shuffle {
    fn new() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::from(since.subsec_nanos()) | 1)
    }

    fn of(&mut self, length: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..length).collect();
        for last in (1..length).rev() {
            // xorshift
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            order.swap(last, (self.0 % (last as u64 + 1)) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_an_even_number_lies_between() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_shuffle_leaves_none_out() {
        let mut shuffle = Shuffle::new();
        for _ in 0..100 {
            let mut order = shuffle.of(6);
            order.sort_unstable();
            assert_eq!(order, [0, 1, 2, 3, 4, 5]);
        }
    }
}
