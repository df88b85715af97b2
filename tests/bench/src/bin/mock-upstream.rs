//! `mock-upstream`: a provider that costs next to nothing, for load.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use pointsman_bench::upstream::{Pace, serve};

/// A provider of the OpenAI and Anthropic dialects that costs next to nothing; single-threaded, so that it can be
/// pinned to a core.
#[derive(Parser)]
#[command(
    name = "mock-upstream",
    version,
    after_help = "Settings can be changed while it runs: GET /ctl?chunks=32&chunk_us=20000&initial_us=0\nGET /stats tells how many requests it has answered."
)]
struct Arguments {
    /// Where to listen, on loopback; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Written when ready: JSON {"url": "http://..."}
    #[arg(long, value_name = "FILE")]
    ready_file: Option<std::path::PathBuf>,
    /// Content chunks of a stream
    #[arg(long, default_value_t = 32)]
    chunks: u64,
    /// Microseconds between chunks; 0: none, but each is still written on its own
    #[arg(long, default_value_t = 0)]
    chunk_us: u64,
    /// Microseconds before an answer
    #[arg(long, default_value_t = 0)]
    initial_us: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(
        arguments.listen.ip().is_loopback(),
        "--listen must be on loopback"
    );
    let pace = Arc::new(Pace::new(
        arguments.chunks,
        arguments.chunk_us,
        arguments.initial_us,
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(arguments.listen)
            .await
            .context("cannot listen")?;
        let url = format!("http://{}", listener.local_addr().context("no address")?);
        if let Some(path) = &arguments.ready_file {
            let word = serde_json::json!({ "url": url }).to_string();
            std::fs::write(path, word)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        serve(listener, pace).await;
        Ok(())
    })
}
