//! The gateway's settings: written once, then the user's own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::build::shown;
use crate::place::{root, state, write};
use crate::step::say;

/// Where the shipped policies expect the engine.
const ENGINE_USUAL: &str = "127.0.0.1:8090";
/// The price catalogue, where the policies bring one.
const PRICES: &str = "policies/prices.jsonl";

/// The settings file, written where it is missing.
pub(crate) fn ensure() -> anyhow::Result<PathBuf> {
    let path = state("pointsman.toml");
    if !path.is_file() {
        write(&path, &fresh(), 0o644)?;
        say(&format!("== wrote {}", shown(&path)));
    }
    Ok(path)
}

fn fresh() -> String {
    let prices = if root().join(PRICES).is_file() {
        format!("prices = \"{PRICES}\"\n")
    } else {
        String::new()
    };
    format!(
        r#"# Written by `cargo xtask up`, which does not touch it again: it is yours to change.
# Every key has a default; paths are relative to the workspace.
state = ".pointsman"
policies = "policies"
plugins = ".pointsman/plugins"
{prices}
[data]
listen = "127.0.0.1:8080"

[control]
listen = "127.0.0.1:8081"

# Targets in loopback, link-local and private ranges must be listed.
[egress]
allow-private = ["{ENGINE_USUAL}"]
"#
    )
}

/// What the gateway's environment needs where the engine is not at its usual place: leave to reach it, and policies
/// that name it.
pub(crate) fn for_engine(engine_url: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
    let place = engine_url.trim_start_matches("http://");
    let policies = state("policies");
    if policies.exists() {
        std::fs::remove_dir_all(&policies)
            .with_context(|| format!("cannot remove {}", policies.display()))?;
    }
    if place == ENGINE_USUAL {
        return Ok(Vec::new());
    }
    copy(&root().join("policies"), &policies, place)?;
    say(&format!(
        "   the engine is at {place}: the gateway reads copies of policies/ in {}",
        shown(&policies)
    ));
    Ok(vec![
        ("POINTSMAN_EGRESS_ALLOW_PRIVATE", place.to_owned()),
        ("POINTSMAN_POLICIES", policies.display().to_string()),
    ])
}

/// Copies bundles; each `policy.toml` names the engine where it is.
fn copy(from: &Path, to: &Path, engine: &str) -> anyhow::Result<()> {
    crate::place::make_folder(to)?;
    for entry in
        std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?
    {
        let path = entry
            .with_context(|| format!("cannot read {}", from.display()))?
            .path();
        let Some(name) = path.file_name() else {
            continue;
        };
        let copied = to.join(name);
        if path.is_dir() {
            copy(&path, &copied, engine)?;
        } else if name == "policy.toml" {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            write(&copied, &text.replace(ENGINE_USUAL, engine), 0o644)?;
        } else {
            std::fs::copy(&path, &copied)
                .with_context(|| format!("cannot write {}", copied.display()))?;
        }
    }
    Ok(())
}
