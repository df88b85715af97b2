//! `cargo xtask test`: sets up what the tests need, then runs them.

use std::process::ExitCode;

use crate::build::{guests, has_subcommand, plugins};
use crate::place::cargo;
use crate::step::{run as run_command, say, step};
use crate::{model, python};

/// Sets up and runs; `arguments` go to nextest, or to `cargo test` where it is not installed.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let began = std::time::Instant::now();
    model::fetch()?;
    plugins()?;
    guests()?;
    python::environment()?;
    // Everything in one call, so that the tests that follow find the servers built with the same features.
    step("building servers and tests", || {
        let mut command = cargo();
        command.args(["build", "--workspace", "--bins", "--tests"]);
        run_command(&mut command, "the compiler says why above")
    })?;
    let whole = arguments.is_empty();
    let (what, mut command) = runner(whole);
    step(what, || {
        run_command(command.args(arguments), "the failing tests are named above")
    })?;
    if whole {
        step("examples in the documentation", || {
            run_command(
                cargo().args(["test", "--quiet", "--workspace", "--doc"]),
                "the failing examples are named above",
            )
        })?;
    }
    say(&format!(
        "all passed in {:.0} s",
        began.elapsed().as_secs_f64()
    ));
    Ok(ExitCode::SUCCESS)
}

fn runner(whole: bool) -> (&'static str, std::process::Command) {
    let mut command = cargo();
    if has_subcommand("nextest") {
        command.args(["nextest", "run"]);
        if whole {
            command.arg("--workspace");
        }
        return ("running the tests with nextest", command);
    }
    command.args(["test", "--no-fail-fast"]);
    if whole {
        command.args(["--workspace", "--bins", "--lib", "--tests"]);
    }
    (
        "running the tests with cargo test (cargo-nextest would run them apart from each other)",
        command,
    )
}
