//! `pointsman policy check`: a bundle against the installed plugins, its floor, the prices and its own cases.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{Place, say};
use crate::bundle;
use crate::node::Settings;

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a bundle and run its cases; exit code 3 where it would be refused
    #[command(
        after_help = "Examples:\n  pointsman policy check policies/quickstart\n  pointsman policy check policies/quickstart --lock --json"
    )]
    Check {
        /// The bundle's folder, with policy.toml and cases.jsonl
        bundle: PathBuf,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
        /// Write policy.lock: the plugins that it was checked with, by digest
        #[arg(long)]
        lock: bool,
    },
    /// Print the JSON Schema of policy.toml
    Schema,
}

pub(crate) fn run(place: &Place, command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Schema => {
            say(serde_json::to_string_pretty(
                &pointsman_policy::policy::schema(),
            )?);
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Check {
            bundle: folder,
            json,
            lock,
        } => {
            let settings = Settings::load(place.file().as_deref())?;
            let checked = bundle::check(&settings, &folder, lock)?;
            if json {
                say(serde_json::to_string(&checked)?);
            } else {
                say(&checked);
            }
            Ok(if checked.sound() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(3)
            })
        }
    }
}
