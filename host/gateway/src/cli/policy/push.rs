//! `pointsman policy push`: a folder becomes a version, and the caller learns what its activation would change.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use pointsman_control::api::{DiffLine, PushedVersion};

use super::versions::line;
use crate::bundle::{Folder, list, pack};
use crate::cli::backend::{Backend, Change};
use crate::cli::{Place, components, say, say_json, warn};
use crate::node::Settings;

#[derive(Args)]
pub(crate) struct Push {
    /// The bundle's folder, with policy.toml, data and cases.jsonl
    folder: PathBuf,
    /// Leave the plugins of this machine alone: the server has what the policy needs
    #[arg(long)]
    no_plugins: bool,
    /// Print JSON, a line each
    #[arg(long)]
    json: bool,
}

impl Push {
    pub(crate) fn run(&self, place: &Place) -> anyhow::Result<ExitCode> {
        let settings = Settings::load(place.file().as_deref())?;
        let folder = Folder::read(&self.folder)?;
        let policy = folder.policy;
        let bundle = pack(&list(&self.folder)?);
        let backend = Backend::open(place)?;
        let plugins = if self.no_plugins {
            Vec::new()
        } else {
            components::push_needed(&backend, &settings, &policy)?
        };
        let change = backend.push_version(&policy.name, bundle, None)?;
        for finding in &change.value.findings {
            warn(&crate::cli::finding(finding));
        }
        if self.json {
            let mut told = serde_json::to_value(&change.value)?;
            told["policy"] = policy.name.into();
            told["new"] = change.made.into();
            told["plugins"] = serde_json::to_value(&plugins)?;
            say_json(&told)?;
            return Ok(ExitCode::SUCCESS);
        }
        for plugin in &plugins {
            say(format!(
                "pushed plugin {}@{} ({})",
                plugin.name, plugin.version, plugin.digest
            ));
        }
        say(story(&policy.name, &change, backend.note()));
        Ok(ExitCode::SUCCESS)
    }
}

/// What was pushed, how it differs, whom it would concern, and what to do.
fn story(name: &str, change: &Change<PushedVersion>, note: &str) -> String {
    let pushed = &change.value;
    let number = pushed.version;
    let how = if change.made {
        "pushed"
    } else {
        "was pushed before: the content is the same"
    };
    let mut lines = vec![format!(
        "{name} version {number} {how} ({}){note}",
        pushed.digest
    )];
    match pushed.active {
        Some(active) if active == number => {
            lines.push("it serves already; there is nothing to activate".to_owned());
            return lines.join("\n");
        }
        Some(active) if pushed.changes.is_empty() => {
            lines.push(format!("it decides as version {active} does, which serves"));
        }
        Some(active) => {
            lines.push(format!("against version {active}, which serves:"));
            lines.extend(pushed.changes.iter().map(line));
        }
        None => lines.push("no version of this policy serves yet".to_owned()),
    }
    lines.push(consequences(pushed));
    lines.push(format!("next: pointsman policy activate {name} {number}"));
    lines.join("\n")
}

fn consequences(pushed: &PushedVersion) -> String {
    let tenants = match pushed.tenants.as_slice() {
        [] => return "no tenant uses this policy yet, so its activation changes no request; give it one: pointsman tenant set TENANT --policy NAME".to_owned(),
        [one] => format!("of tenant {one}"),
        some => format!("of {} tenants ({})", some.len(), few(some)),
    };
    let mut text = format!("when it is activated, the next request {tenants} obeys it");
    for (kind, word) in [("step", "steps"), ("target", "targets")] {
        let named = named(&pushed.changes, kind);
        if !named.is_empty() {
            text.push_str(&format!("; {word} concerned: {}", named.join(", ")));
        }
    }
    text.push_str("; requests under way end on the version that they began with");
    text
}

/// The first ten.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

/// The things of a kind that differ, each once: `step pii-in.config` is step `pii-in`.
fn named(changes: &[DiffLine], kind: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    changes
        .iter()
        .filter_map(|change| change.what.strip_prefix(kind)?.strip_prefix(' '))
        .map(|name| {
            name.split([' ', '.', ':'])
                .next()
                .unwrap_or(name)
                .to_owned()
        })
        .filter(|name| seen.insert(name.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(what: &str, how: &str, from: Option<&str>, to: Option<&str>) -> DiffLine {
        DiffLine {
            what: what.to_owned(),
            how: how.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        }
    }

    fn pushed(active: Option<u64>, changes: Vec<DiffLine>) -> Change<PushedVersion> {
        let value = serde_json::json!({
            "version": 4, "digest": format!("sha256:{}", "a7".repeat(32)), "findings": [], "active": active,
            "changes": changes, "tenants": ["demo", "team-a"], "etag": "3",
        });
        Change {
            made: true,
            value: serde_json::from_value(value).expect("a pushed version"),
        }
    }

    #[test]
    fn a_push_says_what_would_change_for_whom_and_how() {
        let changes = vec![
            change("step pii-out", "added", None, Some("guard-pii@0.1")),
            change("step pii-out.config", "changed", Some("a"), Some("b")),
            change("target cloud.model", "changed", Some("small"), Some("big")),
        ];
        let told = story("quickstart", &pushed(Some(3), changes), "");
        for part in [
            "quickstart version 4 pushed",
            "against version 3, which serves",
            "+ step pii-out: guard-pii@0.1",
            "~ target cloud.model: small -> big",
            "of 2 tenants (demo, team-a) obeys it",
            "steps concerned: pii-out;",
            "targets concerned: cloud;",
            "next: pointsman policy activate quickstart 4",
        ] {
            assert!(told.contains(part), "`{part}` is missing:\n{told}");
        }
    }

    #[test]
    fn what_serves_already_needs_no_activation() {
        let told = story("quickstart", &pushed(Some(4), Vec::new()), "");
        assert!(
            told.contains("serves already") && !told.contains("next:"),
            "{told}"
        );
    }
}
