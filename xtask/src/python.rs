//! Python: pip for the model, a virtual environment for the SDK tests. No other tool is assumed, not even `ensurepip`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::bail;

use crate::place::{root, state};
use crate::step::{run, step, works};

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
    let folder = state("venv");
    let interpreter = folder.join("bin/python3");
    let requirements = root().join("tests/e2e/python/requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap_or_default();
    let stamp = folder.join("installed.txt");
    let installed = std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
    if installed && works(Command::new(&interpreter).arg("--version")) {
        return Ok(interpreter);
    }
    step(
        "installing the official openai SDK into .pointsman/venv",
        || {
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
        },
    )?;
    Ok(interpreter)
}

fn bare(folder: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("python3");
    command
        .args(["-m", "venv", "--clear", "--without-pip"])
        .arg(folder);
    run(&mut command, INSTALL)
}
