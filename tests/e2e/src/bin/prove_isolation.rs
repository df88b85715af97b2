//! `cargo xtask prove isolation`: plugins that try to remember; then a tenant that loops, bombs memory, sends bodies of
//! 31 MiB and holds thousands of streams that nobody reads, beside one that sends at a fixed rate, on and off in turns.
//! `--noise loops,bombs,bodies,readers` makes some of it alone. The last line is JSON.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use pointsman_e2e::isolation::memory;
use pointsman_e2e::isolation::noise::{Loudness, Neighbours, Noise};
use serde_json::json;

const PAIRS: usize = 5;
const LENGTH: Duration = Duration::from_secs(4);
const READERS: usize = 3_000;
/// Open files that everything else needs; a reader needs two in the gateway.
const FILES_BESIDE: usize = 600;
/// With noise over without it, of the median pair.
const P50_RATIO_MAX: f64 = 1.2;
const P99_RATIO_MAX: f64 = 2.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let remembered = memory::run().await?;
    for line in &remembered {
        writeln!(out, "WRONG {line}")?;
    }
    let readers = READERS.min(files_max().saturating_sub(FILES_BESIDE) / 2);
    let loudness = loudness(readers);
    let neighbours = Neighbours::start().await?;
    // Compiled, connected, warm.
    neighbours.quiet(Duration::from_secs(1)).await?;
    let (mut errors, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    let mut answered = 0;
    let mut noises: Vec<Noise> = Vec::new();
    for pair in 0..PAIRS {
        let alone = neighbours.quiet(LENGTH).await?;
        let (beside, noise) = neighbours.beside_noise(LENGTH, loudness).await?;
        writeln!(
            out,
            "pair {pair}: alone p50 {:.1} ms, p99 {:.1}; beside noise p50 {:.1}, p99 {:.1}; {noise:?}",
            alone.percentile(0.5),
            alone.percentile(0.99),
            beside.percentile(0.5),
            beside.percentile(0.99)
        )?;
        p50.push(beside.percentile(0.5) / alone.percentile(0.5));
        p99.push(beside.percentile(0.99) / alone.percentile(0.99));
        answered += alone.ms.len() + beside.ms.len();
        errors.extend(alone.errors.into_iter().chain(beside.errors));
        noises.push(noise);
    }
    for line in errors.iter().take(20) {
        writeln!(out, "WRONG the quiet tenant: {line}")?;
    }
    let most = |value: usize| json!({"value": value, "limit": 0, "ok": value == 0});
    let goal =
        |value: f64, limit: f64| json!({"value": value, "limit": limit, "ok": value <= limit});
    // A pair in which the noise did not happen shows nothing.
    let is_loud = |noise: &&Noise| {
        let of = |is_made: bool, made: usize| !is_made || made > 0;
        of(loudness.loops, noise.loops)
            && of(loudness.bombs, noise.bombs)
            && of(loudness.bodies, noise.bodies)
            && noise.readers == loudness.readers
    };
    let silent = PAIRS - noises.iter().filter(is_loud).count();
    let ok = remembered.is_empty() && errors.is_empty() && silent == 0;
    let result = json!({
        "name": "isolation", "ok": ok,
        "promises": {
            "remembered": most(remembered.len()),
            "quiet-errors": most(errors.len()),
            "pairs-without-noise": most(silent),
        },
        "goals": {
            "p50-ratio": goal(median(p50), P50_RATIO_MAX),
            "p99-ratio": goal(median(p99), P99_RATIO_MAX),
        },
        "conditions": {
            "pairs": PAIRS, "seconds": LENGTH.as_secs(), "noise": format!("{loudness:?}"), "quiet-answers": answered,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
        },
    });
    writeln!(out, "{result}")?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All of it, or what `--noise` names.
fn loudness(readers: usize) -> Loudness {
    let named = std::env::args().skip_while(|word| word != "--noise").nth(1);
    let is_made = |kind: &str| {
        let named = named.as_ref();
        named.is_none_or(|named| named.split(',').any(|word| word == kind))
    };
    Loudness {
        loops: is_made("loops"),
        bombs: is_made("bombs"),
        bodies: is_made("bodies"),
        readers: if is_made("readers") { readers } else { 0 },
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Files that this process, and those that it starts, may have open.
fn files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(1_024)
}
