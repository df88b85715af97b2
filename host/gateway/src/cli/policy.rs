//! `pointsman policy`: bundles are checked here, and pushed, activated, compared and rolled back on a server.

mod files;
mod push;
mod versions;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{NOT_SOUND, Place, say, say_json};
use crate::bundle;
use crate::node::Settings;

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check a bundle and run its cases, without a server; exit code 3 where it would be refused
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
    /// Push a bundle as a version; says what differs from what serves and whom its activation concerns
    #[command(
        after_help = "Examples:\n  pointsman policy push policies/quickstart\n  pointsman policy push policies/quickstart --no-plugins --json\n\nNothing that serves changes. The plugins of this machine that the policy needs and the server lacks are pushed first.\nThe same content again is the same version. Exit code 3 where the bundle is refused."
    )]
    Push(push::Push),
    /// Make a version serve; the first request after the answer obeys it
    #[command(
        after_help = "Examples:\n  pointsman policy activate quickstart\n  pointsman policy activate quickstart 4 --expect 3"
    )]
    Activate {
        /// The policy
        name: String,
        /// Its version [default: the newest]
        version: Option<u64>,
        #[command(flatten)]
        expect: Expect,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Make the version before serve again, or a named one
    #[command(
        after_help = "Examples:\n  pointsman policy rollback quickstart\n  pointsman policy rollback quickstart --to 2 --expect 4 --json"
    )]
    Rollback {
        /// The policy
        name: String,
        /// The version to go back to [default: the one that served before]
        #[arg(long, value_name = "VERSION")]
        to: Option<u64>,
        #[command(flatten)]
        expect: Expect,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// What differs between two versions
    #[command(after_help = "Example:\n  pointsman policy diff quickstart 3 4")]
    Diff {
        /// The policy
        name: String,
        /// The older version
        from: u64,
        /// The newer version
        to: u64,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// List policies, and what serves
    List {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// One policy: its versions, whom it serves, how its targets are
    #[command(after_help = "Example:\n  pointsman policy status quickstart")]
    Status {
        /// The policy
        name: String,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// One version: its policy.toml, or all its files into a folder
    #[command(
        after_help = "Examples:\n  pointsman policy show quickstart 3\n  pointsman policy show quickstart 3 --out /tmp/quickstart-3"
    )]
    Show {
        /// The policy
        name: String,
        /// Its version
        version: u64,
        /// A new folder for all its files
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of policy.toml
    Schema,
}

/// Only on what the caller knows.
#[derive(Args)]
pub(crate) struct Expect {
    /// The version that must still serve, 0 for none; exit code 4 where another does
    #[arg(long = "expect", value_name = "VERSION")]
    expected: Option<u64>,
}

pub(crate) fn run(place: &Place, command: PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Schema => {
            say(serde_json::to_string_pretty(
                &pointsman_policy::policy::schema(),
            )?);
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::Check { bundle, json, lock } => check(place, &bundle, json, lock),
        PolicyCommand::Push(push) => push.run(place),
        PolicyCommand::Activate {
            name,
            version,
            expect,
            json,
        } => versions::activate(place, &name, version, &expect, json),
        PolicyCommand::Rollback {
            name,
            to,
            expect,
            json,
        } => versions::rollback(place, &name, to, &expect, json),
        PolicyCommand::Diff {
            name,
            from,
            to,
            json,
        } => versions::diff(place, &name, from, to, json),
        PolicyCommand::List { json } => versions::list(place, json),
        PolicyCommand::Status { name, json } => versions::status(place, &name, json),
        PolicyCommand::Show {
            name,
            version,
            out,
            json,
        } => versions::show(place, &name, version, out.as_deref(), json),
    }
}

fn check(
    place: &Place,
    folder: &std::path::Path,
    json: bool,
    lock: bool,
) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let checked = bundle::check(&settings, folder, lock)?;
    if json {
        say_json(&checked)?;
    } else {
        say(&checked);
    }
    Ok(if checked.sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_SOUND)
    })
}
