//! Versions on a server: what serves, what differs, activation and the way back.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use pointsman_control::PlaneError;
use pointsman_control::api::{Activated, DiffLine, PolicyView};

use super::{Expect, files};
use crate::cli::backend::Backend;
use crate::cli::{Place, say, say_json, utc};

/// The entity tag to send, where what the caller expects holds; else that it does not.
fn condition(view: &PolicyView, expect: &Expect) -> anyhow::Result<Option<String>> {
    let Some(expected) = expect.expected else {
        return Ok(None);
    };
    if view.active.unwrap_or(0) == expected {
        return Ok(Some(view.etag.clone()));
    }
    let serves = view.active.map_or_else(
        || "no version".to_owned(),
        |active| format!("version {active}"),
    );
    Err(PlaneError::Precondition {
        what: format!("policy {}, of which {serves} serves,", view.name),
        current: Some(view.etag.clone()),
    }
    .into())
}

pub(super) fn activate(
    place: &Place,
    name: &str,
    version: Option<u64>,
    expect: &Expect,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let backend = Backend::open(place)?;
    let mut tag = None;
    let mut version = version;
    // A call less where nothing needs to be known.
    if version.is_none() || expect.expected.is_some() {
        let view = backend.policy(name)?;
        tag = condition(&view, expect)?;
        version = version.or_else(|| view.versions.last().map(|version| version.number));
    }
    let Some(version) = version else {
        bail!("policy {name} has no version; next: pointsman policy push FOLDER");
    };
    let began = Instant::now();
    let activated = backend.activate(name, version, tag.as_deref())?;
    told(&backend, name, &activated, began, json)
}

pub(super) fn rollback(
    place: &Place,
    name: &str,
    to: Option<u64>,
    expect: &Expect,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let backend = Backend::open(place)?;
    let tag = match expect.expected {
        None => None,
        Some(_) => condition(&backend.policy(name)?, expect)?,
    };
    let began = Instant::now();
    let activated = backend.rollback(name, to, tag.as_deref())?;
    told(&backend, name, &activated, began, json)
}

fn told(
    backend: &Backend,
    name: &str,
    activated: &Activated,
    began: Instant,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let call_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    if json {
        let mut told = serde_json::to_value(activated)?;
        told["policy"] = name.into();
        told["call-us"] = call_us.into();
        say_json(&told)?;
        return Ok(ExitCode::SUCCESS);
    }
    say(story(name, activated, call_us) + backend.note());
    Ok(ExitCode::SUCCESS)
}

fn story(name: &str, activated: &Activated, call_us: u64) -> String {
    let (version, generation) = (activated.version, activated.generation);
    // Nothing was committed: it served before the call.
    let Some(live_us) = activated.commit_to_live_us.filter(|us| *us > 0) else {
        return format!("{name} version {version} serves already (generation {generation})");
    };
    let (before, undo) = match activated.previous {
        Some(previous) => (
            format!("before it version {previous} did"),
            format!("\nundo: pointsman policy rollback {name}"),
        ),
        None => ("none did before".to_owned(), String::new()),
    };
    format!(
        "{name} version {version} serves; {before} (generation {generation}, live {} ms after its commit, whole call {} ms){undo}",
        decimal(live_us),
        decimal(call_us)
    )
}

/// Microseconds as milliseconds with one decimal.
fn decimal(us: u64) -> String {
    format!("{}.{}", us / 1000, us % 1000 / 100)
}

pub(super) fn diff(
    place: &Place,
    name: &str,
    from: u64,
    to: u64,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let diff = Backend::open(place)?.diff(name, from, to)?;
    if json {
        say_json(&diff)?;
    } else if diff.lines.is_empty() {
        say(format!("versions {from} and {to} of {name} decide alike"));
    } else {
        diff.lines.iter().for_each(|change| say(line(change)));
    }
    Ok(ExitCode::SUCCESS)
}

/// One difference as a line.
pub(super) fn line(change: &DiffLine) -> String {
    let sign = match change.how.as_str() {
        "added" => '+',
        "removed" => '-',
        "moved" => '>',
        _ => '~',
    };
    let what = &change.what;
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => format!("  {sign} {what}: {from} -> {to}"),
        (Some(one), None) | (None, Some(one)) => format!("  {sign} {what}: {one}"),
        (None, None) => format!("  {sign} {what}"),
    }
}

