//! `cargo xtask`: house chores, from a clean clone on. Every step says what it does and how long it took; every error
//! says what to do next.

mod apt;
mod build;
mod check;
mod measure;
mod model;
mod place;
mod python;
mod server;
mod step;
mod suite;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Where the data of measurements is, where nothing else is said and the folder exists.
const DATA_DEFAULT: &str = "../shared/data";

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    arg_required_else_help = true
)]
/// House chores of Pointsman
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build all, fetch the model, start engine and gateway, make a tenant and a key
    #[command(
        after_help = "Examples:\n  cargo xtask up\n  cargo xtask up --detach --json\n  cargo xtask up --port-base 9100"
    )]
    Up(up::UpOptions),
    /// Stop what `up` started; requests in flight may end
    Down,
    /// Fetch the small model into .pointsman/models
    Model,
    /// Build the plugins into .pointsman/plugins, and the misbehaving one into target/guests
    Plugins,
    /// Set up and run every test
    #[command(
        after_help = "Examples:\n  cargo xtask test\n  cargo xtask test stream\n  cargo xtask test -p pointsman-e2e sdk"
    )]
    Test {
        /// Arguments of nextest (or of cargo test): names to filter by, -p PACKAGE, …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure speed; goals are reported, they decide nothing
    Bench(MeasureOptions),
    /// Prove promises; the exit code tells whether they hold
    Prove(MeasureOptions),
    /// What CI checks besides the tests: format, lints, purity, documentation
    Check,
}

/// What `bench` and `prove` take.
#[derive(Args, Clone, Debug)]
struct MeasureOptions {
    /// Which one; without a name they are listed
    name: Option<String>,
    /// Print only the last line: one JSON object
    #[arg(long)]
    json: bool,
    /// A folder of data to run on [default: the shared data, where it is there]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// A folder of recorded exchanges to run on [default: tests/wire/recorded]
    #[arg(long, value_name = "FOLDER")]
    recordings: Option<PathBuf>,
    /// Further arguments of the measurement
    #[arg(last = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            step::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Up(options) => up::up(&options),
        Task::Down => server::down(),
        Task::Model => model::fetch().map(|_| ExitCode::SUCCESS),
        Task::Plugins => {
            build::plugins()?;
            build::guests()?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Test { arguments } => suite::run(&arguments),
        Task::Bench(options) => measure::run(measure::Kind::Bench, &options),
        Task::Prove(options) => measure::run(measure::Kind::Prove, &options),
        Task::Check => check::all(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
