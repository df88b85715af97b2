//! The command line. Every command has `--json` where it prints data, examples in `--help`, and errors that say what
//! to do next. Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the checked thing is not sound, 4 changed meanwhile.

mod backend;
mod bounds;
mod client;
mod components;
mod decisions;
mod doctor;
mod failure;
mod keys;
mod plugin;
mod policy;
mod state;
pub(crate) mod story;
mod tenants;
mod train;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use pointsman_domain::control::Period;
use pointsman_traffic::window::{DAY_MS, Window};
use serde::Serialize;

use failure::finding;

/// What was checked is not sound, or what was pushed is refused.
const NOT_SOUND: u8 = 3;
/// What is to be changed is not what the caller expects.
const CHANGED: u8 = 4;

/// Pointsman decides, for every AI request, where it may go, what it may say and what it costs, and writes down why.
#[derive(Parser)]
#[command(
    name = "pointsman",
    version,
    arg_required_else_help = true,
    after_help = "Examples:\n  pointsman doctor\n  pointsman policy push policies/quickstart\n  pointsman policy activate quickstart\n  pointsman why 0193a0c2\n  pointsman plugin new my-router --lang rust\n\nThe server is --control, else POINTSMAN_CONTROL_URL, else what client.json of the state folder says, else control.listen of the configuration.\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 not sound or refused, 4 changed meanwhile by somebody else."
)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Where the static configuration and the server are.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// The static configuration; without one, every key has its default
    #[arg(long, global = true, env = "POINTSMAN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The server's control API: http://127.0.0.1:8081
    #[arg(long, global = true, env = "POINTSMAN_CONTROL_URL", value_name = "URL")]
    control: Option<String>,
    /// Its admin token; on this machine it is found
    #[arg(
        long,
        global = true,
        env = "POINTSMAN_ADMIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    token: Option<String>,
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
    /// Make, build, test, inspect and push plugins
    #[command(subcommand)]
    Plugin(plugin::PluginCommand),
    /// Check, push, activate, compare and roll back policies
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Tenants: whose policy applies, limits, budgets
    #[command(subcommand)]
    Tenant(tenants::TenantCommand),
    /// Virtual keys
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
    /// The price catalogue
    #[command(subcommand)]
    Prices(state::PricesCommand),
    /// What tenants and keys spent, reserved and have left, by budget window
    #[command(
        visible_alias = "cost",
        after_help = "Examples:\n  pointsman usage\n  pointsman usage --tenant demo --json"
    )]
    Usage {
        /// Of this tenant alone
        #[arg(long)]
        tenant: Option<String>,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// The control audit: who changed what, and when, oldest first
    #[command(
        after_help = "Examples:\n  pointsman changes\n  pointsman changes --after 120 --limit 20 --json"
    )]
    Changes {
        /// Only what came after this sequence
        #[arg(long, value_name = "SEQUENCE", default_value_t = 0)]
        after: u64,
        /// So many at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Write a consistent copy of the control state into a new file
    #[command(after_help = "Example:\n  pointsman backup control.tar")]
    Backup {
        /// A new file
        file: PathBuf,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Restore a backup into a new state folder; no server is asked
    #[command(after_help = "Example:\n  pointsman restore control.tar --state .pointsman-restored")]
    Restore {
        /// What `pointsman backup` wrote
        file: PathBuf,
        /// The state folder, whose control state must not be there yet
        #[arg(long, value_name = "FOLDER")]
        state: PathBuf,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Look at all that a node needs, and say what to do; exit code 3 where something does not work
    #[command(after_help = "Examples:\n  pointsman doctor\n  pointsman doctor --json")]
    Doctor {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Train the models of learned plugins from labelled rows
    #[command(subcommand)]
    Train(train::TrainCommand),
    /// Print completions for a shell
    #[command(
        after_help = "Examples:\n  pointsman completions bash > ~/.local/share/bash-completion/completions/pointsman\n  pointsman completions zsh > ~/.zfunc/_pointsman\n  pointsman completions fish > ~/.config/fish/completions/pointsman.fish"
    )]
    Completions {
        /// Which one
        shell: clap_complete::Shell,
    },
}

pub(crate) fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => failure::told(&error),
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let place = cli.place;
    match cli.command {
        Command::Serve { ready_file } => {
            crate::serve::serve(place.file().as_deref(), ready_file.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Plugin(command) => plugin::run(&place, command),
        Command::Policy(command) => policy::run(&place, command),
        Command::Tenant(command) => tenants::run(&place, command),
        Command::Key(command) => keys::run(&place, command),
        Command::Decisions(command) => decisions::run(&place, command),
        Command::Why { id, json } => decisions::why(&place, &id, json),
        Command::Audit(command) => decisions::audit(&place, command),
        Command::Prices(command) => state::prices(&place, command),
        Command::Usage { tenant, json } => state::usage(&place, tenant.as_deref(), json),
        Command::Changes { after, limit, json } => {
            state::changes(&place, after, limit.into(), json)
        }
        Command::Backup { file, json } => state::backup(&place, &file, json),
        Command::Restore { file, state, json } => state::restore(&file, &state, json),
        Command::Doctor { json } => doctor::run(&place, json),
        Command::Train(command) => train::run(command),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "pointsman", &mut out);
            say(String::from_utf8_lossy(&out).trim_end());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints to stdout; a closed pipe is no error.
pub(crate) fn say(text: impl std::fmt::Display) {
    let mut stdout = std::io::stdout().lock();
    let _reader_may_have_left = writeln!(stdout, "{text}");
}

/// One JSON value as a line.
pub(crate) fn say_json(value: &impl Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string(value)?);
    Ok(())
}

/// To standard error, so that standard output stays what was asked for.
pub(crate) fn warn(text: &str) {
    let _nowhere_left_to_tell = writeln!(std::io::stderr().lock(), "{text}");
}

/// Reads a time as the decisions' queries do.
fn time(text: &str) -> Result<u64, String> {
    pointsman_control::time(text, crate::pipeline::epoch_ms()).ok_or_else(|| {
        "give a span back from now, as in 90s, 15m, 2h or 7d, or milliseconds since the epoch"
            .to_owned()
    })
}

/// Milliseconds since the epoch as `2026-11-24 21:43:56Z`.
pub(crate) fn utc(ms: u64) -> String {
    let day = Window::at(Period::Day, ms).to_string();
    let seconds = ms % DAY_MS / 1000;
    let (hour, minute) = (seconds / 3600, seconds / 60 % 60);
    format!(
        "{} {hour:02}:{minute:02}:{:02}Z",
        day.trim_start_matches("day/"),
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(super::utc(0), "1970-01-01 00:00:00Z");
        assert_eq!(super::utc(1_795_556_636_999), "2026-11-24 21:43:56Z");
    }
}