pub(super) fn list(place: &Place, json: bool) -> anyhow::Result<ExitCode> {
    let policies = Backend::open(place)?.policies()?;
    if json {
        say_json(&policies)?;
    } else {
        policies.iter().for_each(|policy| say(summary(policy)));
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(policy: &PolicyView) -> String {
    let serves = policy.active.map_or_else(
        || "none serves".to_owned(),
        |active| format!("{active} serves"),
    );
    let floor = if policy.floor { "  floor" } else { "" };
    let broken = policy
        .broken
        .as_ref()
        .map_or_else(String::new, |why| format!("  BROKEN: {why}"));
    let count = policy.versions.len();
    let versions = if count == 1 { "version" } else { "versions" };
    format!(
        "{}  {count} {versions}, {serves}{floor}{broken}",
        policy.name
    )
}

pub(super) fn status(place: &Place, name: &str, json: bool) -> anyhow::Result<ExitCode> {
    let backend = Backend::open(place)?;
    let view = backend.policy(name)?;
    let tenants: Vec<String> = backend
        .tenants()?
        .into_iter()
        .filter(|view| view.tenant.policy == name)
        .map(|view| view.tenant.id)
        .collect();
    let mut targets = backend.targets()?;
    targets.retain(|target| target.policy == name);
    if json {
        let mut told = serde_json::to_value(&view)?;
        told["tenants"] = tenants.into();
        told["targets"] = serde_json::to_value(&targets)?;
        say_json(&told)?;
        return Ok(ExitCode::SUCCESS);
    }
    say(summary(&view));
    for version in &view.versions {
        let mark = if Some(version.number) == view.active {
            "  serves"
        } else if Some(version.number) == view.previous {
            "  rollback goes here"
        } else {
            ""
        };
        let label = version
            .label
            .as_ref()
            .map_or_else(String::new, |label| format!("  {label}"));
        say(format!(
            "  {:>4}  {}  {}{label}{mark}",
            version.number,
            utc(version.pushed_ms),
            version.digest
        ));
    }
    for target in &targets {
        let health = if target.healthy {
            "healthy"
        } else {
            "UNHEALTHY"
        };
        say(format!(
            "  target {}  {} at {}  {health}, {} under way",
            target.name, target.model, target.endpoint, target.in_flight
        ));
    }
    say(if tenants.is_empty() {
        "no tenant uses it".to_owned()
    } else {
        format!("tenants: {}", tenants.join(", "))
    });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn show(
    place: &Place,
    name: &str,
    version: u64,
    out: Option<&Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let view = Backend::open(place)?.version(name, version)?;
    if let Some(out) = out {
        files::write(&view.bundle, out)?;
    }
    if json {
        say_json(&view)?;
    } else if let Some(out) = out {
        say(format!(
            "{} files of {name} version {version} are in {}",
            view.bundle.files.len(),
            out.display()
        ));
    } else {
        say(files::policy_text(&view.bundle)?.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expecting_what_serves_is_a_condition_and_anything_else_is_refused() {
        let view = |active: Option<u64>| PolicyView {
            name: "quickstart".to_owned(),
            floor: false,
            active,
            previous: None,
            etag: "tag".to_owned(),
            broken: None,
            versions: Vec::new(),
        };
        let tag = |active, expected| {
            let expect = Expect { expected };
            condition(&view(active), &expect).ok()
        };
        assert_eq!(tag(Some(3), Some(3)), Some(Some("tag".to_owned())));
        assert_eq!(tag(None, Some(0)), Some(Some("tag".to_owned())));
        assert_eq!(tag(Some(3), None), Some(None));
        assert_eq!(tag(Some(4), Some(3)), None);
        assert_eq!(tag(Some(4), Some(0)), None);
    }

    #[test]
    fn an_activation_tells_how_to_undo_it_and_a_repeated_one_that_nothing_was_done() {
        let activated = |live_us| Activated {
            generation: 9,
            version: 4,
            previous: Some(3),
            etag: "4".to_owned(),
            commit_to_live_us: live_us,
        };
        assert_eq!(
            story("quickstart", &activated(Some(1_200)), 8_040),
            "quickstart version 4 serves; before it version 3 did (generation 9, live 1.2 ms after its commit, whole call 8.0 ms)\nundo: pointsman policy rollback quickstart"
        );
        assert_eq!(
            story("quickstart", &activated(Some(0)), 8_040),
            "quickstart version 4 serves already (generation 9)"
        );
    }

    #[test]
    fn a_tenth_of_a_millisecond_is_said() {
        assert_eq!(decimal(950), "0.9");
        assert_eq!(decimal(12_340), "12.3");
    }
}
