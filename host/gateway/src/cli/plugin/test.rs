//! `pointsman plugin test`: a Rust plugin's own tests natively, then the cases of any plugin on its component, with the
//! limits and instances that it has by default.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use pointsman_plugin::{Plugin, PrepareError, Runtime, Step, StepSpec};
use pointsman_sdk_build::Language;
use serde_json::Value as Json;

use super::cases;
use super::{NO_CARGO, build, build_folder, load, runtime, summary};
use crate::cli::say;

/// Steps of one configuration, a role each; or how the configuration is refused.
type Prepared = Result<Vec<Arc<Step>>, Refusal>;

struct Refusal {
    detail: String,
    /// By the schema, before the plugin saw it.
    by_schema: bool,
}

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
    let local = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    // Many cases share a configuration, and making one ready may compile it.
    let mut prepared: BTreeMap<String, Prepared> = BTreeMap::new();
    let mut failed = 0;
    for case in &cases {
        let config = case.config.to_string();
        if !prepared.contains_key(&config) {
            let steps = prepare(&runtime, &plugin, &case.config)
                .with_context(|| format!("case `{}`", case.name))?;
            prepared.insert(config.clone(), steps);
        }
        let outcome = match &prepared[&config] {
            Ok(steps) => local.block_on(case.run(steps)),
            // Natively there is no schema, and the case has the plugin's own words.
            Err(refusal) if is_rust && refusal.by_schema && case.is_refused() => continue,
            Err(refusal) => Ok(cases::refused(&refusal.detail)),
        };
        let outcome = outcome.with_context(|| format!("case `{}`", case.name))?;
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

fn prepare(runtime: &Runtime, plugin: &Arc<Plugin>, config: &Json) -> anyhow::Result<Prepared> {
    let mut steps = Vec::new();
    let info = plugin.info();
    for &role in &info.roles {
        let spec = StepSpec {
            id: "test".to_owned(),
            plugin: Arc::clone(plugin),
            role,
            config: config.clone(),
            data: Vec::new(),
            grants: info.imports.clone(),
            secrets: Vec::new(),
            instances: info.defaults.instances,
            limits: info.defaults.limits,
        };
        match runtime.prepare(spec) {
            Ok(step) => steps.push(step),
            Err(PrepareError::Refused { detail }) => {
                return Ok(Err(Refusal {
                    detail,
                    by_schema: false,
                }));
            }
            Err(error @ PrepareError::Config(_)) => {
                return Ok(Err(Refusal {
                    detail: error.to_string(),
                    by_schema: true,
                }));
            }
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!(
                    "as {} the component cannot be made ready",
                    role.as_str()
                )));
            }
        }
    }
    Ok(Ok(steps))
}
