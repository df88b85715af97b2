//! From bundles to what serves: read, checked, composed with the floor, and made ready to run.
//!
//! Promises: what is broken is refused here, with its place and what to do. Refuses to know where bundles are kept.

mod check;
mod folder;
mod live;
mod world;

use std::path::Path;

use anyhow::Context as _;
use pointsman_policy::finding::Finding;

pub(crate) use check::{CaseResult, check, rehearsed};
pub(crate) use folder::{Folder, list, pack, unpack};
pub(crate) use world::{House, StandIn, World, components, fact};

/// Errors end the build, warnings are logged.
pub(crate) fn refuse(findings: &[Finding]) -> anyhow::Result<()> {
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
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
