//! What the checkout ships and what a running gateway serves: plugins and policies that changed are pushed and made to
//! serve, as far as nobody chose another version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::Cli;
use crate::build::shown;
use crate::place::{root, state, write};
use crate::step::say;

/// The versions that `up` made serve, by policy.
const RECORD: &str = "run/versions.json";
/// What the first start of a state folder imports.
const FIRST: u64 = 1;

/// Pushes all plugins, then every policy that is there and has a folder.
pub(super) fn all(cli: &Cli<'_>) -> anyhow::Result<()> {
    plugins(cli)?;
    let policies = json(&cli.run(&["policy", "list", "--json"])?)?;
    let mut record = record();
    for policy in policies.as_array().into_iter().flatten() {
        let name = policy["name"].as_str().unwrap_or_default();
        let folder = folder(name);
        if folder.join("policy.toml").is_file() {
            // The gateway serves what it has; a bundle that its owner is at work on must not stop it.
            if let Err(error) = one(cli, name, &folder, &mut record) {
                say(&format!(
                    "   policies/{name} is not taken, what serves goes on: {error:#}"
                ));
            }
        }
    }
    let text = serde_json::to_string(&record).context("versions are JSON")?;
    write(&state(RECORD), &text, 0o644)
}

/// Copies are made where the engine is not at its usual place.
pub(super) fn folder(name: &str) -> PathBuf {
    let copied = state("policies").join(name);
    if copied.is_dir() {
        return copied;
    }
    root().join("policies").join(name)
}

fn plugins(cli: &Cli<'_>) -> anyhow::Result<()> {
    let folder = state("plugins");
    let unread = || format!("cannot read {}", folder.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(unread)? {
        let path = entry.with_context(unread)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            files.push(path.display().to_string());
        }
    }
    files.sort_unstable();
    let mut arguments = vec!["plugin", "push", "--json"];
    arguments.extend(files.iter().map(String::as_str));
    for line in cli.run(&arguments)?.lines() {
        let plugin = json(line)?;
        if plugin["new"] == true {
            say(&format!(
                "   pushed plugin {}@{}",
                plugin["name"].as_str().unwrap_or_default(),
                plugin["version"].as_str().unwrap_or_default()
            ));
        }
    }
    Ok(())
}

fn one(
    cli: &Cli<'_>,
    name: &str,
    folder: &Path,
    record: &mut BTreeMap<String, u64>,
) -> anyhow::Result<()> {
    let told = cli.run(&["policy", "push", &folder.display().to_string(), "--json"])?;
    let pushed = json(&told)?;
    let version = pushed["version"]
        .as_u64()
        .context("`pointsman policy push --json` told no version")?;
    match judge(
        version,
        pushed["active"].as_u64(),
        record.get(name).copied(),
    ) {
        Verdict::Serves => {}
        Verdict::Activate => {
            cli.run(&["policy", "activate", name, &version.to_string()])?;
            say(&format!(
                "   {} changed: {name} version {version} serves",
                shown(folder)
            ));
        }
        Verdict::Leave(active) => {
            say(&format!(
                "   {name} version {active} serves, which was activated by hand; {} is version {version}: `cargo run -q --bin pointsman -- policy activate {name} {version}`",
                shown(folder)
            ));
            return Ok(());
        }
    }
    record.insert(name.to_owned(), version);
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Serves,
    Activate,
    /// Somebody chose what serves.
    Leave(u64),
}

/// `ours`: what `up` last made serve.
fn judge(version: u64, active: Option<u64>, ours: Option<u64>) -> Verdict {
    match active {
        Some(active) if active == version => Verdict::Serves,
        Some(active) if active != ours.unwrap_or(FIRST) => Verdict::Leave(active),
        _ => Verdict::Activate,
    }
}

fn record() -> BTreeMap<String, u64> {
    let text = std::fs::read(state(RECORD)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn json(text: &str) -> anyhow::Result<Value> {
    serde_json::from_str(text).context("`pointsman … --json` told no JSON")
}

#[cfg(test)]
mod tests {
    use super::{Verdict, judge};

    #[test]
    fn what_somebody_activated_is_left_alone() {
        assert_eq!(judge(2, Some(2), None), Verdict::Serves);
        assert_eq!(judge(2, Some(1), None), Verdict::Activate);
        assert_eq!(judge(2, None, None), Verdict::Activate);
        assert_eq!(judge(5, Some(3), Some(3)), Verdict::Activate);
        assert_eq!(judge(5, Some(4), Some(3)), Verdict::Leave(4));
        assert_eq!(judge(3, Some(2), None), Verdict::Leave(2));
    }
}
