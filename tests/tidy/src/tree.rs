//! The files of the tree, as git sees them: tracked, and new ones that are not ignored.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

/// The workspace's folder.
#[must_use]
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// Every file, relative to the root.
///
/// # Errors
/// Where git cannot tell.
pub fn files() -> anyhow::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let output = git.output().context("cannot run git")?;
    anyhow::ensure!(
        output.status.success(),
        "git ls-files failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).context("a file's name is no text")?;
    // A file that was just removed is still listed.
    let there = |name: &&str| root().join(name).is_file();
    Ok(text
        .split('\0')
        .filter(|name| !name.is_empty())
        .filter(there)
        .map(str::to_owned)
        .collect())
}

/// A file's text; none where it is no text.
#[must_use]
pub fn read(file: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(file)).ok()?).ok()
}

/// Every Rust file with its text.
///
/// # Errors
/// Where git cannot tell.
pub fn sources() -> anyhow::Result<Vec<(String, String)>> {
    let files = files()?.into_iter().filter(|file| file.ends_with(".rs"));
    Ok(files
        .filter_map(|file| read(&file).map(|text| (file, text)))
        .collect())
}

/// Every text file with its text, but for recordings, which are other people's.
///
/// # Errors
/// Where git cannot tell.
pub fn texts() -> anyhow::Result<Vec<(String, String)>> {
    let files = files()?
        .into_iter()
        .filter(|file| !file.starts_with("tests/wire/recorded/"));
    Ok(files
        .filter_map(|file| read(&file).map(|text| (file, text)))
        .collect())
}
