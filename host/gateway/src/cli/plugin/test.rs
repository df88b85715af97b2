//! `pointsman plugin test`: a Rust plugin's own tests natively, then the cases of any plugin on its component, with the
//! limits and instances that it has by default.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use pointsman_cases::Outcome;
use pointsman_sdk_build::Language;

use super::cases::{self, Rehearsal};
use super::steps::Ready;
use super::{NO_CARGO, build, build_folder, load, local, runtime, summary};
use crate::cli::say;

pub(super) fn test(folder: &Path) -> anyhow::Result<ExitCode> {
    let is_rust = pointsman_sdk_build::language(folder)? == Language::Rust;
    if is_rust {
        natively(folder)?;
    }
    let path = build(folder, None)?;
    let runtime = runtime(Some(build_folder(folder)?))?;
    let plugin = load(&runtime, &path)?;
    let file = folder.join("cases.jsonl");
    let cases = cases::read(&file)?;
    let local = local()?;
    let mut ready = Ready::new(&runtime, &plugin, plugin.info().defaults.instances);
    let mut failed = 0;
    for case in &cases {
        let named = || format!("case `{}`", case.name);
        let outcome = match ready.steps(case)? {
            Ok(steps) => local
                .block_on(Rehearsal::new(case).with_context(named)?.run(steps))
                .with_context(named)?,
            // Natively there is no schema, and the case has the plugin's own words.
            Err(refusal) if is_rust && refusal.by_schema && case.is_refused() => continue,
            Err(refusal) => Outcome::refused(&refusal.detail),
        };
        let differing = case.differing(&outcome);
        if !differing.is_empty() {
            failed += 1;
            say(format!(
                "case `{}` ({}:{}) fails:\n  {}",
                case.name,
                file.display(),
                case.line,
                differing.join("\n  ")
            ));
        }
    }
    if failed > 0 {
        bail!("{failed} of {} cases fail (above)", cases.len());
    }
    say(format!(
        "{}: {} cases hold; {}",
        path.display(),
        cases.len(),
        summary(&plugin, &path)?
    ));
    Ok(ExitCode::SUCCESS)
}

fn natively(folder: &Path) -> anyhow::Result<()> {
    let status = Command::new("cargo")
        .args(["test", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .status()
        .context(NO_CARGO)?;
    if !status.success() {
        bail!("the plugin's own tests or cases fail (above)");
    }
    Ok(())
}
