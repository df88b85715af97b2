//! `fake-provider`: an OpenAI-compatible provider for tests that says what its script says and counts what it gave.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;
use pointsman_fake_provider::{Options, Provider};

const EXAMPLES: &str = "\
Examples:
  fake-provider
  fake-provider --listen 127.0.0.1:0 --ready-file provider.json --recordings tests/wire/recorded

  curl -X PUT  http://127.0.0.1:9000/_script -d '{\"answers\": [{\"status\": 503}, {\"deltas\": [\"a@\", \"b.io\"]}]}'
  curl         http://127.0.0.1:9000/v1/chat/completions -d '{\"model\": \"m\", \"messages\": []}'
  curl         http://127.0.0.1:9000/_ledger";

/// An OpenAI-compatible provider for tests: scripted answers and faults, replayed recordings, a ledger.
#[derive(Parser)]
#[command(name = "fake-provider", version, after_help = EXAMPLES)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,

    /// Written when ready: JSON {"url": "http://..."}
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,

    /// Folder with index.jsonl, whose exchanges are replayed by id (header x-recording)
    #[arg(long, value_name = "FOLDER")]
    recordings: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let provider = Provider::bind(Options {
            listen: arguments.listen,
            recordings: arguments.recordings,
        })
        .await?;
        announce(&provider.url(), arguments.ready_file.as_deref())?;
        provider.serve().await;
        Ok(())
    })
}

/// One line on stdout and the ready file, in that order: whoever waits for either may connect.
fn announce(url: &str, ready_file: Option<&std::path::Path>) -> anyhow::Result<()> {
    let line = serde_json::json!({ "url": url }).to_string();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("cannot write to stdout")?;
    if let Some(path) = ready_file {
        // By rename, so that no reader sees half of it.
        let part = path.with_extension("part");
        std::fs::write(&part, line)
            .and_then(|()| std::fs::rename(&part, path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
