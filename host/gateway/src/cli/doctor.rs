//! `pointsman doctor`: looks at all that a node needs and says what to do about what is wrong.
//!
//! Promises: changes nothing, tells no secret, asks nobody outside but the targets of the policies, and those only
//! whether they take a connection.

mod certificate;
mod node;
mod server;

use std::process::ExitCode;

use serde::Serialize;

use super::{NOT_SOUND, Place, say, say_json};
use crate::node::Settings;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Ok,
    /// Works, but not as it should.
    Warn,
    /// Does not work.
    Fail,
}

/// What was looked at, and what was seen.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Check {
    check: &'static str,
    level: Level,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Everything that was looked at, in order.
#[derive(Debug, Default)]
struct Report(Vec<Check>);

impl Report {
    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, Level::Ok, detail, None);
    }

    fn warn(&mut self, check: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        self.add(check, Level::Warn, detail, Some(next.into()));
    }

    fn fail(&mut self, check: &'static str, detail: impl Into<String>, next: impl Into<String>) {
        self.add(check, Level::Fail, detail, Some(next.into()));
    }

    fn add(
        &mut self,
        check: &'static str,
        level: Level,
        detail: impl Into<String>,
        next: Option<String>,
    ) {
        self.0.push(Check {
            check,
            level,
            detail: detail.into(),
            next,
        });
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|check| check.level == level).count()
    }
}

pub(crate) fn run(place: &Place, json: bool) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let file = place.file();
    let settings = Settings::load(file.as_deref());
    match &settings {
        Ok(settings) => {
            let name = file.map_or_else(
                || "no file; every key has its default".to_owned(),
                |file| file.display().to_string(),
            );
            report.ok("config", name);
            node::state(&mut report, settings);
            node::secrets(&mut report, settings);
            node::named_secrets(&mut report, settings);
            node::plugins(&mut report, settings);
            certificate::all(&mut report, settings);
            let runs = server::server(&mut report, place, settings);
            node::ports(&mut report, settings, runs);
        }
        Err(error) => report.fail(
            "config",
            format!("{error:#}"),
            "mend what it names; docs/configuration.md lists every key",
        ),
    }
    node::clock(&mut report, settings.as_ref().ok());
    node::limits(&mut report);
    let failed = report.count(Level::Fail);
    if json {
        say_json(&serde_json::json!({ "ok": failed == 0, "checks": report.0 }))?;
    } else {
        show(&report);
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_SOUND)
    })
}

fn show(report: &Report) {
    for check in &report.0 {
        let level = match check.level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        say(format!("{level}  {:<11}  {}", check.check, check.detail));
        if let Some(next) = &check.next {
            say(format!("      {:<11}  -> {next}", ""));
        }
    }
    let (failed, warned) = (report.count(Level::Fail), report.count(Level::Warn));
    say(match (failed, warned) {
        (0, 0) => "all is well".to_owned(),
        (0, warned) => format!("works, with {warned} warnings"),
        (failed, _) => format!("{failed} checks fail; start with the first"),
    });
}
