//! The command line. Every command has `--json` where it prints data, examples in `--help`, and errors that say what
//! to do next. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the checked thing is not sound.

mod decisions;
mod keys;
mod plugin;
mod policy;
pub(crate) mod story;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Pointsman decides, for every AI request, where it may go, what it may say and what it costs, and writes down why.
#[derive(Parser)]
#[command(
    name = "pointsman",
    version,
    arg_required_else_help = true,
    after_help = "Examples:\n  pointsman serve --config .pointsman/pointsman.toml\n  pointsman why 0193a0c2\n  pointsman policy check policies/quickstart\n  pointsman plugin new my-router --lang rust"
)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where the static configuration is.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// The static configuration; without one, every key has its default
    #[arg(long, global = true, env = "POINTSMAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    /// The named file, else the one that `cargo xtask up` writes, else none.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let usual = PathBuf::from(".pointsman/pointsman.toml");
        self.config
            .clone()
            .or_else(|| usual.is_file().then_some(usual))
    }
}

#[derive(Subcommand)]
enum Command {
    /// Serve the data plane and the control listener until a signal, then drain
    #[command(
        after_help = "Examples:\n  pointsman serve\n  pointsman serve --config pointsman.toml --ready-file /run/pointsman.ready"
    )]
    Serve {
        /// Written with the real addresses as JSON when ready
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
    },
    /// Make, build, test and inspect plugins
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Check policy bundles
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Tenants of this node
    #[command(subcommand)]
    Tenant(keys::TenantCommand),
    /// Virtual keys of this node
    #[command(subcommand)]
    Key(keys::KeyCommand),
    /// List and follow decisions
    #[command(subcommand)]
    Decisions(decisions::DecisionsCommand),
    /// Tell why one request went where it went, and what it cost
    #[command(
        after_help = "Examples:\n  pointsman why 0193a0c2-77aa-7000-8000-000000000000\n  pointsman why 0193a0c2 --json\n\nThe id is in the answer's header x-pointsman-request-id; a unique beginning is enough."
    )]
    Why {
        /// Request id, or the beginning of one
        id: String,
        /// Both records as JSON
        #[arg(long)]
        json: bool,
    },
    /// Verify the decision log
    #[command(subcommand)]
    Audit(decisions::AuditCommand),
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            let _nowhere_left_to_tell = writeln!(stderr, "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let place = cli.place;
    match cli.command {
        Command::Serve { ready_file } => {
            let node = crate::node::Node::open(place.file().as_deref())?;
            crate::serve::run(node, ready_file.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Plugin(command) => plugin::run(command),
        Command::Policy(command) => policy::run(&place, command),
        Command::Tenant(command) => keys::tenant(&place, command),
        Command::Key(command) => keys::key(&place, command),
        Command::Decisions(command) => decisions::run(&place, command),
        Command::Why { id, json } => decisions::why(&place, &id, json),
        Command::Audit(command) => decisions::audit(&place, command),
    }
}

/// Prints to stdout; a closed pipe is no error.
pub(crate) fn say(text: impl std::fmt::Display) {
    let mut stdout = std::io::stdout().lock();
    let _reader_may_have_left = writeln!(stdout, "{text}");
}
