//! Where the built things are.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The model's file name.
const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// The workspace's folder.
#[must_use]
pub fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// A binary of the workspace, built with the running test's profile.
///
/// # Errors
/// Where it is not built.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe().context("the test does not know its own file")?;
    let folder = test.parent().context("the test's file is in no folder")?;
    // Tests are in `deps`, examples in `examples`, binaries beside them.
    let inner = folder.ends_with("deps") || folder.ends_with("examples");
    let folder = if inner {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    present(folder.join(name))
}

/// The folder with the shipped plugins' components; `POINTSMAN_TEST_PLUGINS` names another.
///
/// # Errors
/// Where there is none.
pub fn plugins() -> anyhow::Result<PathBuf> {
    from_environment("POINTSMAN_TEST_PLUGINS", ".pointsman/plugins")
}

/// The folder with the misbehaving component; `POINTSMAN_TEST_GUESTS` names another.
///
/// # Errors
/// Where there is none.
pub fn guests() -> anyhow::Result<PathBuf> {
    from_environment("POINTSMAN_TEST_GUESTS", "target/guests")
}

/// The model's file; `POINTSMAN_MODEL` names another.
///
/// # Errors
/// Where there is none.
pub fn model() -> anyhow::Result<PathBuf> {
    from_environment("POINTSMAN_MODEL", &format!(".pointsman/models/{MODEL}"))
}

/// The folder of the recorded exchanges; `POINTSMAN_TEST_RECORDINGS` names another of the same shape.
///
/// # Errors
/// Where there is none.
pub fn recordings() -> anyhow::Result<PathBuf> {
    from_environment("POINTSMAN_TEST_RECORDINGS", "tests/wire/recorded")
}

fn from_environment(variable: &str, usual: &str) -> anyhow::Result<PathBuf> {
    present(std::env::var_os(variable).map_or_else(|| workspace().join(usual), PathBuf::from))
}

fn present(path: PathBuf) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(
        path.exists(),
        "{} is missing: run the tests with `cargo xtask test`, which builds what they need",
        path.display()
    );
    Ok(path)
}
