//! What CI checks besides the tests.

use std::process::ExitCode;

use crate::build::wasm_target;
use crate::place::cargo;
use crate::step::{run, say, step};

/// Crates that promise to know no sockets, clock, files or environment.
const PURE: [&str; 4] = [
    "pointsman-domain",
    "pointsman-wire",
    "pointsman-traffic",
    "pointsman-policy",
];

/// Runs every check; the first that fails ends it.
pub(crate) fn all() -> anyhow::Result<ExitCode> {
    step("formatting", || {
        run(
            cargo().args(["fmt", "--all", "--", "--check"]),
            "run `cargo fmt --all`",
        )
    })?;
    step("lints, warnings denied", || {
        let mut command = cargo();
        command.args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            "xtask/components",
        ]);
        run(
            command.args(["--", "-D", "warnings"]),
            "clippy says what to change above",
        )
    })?;
    wasm_target()?;
    step("the pure crates for wasm32-unknown-unknown", || {
        let mut command = cargo();
        command.args(["check", "--target", "wasm32-unknown-unknown"]);
        for package in PURE {
            command.args(["-p", package]);
        }
        run(
            &mut command,
            "a pure crate may not depend on what this target lacks",
        )
    })?;
    step("documentation, warnings denied", || {
        let mut command = cargo();
        command
            .args(["doc", "--quiet", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings");
        run(&mut command, "rustdoc says what to change above")
    })?;
    say("all checks passed");
    Ok(ExitCode::SUCCESS)
}
