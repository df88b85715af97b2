//! Pointsman: a programmable control plane for AI requests. This binary is the data plane and its command line.

mod background;
mod bundle;
mod cli;
mod decisions;
mod limits;
mod node;
mod pipeline;
mod reply;
mod serve;
mod snapshot;
mod tenants;
mod versions;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
