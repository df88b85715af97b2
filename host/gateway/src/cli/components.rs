//! `pointsman plugin push|list`, and the plugins of this machine that a policy needs and a server lacks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use pointsman_domain::Digest;
use pointsman_domain::control::Plugin;
use pointsman_plugin::{Runtime, RuntimeConfig};
use pointsman_policy::digest;
use pointsman_policy::policy::Policy;

use super::backend::Backend;
use super::{Place, say, say_json};
use crate::bundle::components;
use crate::node::Settings;

/// Files, or names of installed plugins.
pub(crate) fn push(place: &Place, named: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(place.file().as_deref())?;
    let paths: Vec<PathBuf> = named
        .iter()
        .map(|name| file(&settings, name))
        .collect::<anyhow::Result<_>>()?;
    let backend = Backend::open(place)?;
    for path in paths {
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let change = backend.push_plugin(bytes)?;
        if json {
            let mut told = serde_json::to_value(&change.value)?;
            told["new"] = change.made.into();
            say_json(&told)?;
        } else {
            let how = if change.made { "pushed" } else { "was there" };
            say(format!("{}  {how}{}", line(&change.value), backend.note()));
        }
    }
    if !json {
        say("next: pointsman policy push FOLDER, of a policy that uses it");
    }
    Ok(ExitCode::SUCCESS)
}

/// A path, else the name of a component in the folder of plugins.
fn file(settings: &Settings, name: &str) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(name);
    if path.is_file() {
        return Ok(path);
    }
    let installed = settings.plugins().join(format!("{name}.wasm"));
    if !name.contains('/') && installed.is_file() {
        return Ok(installed);
    }
    bail!(
        "there is no file {name}, and no {}; build one with `pointsman plugin build`",
        installed.display()
    );
}

pub(crate) fn list(place: &Place, json: bool) -> anyhow::Result<ExitCode> {
    let plugins = Backend::open(place)?.plugins()?;
    if json {
        say_json(&plugins)?;
    } else {
        plugins.iter().for_each(|plugin| say(line(plugin)));
    }
    Ok(ExitCode::SUCCESS)
}

fn line(plugin: &Plugin) -> String {
    let roles: Vec<&str> = plugin.roles.iter().map(|role| role.as_str()).collect();
    format!(
        "{}@{}  {}  {} KB  {}",
        plugin.name,
        plugin.version,
        roles.join(","),
        plugin.bytes.div_ceil(1024),
        plugin.digest
    )
}

/// Pushes the installed components that a policy's steps name and the server has not. Says which.
pub(crate) fn push_needed(
    backend: &Backend,
    settings: &Settings,
    policy: &Policy,
) -> anyhow::Result<Vec<Plugin>> {
    let names: BTreeSet<&str> = policy
        .steps
        .iter()
        .map(|step| step.plugin.name.as_str())
        .collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let there: BTreeSet<Digest> = backend
        .plugins()?
        .iter()
        .map(|plugin| plugin.digest)
        .collect();
    let mut lacking = Vec::new();
    for path in components(&settings.plugins())? {
        let bytes =
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if !there.contains(&digest::bytes(&bytes)) {
            lacking.push((path, bytes));
        }
    }
    if lacking.is_empty() {
        return Ok(Vec::new());
    }
    let runtime = Runtime::new(RuntimeConfig {
        compile_cache_dir: Some(settings.state().join("compiled")),
        ..RuntimeConfig::default()
    })
    .context("cannot start the plugin runtime")?;
    let mut pushed = Vec::new();
    for (path, bytes) in lacking {
        // What cannot be loaded here is not needed, or the server says that it lacks it.
        let Ok(plugin) = runtime.load(&bytes) else {
            continue;
        };
        if names.contains(plugin.info().name.as_str()) {
            let change = backend
                .push_plugin(bytes)
                .with_context(|| format!("{} cannot be pushed", path.display()))?;
            pushed.push(change.value);
        }
    }
    Ok(pushed)
}
