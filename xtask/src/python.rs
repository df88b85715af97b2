//! Python: pip for the model, virtual environments for the SDK tests and for what guards are measured against. No other tool is assumed, not even `ensurepip`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::place::{root, state};
use crate::step::{run, say, step, works};

const INSTALL: &str =
    "install python3 with pip and venv (Debian, Ubuntu: apt-get install python3-pip python3-venv)";

/// `python3 -m pip`.
pub(crate) fn pip() -> anyhow::Result<Command> {
    if !works(Command::new("python3").arg("--version")) {
        bail!("python3 is missing; {INSTALL}");
    }
    if !works(Command::new("python3").args(["-m", "pip", "--version"])) {
        bail!("python3 has no pip; {INSTALL}");
    }
    let mut command = Command::new("python3");
    command.args(["-m", "pip"]);
    Ok(command)
}

/// The interpreter of the tests' virtual environment, with what they import.
pub(crate) fn environment() -> anyhow::Result<PathBuf> {
    with_packages(
        "the official openai SDK",
        "venv",
        "tests/e2e/python/requirements.txt",
    )
}

/// Installs Presidio's recognisers, which `bench guards` measures beside ours where they are there.
pub(crate) fn presidio() {
    let installed = with_packages(
        "Presidio's recognisers",
        "presidio",
        "tests/quality/requirements.txt",
    );
    if let Err(error) = installed {
        say(&format!("   Presidio is not measured: {error:#}"));
    }
}

/// The interpreter of the virtual environment `.pointsman/NAME` with what a file of requirements lists.
fn with_packages(what: &str, name: &str, requirements: &str) -> anyhow::Result<PathBuf> {
    let folder = state(name);
    let interpreter = folder.join("bin/python3");
    let requirements = root().join(requirements);
    let wanted = std::fs::read_to_string(&requirements).unwrap_or_default();
    let stamp = folder.join("installed.txt");
    let installed = std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
    if installed && works(Command::new(&interpreter).arg("--version")) {
        return Ok(interpreter);
    }
    step(&format!("installing {what} into .pointsman/{name}"), || {
        // Without ensurepip a bare environment can still be made, and pip installs into it from outside.
        let whole = works(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&folder),
        );
        let mut command = if whole {
            let mut command = Command::new(&interpreter);
            command.args(["-m", "pip"]);
            command
        } else {
            bare(&folder)?;
            let mut command = pip()?;
            command.arg("--python").arg(&interpreter);
            command
        };
        command
            .args([
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(&requirements);
        run(&mut command, &format!("check the network; or {INSTALL}"))?;
        std::fs::write(&stamp, &wanted)?;
        Ok(())
    })?;
    Ok(interpreter)
}

fn bare(folder: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("python3");
    command
        .args(["-m", "venv", "--clear", "--without-pip"])
        .arg(folder);
    run(&mut command, INSTALL)
}
