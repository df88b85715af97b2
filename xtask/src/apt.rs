//! Programs of the operating system that a measurement runs. On Debian and Ubuntu, as root, they are installed.

use std::process::Command;

use anyhow::bail;

use crate::step::{output, run, step, works};

/// Makes sure of a program, which comes with a package of that name.
pub(crate) fn program(name: &str, package: &str) -> anyhow::Result<()> {
    if works(Command::new(name).arg("-v")) {
        return Ok(());
    }
    let install = format!("install it (Debian, Ubuntu: apt-get install {package})");
    let is_root = output(Command::new("id").arg("-u"), &install).is_ok_and(|id| id.trim() == "0");
    if !is_root || !works(Command::new("apt-get").arg("--version")) {
        bail!("{name} is missing; {install}");
    }
    step(&format!("installing {package}"), || {
        run(
            Command::new("apt-get").args(["update", "--quiet"]),
            "check the network",
        )?;
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.args(["install", "--yes", "--quiet", "--no-install-recommends"]);
        run(command.arg(package), "check the network")
    })
}
