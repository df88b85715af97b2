//! `pointsman-engine`: an OpenAI-compatible server for a local model, in its own process.
//!
//! Reading order: [`serve`] (listen, load, accept, drain), [`chat`] (one request), [`engine`] (the thread that runs
//! the model for all of them). [`measure`] holds the subcommands that measure instead of serving.
//! Promises: what is not built is answered with 400 `unsupported`, never accepted and ignored.

mod chat;
mod engine;
mod error;
mod limits;
mod measure;
mod metrics;
mod options;
mod request;
mod serve;

use clap::Parser as _;
use options::{Options, Task};
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    // Logs go to stderr: stdout carries the one line that says the engine is ready.
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("POINTSMAN_LOG").unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .init();
    match &options.task {
        None => serve::run(&options),
        Some(Task::Kl { reference, json }) => measure::kl(&options, reference, *json),
        Some(Task::Speed {
            prompt_tokens,
            answer_tokens,
            json,
        }) => measure::speed(&options, *prompt_tokens, *answer_tokens, *json),
    }
}
