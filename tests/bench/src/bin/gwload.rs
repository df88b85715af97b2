//! `gwload`: load on a gateway; prints one JSON object.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use pointsman_bench::load::{Load, Mode, run};

const EXAMPLES: &str = "\
Examples:
  gwload closed --addr 127.0.0.1:8080 --conns 32 --secs 8 -H 'authorization: Bearer pm-…' --body body.json
  gwload rate   --addr 127.0.0.1:8080 --rps 200 --conns 16 --body body.json
  gwload stream --addr 127.0.0.1:8080 --conns 50 --body body-stream.json --gap-us 20000
  gwload once   --addr 127.0.0.1:8080 --body body.json --wait-ms 60000";

/// Bounded load for gateways, on loopback only: HTTP/1.1 keep-alive, one request in flight per connection.
#[derive(Parser)]
#[command(name = "gwload", version, after_help = EXAMPLES)]
struct Arguments {
    mode: How,
    /// Whom to load
    #[arg(long)]
    addr: SocketAddr,
    #[arg(long, default_value = "/v1/chat/completions")]
    path: String,
    /// Request header `name: value`; may be given several times
    #[arg(short = 'H', value_name = "HEADER")]
    headers: Vec<String>,
    /// File with the request's body
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    conns: u16,
    /// Seconds that are measured
    #[arg(long, default_value_t = 5.0)]
    secs: f64,
    /// Seconds before, not measured
    #[arg(long, default_value_t = 1.0)]
    warm: f64,
    /// Requests a second, of `rate`
    #[arg(long, default_value_t = 0.0)]
    rps: f64,
    /// How long `once` waits for the first 200
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..=180_000))]
    wait_ms: u64,
    /// The pause between events that the upstream keeps: adds the jitter against it
    #[arg(long, default_value_t = 0.0)]
    gap_us: f64,
}

#[derive(Clone, Copy, ValueEnum)]
enum How {
    /// Each connection asks as fast as it is answered
    Closed,
    /// Open loop: starts that are late count against the latency
    Rate,
    /// SSE: time to the first event, gaps, events a second
    Stream,
    /// Until the first 200; prints when
    Once,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(
        arguments.addr.ip().is_loopback(),
        "--addr must be on loopback"
    );
    anyhow::ensure!(
        arguments.secs + arguments.warm <= 120.0,
        "a run lasts at most 120 s"
    );
    let body = match &arguments.body {
        Some(path) => {
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        None => Vec::new(),
    };
    let mut headers = Vec::new();
    for header in &arguments.headers {
        let (name, value) = header
            .split_once(':')
            .with_context(|| format!("`{header}` is no `name: value`"))?;
        headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
    }
    let mode = match arguments.mode {
        How::Closed => Mode::Closed,
        How::Rate if arguments.rps > 0.0 => Mode::Rate {
            per_s: arguments.rps,
        },
        How::Rate => anyhow::bail!("rate needs --rps"),
        How::Stream => Mode::Stream {
            gap_us: Some(arguments.gap_us).filter(|gap| *gap > 0.0),
        },
        How::Once => Mode::Once {
            wait: Duration::from_millis(arguments.wait_ms),
        },
    };
    let load = Load {
        mode,
        address: arguments.addr,
        path: arguments.path,
        headers,
        body: body.into(),
        connections: arguments.conns.into(),
        measured: Duration::from_secs_f64(arguments.secs),
        warm_up: Duration::from_secs_f64(arguments.warm),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let told = tokio::task::LocalSet::new().block_on(&runtime, run(load))?;
    writeln!(std::io::stdout(), "{told}").context("cannot write to stdout")
}
