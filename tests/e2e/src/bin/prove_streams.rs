//! `cargo xtask prove streams`: a hundred thousand random streams through the release engine, and the matrix of shapes
//! and cuts through a real gateway. `--seed N` begins elsewhere, `--streams N` asks for another number of random
//! streams, `--shown N` for another number of wrong ones. The last line is JSON.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use pointsman_e2e::streams::matrix::{Matrix, Told};
use pointsman_e2e::streams::property::{self, Kind};
use pointsman_e2e::streams::shapes::Shape;
use serde_json::json;

const RANDOM: u64 = 100_000;
const STREAMS_MIN: usize = 100_000;
const STALL_MS: u64 = 5_000;
/// Wrong streams of each half that are shown, and characters of each.
const SHOWN: u64 = 10;
const SHOWN_CHARS: usize = 4_000;

fn main() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout();
    let first = argument("--seed")?.unwrap_or(0);
    let count = argument("--streams")?.unwrap_or(RANDOM);
    let shown = argument("--shown")?.unwrap_or(SHOWN) as usize;
    let began = Instant::now();
    let threads = thread::available_parallelism().map_or(2, usize::from) as u64;
    let (by_kind, wrong) = random(first, count, threads);
    let random_s = began.elapsed().as_secs_f64();
    writeln!(out, "random streams: {by_kind:?} in {random_s:.1} s")?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let told = runtime.block_on(matrix())?;
    let matrix_s = began.elapsed().as_secs_f64() - random_s;
    writeln!(
        out,
        "streams through a gateway: {:?} in {matrix_s:.1} s",
        told.streams
    )?;

    let (random, matrix) = (by_kind.values().sum::<usize>(), told.count());
    for line in wrong
        .iter()
        .take(shown)
        .chain(told.wrong.iter().take(shown))
    {
        let line: String = line.chars().take(SHOWN_CHARS).collect();
        writeln!(out, "WRONG {line}")?;
    }
    let most = |value: usize| json!({"value": value, "limit": 0, "ok": value == 0});
    let all = random + matrix;
    let enough = all >= STREAMS_MIN || count != RANDOM;
    let ok = wrong.is_empty() && told.wrong.is_empty() && enough;
    let result = json!({
        "name": "streams", "ok": ok,
        "promises": {
            "random-wrong": most(wrong.len()),
            "gateway-wrong": most(told.wrong.len()),
            "streams": {"value": all, "limit": STREAMS_MIN, "ok": enough},
        },
        "goals": {},
        "conditions": {
            "random": by_kind, "gateway": told.streams, "first-seed": first, "stall-ms": STALL_MS,
            "random-s": random_s, "gateway-s": matrix_s,
        },
    });
    writeln!(out, "{result}")?;
    Ok(if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The number after an argument of this name.
fn argument(name: &str) -> anyhow::Result<Option<u64>> {
    let mut arguments = std::env::args()
        .skip_while(|argument| argument != name)
        .skip(1);
    let number = arguments.next().map(|number| number.parse());
    number
        .transpose()
        .with_context(|| format!("{name} takes a number"))
}

/// Random streams by kind, and what was wrong.
fn random(first: u64, count: u64, threads: u64) -> (BTreeMap<&'static str, usize>, Vec<String>) {
    let of = move |thread| {
        let (mut by_kind, mut wrong) = (BTreeMap::<_, usize>::new(), Vec::new());
        for seed in (first + thread..first + count).step_by(threads as usize) {
            *by_kind.entry(Kind::of(seed).name()).or_default() += 1;
            if let Err(error) = property::run(seed) {
                // What went wrong comes last, behind the stream.
                let why = error.root_cause().to_string();
                wrong.push(format!("{why}: {error:#}"));
            }
        }
        (by_kind, wrong)
    };
    let running: Vec<_> = (0..threads)
        .map(|index| thread::spawn(move || of(index)))
        .collect();
    let (mut by_kind, mut wrong) = (BTreeMap::<_, usize>::new(), Vec::new());
    for thread in running {
        match thread.join() {
            Ok((some, also)) => {
                for (kind, count) in some {
                    *by_kind.entry(kind).or_default() += count;
                }
                wrong.extend(also);
            }
            Err(_) => wrong.push("the engine panicked; its words are above".to_owned()),
        }
    }
    (by_kind, wrong)
}

async fn matrix() -> anyhow::Result<Told> {
    let matrix = Matrix::start().await?;
    let mut told = Told::default();
    for shape in Shape::ALL {
        matrix.shape(shape, 1, &mut told).await?;
    }
    matrix.stalls(STALL_MS, 1, &mut told).await?;
    matrix.decisions(&mut told).await?;
    Ok(told)
}
