//! From folders to what serves: plugins, bundles, floor and prices are read, checked, and made ready to run.
//!
//! Promises: what is broken is refused here, with its place and what to do, before any listener opens.

mod check;
mod folder;
mod live;
mod world;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use pointsman_plugin::Runtime;
use pointsman_policy::config::StaticConfig;
use pointsman_upstream::{Credential, EgressRules};

use crate::node::{Settings, secret};
use crate::snapshot::Snapshot;
use crate::versions::Versions;

pub(crate) use check::check;
use folder::Folder;
use world::World;

/// Everything that the named policies need, ready to run.
pub(crate) fn build(
    settings: &Settings,
    runtime: &Runtime,
    names: &[String],
) -> anyhow::Result<Snapshot> {
    let world = World::open(settings, runtime)?;
    let credentials = credentials(&settings.config)?;
    let floor = world.floor(settings)?;
    let mut versions = Versions::open(&settings.state())?;
    let mut policies = HashMap::with_capacity(names.len());
    for name in names {
        let folder = Folder::read(&settings.policies().join(name)).with_context(|| {
            format!(
                "a tenant uses policy `{name}`, which cannot be read (policies = {:?})",
                settings.config.policies
            )
        })?;
        anyhow::ensure!(
            folder.policy.name == *name,
            "{} names the policy `{}`; its folder must have the same name",
            folder.file,
            folder.policy.name
        );
        let findings = world.findings(&folder, floor.as_ref());
        refuse(&findings)?;
        let digest = world.digest(&folder, floor.as_ref())?;
        let version = versions.number(name, digest);
        let live = world.live(&folder, floor.as_ref(), digest, version, &credentials)?;
        policies.insert(name.clone(), Arc::new(live));
    }
    versions.save()?;
    Ok(Snapshot {
        generation: 1,
        policies,
    })
}

/// Where targets may be.
pub(crate) fn egress(config: &StaticConfig) -> anyhow::Result<EgressRules> {
    let listed = config.egress.allow_private.iter().map(String::as_str);
    EgressRules::new(listed).context("egress.allow-private")
}

/// Credentials by name, their secrets read.
fn credentials(config: &StaticConfig) -> anyhow::Result<HashMap<String, Arc<Credential>>> {
    let read = |credential: &pointsman_policy::config::Credential| {
        let key = format!("credential `{}`", credential.name);
        let value = secret(&credential.value, &key)?;
        let header = credential.header.as_deref();
        let live = Credential::new(
            &credential.name,
            value,
            &credential.origins,
            &credential.tenants,
            header,
        )
        .with_context(|| key)?;
        Ok((credential.name.clone(), Arc::new(live)))
    };
    config.credentials.iter().map(read).collect()
}

/// Errors end the build, warnings are logged.
fn refuse(findings: &[pointsman_policy::finding::Finding]) -> anyhow::Result<()> {
    let (errors, warnings): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| finding.is_error());
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    if errors.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    anyhow::bail!("the policy is refused:\n  {}", lines.join("\n  "))
}

/// A file's text, with its name in the error.
fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
