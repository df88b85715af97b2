//! `pointsman why`, `decisions` and `audit`: the decision log read from the state folder, gateway up or down.

mod content;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Subcommand;
use pointsman_audit::AuditError;
use pointsman_control::{Decision, Wanted};
use pointsman_domain::decision::Outcome;

use super::{Place, say, story};
use crate::decisions;
use crate::node::Settings;

/// How often `tail` looks for new records.
const TAIL_POLL: Duration = Duration::from_millis(200);

#[derive(Subcommand)]
pub(crate) enum DecisionsCommand {
    /// Newest first, a line each
    #[command(
        after_help = "Examples:\n  pointsman decisions list\n  pointsman decisions list --tenant demo --outcome denied --limit 5 --json"
    )]
    List {
        /// Of this tenant alone
        #[arg(long)]
        tenant: Option<String>,
        /// Answered by this target alone
        #[arg(long)]
        target: Option<String>,
        /// ok, denied, cut, error or cancelled
        #[arg(long, value_parser = decisions::outcome)]
        outcome: Option<Outcome>,
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// What was asked, where its policy captured it: headers that steps see, and the body
    #[command(
        after_help = "Examples:\n  pointsman decisions content 0193a0c2\n  pointsman decisions content 0193a0c2 --json\n\nIt is checked against the commitment in the record. Exit code 3 where it is damaged."
    )]
    Content {
        /// Request id, or the beginning of one
        id: String,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Follow new decisions until interrupted
    Tail {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Check every record, link and checksum of decisions and control journal; exit code 3 where something is wrong
    #[command(after_help = "Examples:\n  pointsman audit verify\n  pointsman audit verify --json")]
    Verify {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Erase captured content for good; the log still holds, and `audit verify` says so
    #[command(
        after_help = "Examples:\n  pointsman audit erase 0193a0c2-77aa-7000-8000-000000000000\n  pointsman audit erase --tenant demo\n  pointsman audit erase --before 30d --json\n\nThe gateway may run meanwhile. What is given together must hold together."
    )]
    Erase {
        /// Of these requests; a unique beginning of an id is enough
        #[arg(value_name = "ID", required_unless_present_any = ["tenant", "before"])]
        ids: Vec<String>,
        /// Of this tenant
        #[arg(long, value_name = "ID")]
        tenant: Option<String>,
        /// Of requests before then: 90s, 15m, 2h or 7d back, or milliseconds since the epoch
        #[arg(long, value_name = "TIME", value_parser = super::time)]
        before: Option<u64>,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn why(place: &Place, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let decision = decisions::find(&settings.decisions_dir(), id)?;
    let Some(opened) = &decision.opened else {
        bail!(
            "no decision `{id}` in {}; the id is in the answer's header x-pointsman-request-id, and `pointsman decisions list` shows the newest",
            settings.decisions_dir().display()
        );
    };
    if json {
        say(serde_json::to_string(&decision)?);
    } else {
        say(story::tell(opened, decision.closed.as_deref()).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn run(place: &Place, command: DecisionsCommand) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let folder = settings.decisions_dir();
    match command {
        DecisionsCommand::List {
            tenant,
            target,
            outcome,
            limit,
            json,
        } => {
            let wanted = Wanted {
                tenant,
                target,
                outcome,
                since_ms: None,
                limit,
            };
            list(&folder, &wanted, json)?;
        }
        DecisionsCommand::Content { id, json } => return content::show(&settings, &id, json),
        DecisionsCommand::Tail { json } => tail(&folder, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(folder: &Path, wanted: &Wanted, json: bool) -> anyhow::Result<()> {
    let listed = decisions::list(folder, wanted, usize::MAX)?;
    for decision in &listed.decisions {
        show(decision, json)?;
    }
    if listed.damaged > 0 {
        note(&format!(
            "{} lines of the log do not hold and were passed over; `pointsman audit verify` says where",
            listed.damaged
        ));
    }
    Ok(())
}

/// Ends when interrupted, or with an error.
fn tail(folder: &Path, json: bool) -> anyhow::Result<()> {
    let mut follow = decisions::Follow::new(folder, Wanted::default())?;
    loop {
        match follow.look() {
            Ok(ended) => ended.iter().try_for_each(|decision| show(decision, json))?,
            Err(AuditError::Damaged(problem)) => note(&format!("passed over: {problem}")),
            Err(error) => return Err(error.into()),
        }
        std::thread::sleep(TAIL_POLL);
    }
}

/// To standard error, so that standard output stays what was asked for.
fn note(text: &str) {
    let _reader_may_have_left = writeln!(std::io::stderr().lock(), "note: {text}");
}

fn show(decision: &Decision, json: bool) -> anyhow::Result<()> {
    if json {
        say(serde_json::to_string(decision)?);
        return Ok(());
    }
    let (opened, closed) = (decision.opened.as_deref(), decision.closed.as_deref());
    let Some(id) = opened
        .map(|opened| &opened.id)
        .or_else(|| closed.map(|closed| &closed.id))
    else {
        return Ok(());
    };
    let tenant = opened
        .map(|opened| &opened.tenant)
        .or_else(|| closed.map(|closed| &closed.tenant))
        .map_or("-", String::as_str);
    let model = opened.map_or("-", |opened| opened.model.as_str());
    let Some(closed) = closed else {
        say(format!("{id}  {tenant:<10} {model:<16} open"));
        return Ok(());
    };
    let outcome = decisions::outcome_name(closed.outcome);
    let target = closed.target.as_deref().unwrap_or("-");
    say(format!(
        "{id}  {tenant:<10} {model:<16} {outcome:<9} {} {target:<12} {} ms  ${}{}",
        closed.status,
        closed.total_us / 1000,
        closed.cost_pico_usd.to_usd_string(),
        if closed.unpriced { " + unpriced" } else { "" },
    ));
    Ok(())
}

pub(crate) fn audit(place: &Place, command: AuditCommand) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let json = match command {
        AuditCommand::Verify { json } => json,
        AuditCommand::Erase {
            ids,
            tenant,
            before,
            json,
        } => return content::erase(&settings, &ids, tenant.as_deref(), before, json),
    };
    let mut report = pointsman_audit::verify(&settings.decisions_dir())?;
    let control = settings.control_dir();
    if control.is_dir() {
        let journal = pointsman_audit::verify(&control)?;
        report.records += journal.records;
        report.chains += journal.chains;
        report.problem = report.problem.or(journal.problem);
    }
    let sound = report.problem.is_none();
    if json {
        say(serde_json::json!({
            "ok": sound, "records": report.records, "chains": report.chains,
            "problem": report.problem.as_ref().map(ToString::to_string),
        }));
    } else if let Some(problem) = &report.problem {
        say(format!("NOT SOUND: {problem}"));
    } else {
        say(format!(
            "sound: {} records in {} chains, every checksum and link holds",
            report.records, report.chains
        ));
    }
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}
