//! Runs cargo and reads what it says: packages through `cargo metadata`, modules through its JSON messages.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cargo_metadata::{Message, Metadata, MetadataCommand};

use crate::{BuildError, Options, TARGET};

/// A plugin crate.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Its name in Cargo.toml.
    pub(crate) name: String,
    manifest: PathBuf,
    workspace: PathBuf,
}

/// The package in a directory.
pub(crate) fn package(dir: &Path) -> Result<Package, BuildError> {
    let no_package = |detail: String| BuildError::NoPackage {
        dir: dir.to_owned(),
        detail,
    };
    let manifest = dir
        .join("Cargo.toml")
        .canonicalize()
        .map_err(|error| no_package(error.to_string()))?;
    let metadata: Metadata = MetadataCommand::new()
        .cargo_path(program("CARGO", "cargo"))
        .manifest_path(&manifest)
        .no_deps()
        .exec()
        .map_err(|error| no_package(error.to_string()))?;
    let found = metadata
        .packages
        .iter()
        .find(|package| package.manifest_path.as_std_path() == manifest)
        .ok_or_else(|| no_package("its Cargo.toml has no [package]".to_owned()))?;
    Ok(Package {
        name: found.name.to_string(),
        manifest,
        workspace: metadata.workspace_root.clone().into_std_path_buf(),
    })
}

/// Builds the packages and returns each one's core module.
pub(crate) fn build(
    packages: &[Package],
    target_dir: &Path,
    options: &Options,
) -> Result<Vec<PathBuf>, BuildError> {
    let mut workspaces: BTreeMap<&Path, Vec<&Package>> = BTreeMap::new();
    for package in packages {
        workspaces
            .entry(&package.workspace)
            .or_default()
            .push(package);
    }
    let mut modules = BTreeMap::new();
    for (workspace, members) in workspaces {
        require_target(workspace)?;
        modules.extend(build_workspace(workspace, &members, target_dir, options)?);
    }
    packages
        .iter()
        .map(|package| {
            modules
                .get(&package.manifest)
                .cloned()
                .ok_or_else(|| BuildError::NoCdylib {
                    package: package.name.clone(),
                })
        })
        .collect()
}

/// Modules by manifest.
fn build_workspace(
    workspace: &Path,
    packages: &[&Package],
    target_dir: &Path,
    options: &Options,
) -> Result<BTreeMap<PathBuf, PathBuf>, BuildError> {
    let mut command = Command::new(program("CARGO", "cargo"));
    command
        .current_dir(workspace)
        .arg("build")
        .args(["--target", TARGET, "--message-format", "json"])
        .args(profile(workspace)?)
        .arg("--target-dir")
        .arg(target_dir)
        .arg("--config")
        .arg(remap(workspace));
    for package in packages {
        command.args(["-p", &package.name]);
    }
    if !options.features.is_empty() {
        command.args(["--features", &options.features.join(",")]);
    }
    if options.locked {
        command.arg("--locked");
    }
    // Flags meant for the host's build would silently replace the ones above.
    command
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = run(command, "cargo")?;
    let mut modules = BTreeMap::new();
    let mut complaints = String::new();
    for message in Message::parse_stream(output.stdout.as_slice()).map_while(Result::ok) {
        match message {
            Message::CompilerArtifact(artifact)
                if artifact.target.is_cdylib() && !artifact.target.is_example() =>
            {
                let module = artifact
                    .filenames
                    .iter()
                    .find(|file| file.extension() == Some("wasm"));
                if let Some(module) = module {
                    modules.insert(
                        artifact.manifest_path.into_std_path_buf(),
                        module.clone().into_std_path_buf(),
                    );
                }
            }
            Message::CompilerMessage(message) => {
                complaints.push_str(message.message.rendered.as_deref().unwrap_or_default());
            }
            _ => {}
        }
    }
    if output.status.success() {
        return Ok(modules);
    }
    let names: Vec<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    if complaints.is_empty() {
        // Cargo itself refused: a bad manifest, a lock file, a missing crate.
        complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    Err(BuildError::Compile {
        packages: names.join(", "),
        detail: complaints,
    })
}

/// `--profile plugin` where the workspace has it, else `--release`.
fn profile(workspace: &Path) -> Result<&'static [&'static str], BuildError> {
    let manifest = workspace.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest).map_err(|source| BuildError::Io {
        path: manifest,
        source,
    })?;
    let ours = text.lines().any(|line| line.trim() == "[profile.plugin]");
    Ok(if ours {
        &["--profile", "plugin"]
    } else {
        &["--release"]
    })
}

/// Panic messages hold source paths; cut them to what is the same on every machine, so that a component's digest
/// depends on its sources alone and tells nobody where it was built.
fn remap(workspace: &Path) -> OsString {
    let home = std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let flags = [
        format!("--remap-path-prefix={}=cargo", home.display()),
        format!("--remap-path-prefix={}=.", workspace.display()),
    ];
    // A JSON list of strings is a TOML list of strings.
    format!("target.{TARGET}.rustflags={}", serde_json::json!(flags)).into()
}

fn require_target(workspace: &Path) -> Result<(), BuildError> {
    let mut command = Command::new(program("RUSTC", "rustc"));
    command
        .current_dir(workspace)
        .args(["--print", "target-libdir", "--target", TARGET]);
    let output = run(command, "rustc")?;
    let libdir = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && Path::new(libdir.trim()).is_dir() {
        return Ok(());
    }
    Err(BuildError::MissingTarget { target: TARGET })
}

fn run(mut command: Command, program: &str) -> Result<Output, BuildError> {
    command.output().map_err(|source| BuildError::Start {
        program: program.to_owned(),
        source,
    })
}

/// The program that this very build uses, where one runs us.
fn program(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable).unwrap_or_else(|| name.into())
}
