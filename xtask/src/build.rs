//! Builds: binaries, plugin components, the misbehaving component.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::place::{binary, cargo, root, state, target};
use crate::step::{run, step, works};

/// What plugins are compiled for.
const WASM: &str = "wasm32-unknown-unknown";

/// Builds binaries by name. No package is named, so that features are chosen as `cargo run --bin NAME` chooses them, and
/// that builds nothing anew afterwards.
pub(crate) fn binaries(names: &[&str]) -> anyhow::Result<()> {
    targets("--bin", names)
}

/// Builds examples by name, likewise.
pub(crate) fn examples(names: &[&str]) -> anyhow::Result<()> {
    targets("--example", names)
}

fn targets(kind: &str, names: &[&str]) -> anyhow::Result<()> {
    step(&format!("building {}", names.join(", ")), || {
        let mut command = cargo();
        command.arg("build");
        for name in names {
            command.args([kind, name]);
        }
        run(&mut command, "the compiler says why above")
    })
}

/// Adds the Wasm target to the toolchain where it is missing.
pub(crate) fn wasm_target() -> anyhow::Result<()> {
    if has_target() {
        return Ok(());
    }
    step(&format!("adding the Rust target {WASM}"), || {
        let mut command = Command::new("rustup");
        command.current_dir(root()).args(["target", "add", WASM]);
        run(
            &mut command,
            "install rustup from https://rustup.rs, or Rust's wasm32-unknown-unknown target by other means",
        )
    })
}

fn has_target() -> bool {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command
        .current_dir(root())
        .args(["--print", "target-libdir", "--target", WASM]);
    let output = command.output();
    output.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success() && Path::new(&folder).is_dir()
    })
}

/// Builds the shipped plugins into `.pointsman/plugins`.
pub(crate) fn plugins() -> anyhow::Result<()> {
    let mut crates = Vec::new();
    let folder = root().join("plugins");
    for entry in
        std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .path();
        if path.join("Cargo.toml").is_file() {
            crates.push(path);
        }
    }
    crates.sort();
    components("plugins", &state("plugins"), &crates)
}

/// Builds the misbehaving component, and the one that tells what the host answers, into `target/guests`.
pub(crate) fn guests() -> anyhow::Result<()> {
    let guests = root().join("tests/guests");
    components(
        "tests' guests",
        &target().join("guests"),
        &[guests.clone(), guests.join("imports"), guests.join("near")],
    )
}

fn components(what: &str, out: &Path, crates: &[PathBuf]) -> anyhow::Result<()> {
    wasm_target()?;
    step(&format!("building the {what} into {}", shown(out)), || {
        let mut command = cargo();
        command.args([
            "build",
            "--quiet",
            "-p",
            "xtask",
            "--features",
            "components",
            "--bin",
            "build-components",
        ]);
        run(&mut command, "the compiler says why above")?;
        let mut command = Command::new(binary("build-components"));
        command.current_dir(root()).arg(out).args(crates);
        let status = command.status().context("cannot run build-components")?;
        // It has said why; its arguments are nothing for people.
        anyhow::ensure!(status.success(), "the {what} could not be built; see above");
        Ok(())
    })
}

/// A path as people say it.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Whether cargo has a subcommand.
pub(crate) fn has_subcommand(name: &str) -> bool {
    works(cargo().args([name, "--version"]))
}
