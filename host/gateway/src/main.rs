//! Pointsman: a programmable control plane for AI requests. This binary is the data plane and its command line.

mod answers;
mod aside;
mod background;
mod bundle;
mod chains;
mod cli;
mod decisions;
mod ids;
mod limits;
mod meters;
mod node;
mod pipeline;
mod plane;
mod publish;
mod reply;
mod serve;
mod snapshot;
mod tenants;
mod traces;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
