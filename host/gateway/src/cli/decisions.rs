//! `pointsman why`, `decisions` and `audit`: the decision log read from the state folder, gateway up or down.

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use pointsman_domain::decision::Record;

use super::{Place, say, story};
use crate::decisions;
use crate::node::Settings;

#[derive(Subcommand)]
pub(crate) enum DecisionsCommand {
    /// Newest first, a line each
    #[command(after_help = "Examples:\n  pointsman decisions list\n  pointsman decisions list --tenant demo --outcome denied --limit 5 --json")]
    List {
        #[arg(long)]
        tenant: Option<String>,
        #[arg(long)]
        target: Option<String>,
        /// ok, denied, cut, error or cancelled
        #[arg(long)]
        outcome: Option<String>,
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[arg(long)]
        json: bool,
    },
    /// Follow new decisions until interrupted
    Tail {
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Check every record, link and checksum; exit code 3 where something is wrong
    #[command(after_help = "Examples:\n  pointsman audit verify\n  pointsman audit verify --json")]
    Verify {
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn why(place: &Place, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let pair = decisions::find(&settings.decisions_dir(), id)?;
    if json {
        say(serde_json::json!({ "opened": pair.opened, "closed": pair.closed }));
        return Ok(ExitCode::SUCCESS);
    }
    let Some(opened) = pair.opened else {
        bail!(
            "no decision `{id}` in {}; the id is in the answer's header x-pointsman-request-id, and `pointsman decisions list` shows the newest",
            settings.decisions_dir().display()
        );
    };
    say(story::tell(&opened, pair.closed.as_deref()).trim_end());
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn run(place: &Place, command: DecisionsCommand) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let folder = settings.decisions_dir();
    match command {
        DecisionsCommand::List { tenant, target, outcome, limit, json } => {
            let wanted = decisions::Filter { tenant, target, outcome, since_ms: None };
            for pair in decisions::list(&folder, &wanted, limit)? {
                show(&pair, json);
            }
        }
        DecisionsCommand::Tail { json } => {
            let mut tail = pointsman_audit::Tail::new(&folder)?;
            let mut open = std::collections::HashMap::new();
            loop {
                for record in tail.poll()? {
                    match record {
                        Record::Opened(opened) => {
                            open.insert(opened.id.clone(), opened);
                        }
                        Record::Closed(closed) => {
                            let opened = open.remove(&closed.id);
                            show(&decisions::Pair { opened, closed: Some(closed) }, json);
                        }
                        Record::Started { .. } | Record::Truncated { .. } => {}
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(pair: &decisions::Pair, json: bool) {
    if json {
        say(serde_json::json!({ "opened": pair.opened, "closed": pair.closed }));
        return;
    }
    let Some(opened) = &pair.opened else { return };
    let Some(closed) = &pair.closed else {
        say(format!("{}  {:<10} {:<16} open", opened.id, opened.tenant, opened.model));
        return;
    };
    let outcome = decisions::outcome_name(closed.outcome);
    let target = closed.target.as_deref().unwrap_or("-");
    say(format!(
        "{}  {:<10} {:<16} {outcome:<9} {} {target:<12} {} ms  ${}{}",
        opened.id,
        opened.tenant,
        opened.model,
        closed.status,
        closed.total_us / 1000,
        closed.cost_pico_usd.to_usd_string(),
        if closed.unpriced { " + unpriced" } else { "" },
    ));
}

pub(crate) fn audit(place: &Place, command: AuditCommand) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let AuditCommand::Verify { json } = command;
    let report = pointsman_audit::verify(&settings.decisions_dir())?;
    let sound = report.problem.is_none();
    if json {
        say(serde_json::json!({
            "ok": sound, "records": report.records, "chains": report.chains,
            "problem": report.problem.as_ref().map(ToString::to_string),
        }));
    } else if let Some(problem) = &report.problem {
        say(format!("NOT SOUND: {problem}"));
    } else {
        say(format!("sound: {} records in {} chains, every checksum and link holds", report.records, report.chains));
    }
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::from(3) })
}
