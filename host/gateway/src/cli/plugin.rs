//! `pointsman plugin new|build|test|inspect|push|list`: from nothing to a component that the gateway runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use pointsman_domain::Role;
use pointsman_plugin::{
    Instances, Plugin, PrepareError, Runtime, RuntimeConfig, StepLimits, StepSpec,
};
use serde_json::Value as Json;

use super::{Place, components, say};

const NO_CARGO: &str = "cannot run cargo; install it from https://rustup.rs";
/// Crate names that are taken: a plugin depends on them, or the language has them.
const TAKEN: [&str; 7] = [
    "alloc",
    "core",
    "pointsman-sdk",
    "serde",
    "serde-json",
    "std",
    "test",
];
/// What follows in the template's manifest is for a crate outside any workspace.
const ALONE: &str = "\n# A workspace of its own";

/// Languages that `plugin new` has a template for.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Language {
    Rust,
}

#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    /// Write a plugin that builds and passes its cases unchanged
    #[command(
        after_help = "Example:\n  pointsman plugin new my-router --lang rust && cd my-router && pointsman plugin test"
    )]
    New {
        /// Folder and name of the plugin, kebab-case
        name: String,
        #[arg(long, value_enum, default_value = "rust")]
        lang: Language,
        /// The SDK's folder; found above the current folder where it is there
        #[arg(long, value_name = "FOLDER")]
        sdk: Option<PathBuf>,
    },
    /// Build a plugin crate into a component
    #[command(
        after_help = "Examples:\n  pointsman plugin build\n  pointsman plugin build plugins/guard-pii --out /tmp/out"
    )]
    Build {
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Where the component goes [default: plugins under the target folder]
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Run the plugin's own tests and cases, then load its component with every case's config
    Test {
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// What a component says of itself: roles, imports, schema, size
    #[command(
        after_help = "Example:\n  pointsman plugin inspect target/plugins/guard-pii.wasm --json"
    )]
    Inspect {
        file: PathBuf,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Push components to the server; the same bytes are the same plugin
    #[command(
        after_help = "Examples:\n  pointsman plugin push target/plugins/my-router.wasm\n  pointsman plugin push guard-pii route-cheapest --json"
    )]
    Push {
        /// Components, or names of those in the folder of plugins
        #[arg(required = true, value_name = "FILE|NAME")]
        components: Vec<String>,
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// List the plugins that the server has
    List {
        /// Print JSON, a line each
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(place: &Place, command: PluginCommand) -> anyhow::Result<ExitCode> {
    match command {
        PluginCommand::New {
            name,
            lang: Language::Rust,
            sdk,
        } => new_rust(&name, sdk),
        PluginCommand::Build { folder, out } => {
            let path = build(&folder, out)?;
            let plugin = load(&path)?;
            say(format!("{}  {}", path.display(), summary(&plugin, &path)?));
            Ok(ExitCode::SUCCESS)
        }
        PluginCommand::Test { folder } => test(&folder),
        PluginCommand::Inspect { file, json } => inspect(&file, json),
        PluginCommand::Push { components, json } => components::push(place, &components, json),
        PluginCommand::List { json } => components::list(place, json),
    }
}

/// Where cargo puts what it builds of this crate.
fn target_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .arg("--manifest-path")
        .arg(&manifest)
        .output()
        .context(NO_CARGO)?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("cargo does not take {}: {}", manifest.display(), why.trim());
    }
    let metadata: Json =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` is not JSON")?;
    let folder = metadata.get("target_directory").and_then(Json::as_str);
    folder
        .map(PathBuf::from)
        .context("`cargo metadata` names no target folder")
}

fn build(folder: &Path, out: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let options = pointsman_sdk_build::Options {
        out_dir: out,
        ..pointsman_sdk_build::Options::default()
    };
    Ok(pointsman_sdk_build::build_component(
        folder,
        &target_folder(folder)?,
        &options,
    )?)
}

fn load(path: &Path) -> anyhow::Result<std::sync::Arc<Plugin>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let runtime =
        Runtime::new(RuntimeConfig::default()).context("cannot start the plugin runtime")?;
    runtime
        .load(&bytes)
        .with_context(|| format!("{} is refused", path.display()))
}

fn summary(plugin: &Plugin, path: &Path) -> anyhow::Result<String> {
    let bytes = std::fs::metadata(path)?.len();
    let info = plugin.info();
    let roles = info
        .roles
        .iter()
        .map(|role| role.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    Ok(format!(
        "{}@{} ({roles}), {} KB, {}",
        info.name,
        info.version,
        bytes.div_ceil(1024),
        plugin.digest()
    ))
}

fn inspect(file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let plugin = load(file)?;
    let info = plugin.info();
    if json {
        say(serde_json::json!({
            "name": info.name, "version": info.version, "roles": info.roles, "imports": info.imports,
            "config_schema": info.config_schema, "digest": plugin.digest(), "bytes": std::fs::metadata(file)?.len(),
        }));
        return Ok(ExitCode::SUCCESS);
    }
    say(summary(&plugin, file)?);
    let imports = if info.imports.is_empty() {
        "none".to_owned()
    } else {
        info.imports.join(", ")
    };
    say(format!("grants it needs: {imports}"));
    say(format!(
        "config schema:\n{}",
        serde_json::to_string_pretty(&info.config_schema)?
    ));
    Ok(ExitCode::SUCCESS)
}

fn test(folder: &Path) -> anyhow::Result<ExitCode> {
    let status = Command::new("cargo")
        .args(["test", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .status()
        .context(NO_CARGO)?;
    if !status.success() {
        bail!("the plugin's own tests or cases fail (above)");
    }
    let path = build(folder, None)?;
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let runtime =
        Runtime::new(RuntimeConfig::default()).context("cannot start the plugin runtime")?;
    let plugin = runtime
        .load(&bytes)
        .with_context(|| format!("{} is refused", path.display()))?;
    let cases = case_configs(&folder.join("cases.jsonl"))?;
    let mut tried = BTreeSet::new();
    for (name, config, refused) in &cases {
        // Many cases share a configuration, and each is compiled.
        if !tried.insert((config.to_string(), *refused)) {
            continue;
        }
        for &role in &plugin.info().roles {
            let prepared = runtime.prepare(step(&plugin, role, config.clone()));
            match (prepared, refused) {
                (Ok(_), false)
                | (Err(PrepareError::Config(_) | PrepareError::Refused { .. }), true) => {}
                (Ok(_), true) => bail!(
                    "case `{name}`: the component takes a config that the case says is refused"
                ),
                (Err(error), _) => bail!(
                    "case `{name}`: as {} the component cannot be made ready: {error}",
                    role.as_str()
                ),
            }
        }
    }
    say(format!(
        "{} with the configs of {} cases: {}",
        path.display(),
        cases.len(),
        summary(&plugin, &path)?
    ));
    Ok(ExitCode::SUCCESS)
}

fn step(plugin: &std::sync::Arc<Plugin>, role: Role, config: Json) -> StepSpec {
    StepSpec {
        id: "test".to_owned(),
        plugin: std::sync::Arc::clone(plugin),
        role,
        config,
        data: Vec::new(),
        grants: plugin.info().imports.clone(),
        secrets: Vec::new(),
        instances: Instances::Fresh,
        limits: StepLimits::default(),
    }
}

/// Name, config and whether it is to be refused, of every case.
fn case_configs(path: &Path) -> anyhow::Result<Vec<(String, Json, bool)>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut configs = Vec::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let case: Json = serde_json::from_str(line)
            .with_context(|| format!("{}:{} is not JSON", path.display(), index + 1))?;
        let name = case
            .get("name")
            .and_then(Json::as_str)
            .unwrap_or("unnamed")
            .to_owned();
        let config = case
            .get("config")
            .cloned()
            .unwrap_or_else(|| serde_json::json!({}));
        let refused = case.pointer("/expect/refused").is_some();
        configs.push((name, config, refused));
    }
    Ok(configs)
}

fn new_rust(name: &str, sdk: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    check_name(name)?;
    let folder = PathBuf::from(name);
    if folder.exists() {
        bail!(
            "{} is there already; choose another name or remove it",
            folder.display()
        );
    }
    let sdk = sdk_folder(sdk)?;
    for (file, text) in files(name, &sdk, is_member(&folder, &sdk)) {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say(format!(
        "made {name}/; next:\n  cd {name}\n  pointsman plugin test     # its cases, natively and as a component\n  pointsman plugin build    # the component for the gateway's folder of plugins"
    ));
    Ok(ExitCode::SUCCESS)
}

/// A name serves as folder, crate and plugin.
fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let words = name
        .split('-')
        .all(|word| !word.is_empty() && word.chars().all(plain));
    if !words || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        bail!(
            "`{name}` is no plugin name; use lower-case letters, digits and single hyphens, such as my-router"
        );
    }
    if TAKEN.contains(&name) {
        bail!("`{name}` is the name of another crate; choose one such as my-{name}");
    }
    Ok(())
}

/// The SDK that was named, or the one above the current folder.
fn sdk_folder(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let there = |path: &PathBuf| path.join("Cargo.toml").is_file();
    if let Some(path) = named {
        if !there(&path) {
            bail!(
                "{} holds no Cargo.toml; --sdk takes the folder sdk/rust of Pointsman's sources",
                path.display()
            );
        }
        return std::path::absolute(&path)
            .with_context(|| format!("cannot resolve {}", path.display()));
    }
    let here = std::env::current_dir().context("no current folder")?;
    here.ancestors()
        .map(|above| above.join("sdk/rust"))
        .find(there)
        .context(
            "the SDK is not above this folder; say where it is: --sdk path/to/pointsman/sdk/rust",
        )
}

/// Whether the SDK's own workspace takes the new crate in: it lists `plugins/*`, and a workspace within a workspace
/// is refused by cargo.
fn is_member(folder: &Path, sdk: &Path) -> bool {
    let plugins = sdk
        .parent()
        .and_then(Path::parent)
        .map(|root| root.join("plugins"));
    let parent = std::path::absolute(folder)
        .ok()
        .and_then(|folder| folder.parent().map(Path::to_owned));
    plugins.is_some() && plugins == parent
}

/// The template's files with their texts.
fn files(name: &str, sdk: &Path, member: bool) -> [(&'static str, String); 6] {
    let manifest = include_str!("../../templates/rust/Cargo.toml.txt");
    let manifest = match manifest.split_once(ALONE) {
        Some((shared, _)) if member => shared,
        _ => manifest,
    };
    // A JSON string is a TOML string: a folder's name may hold quotes and backslashes.
    let sdk = Json::from(sdk.display().to_string()).to_string();
    let fill = |text: &str| text.replace("{{name}}", name).replace("\"{{sdk}}\"", &sdk);
    [
        ("Cargo.toml", fill(manifest)),
        (
            "src/lib.rs",
            fill(include_str!("../../templates/rust/lib.rs.txt")),
        ),
        (
            "config.schema.json",
            fill(include_str!("../../templates/rust/config.schema.json")),
        ),
        (
            "cases.jsonl",
            fill(include_str!("../../templates/rust/cases.jsonl")),
        ),
        (
            "README.md",
            fill(include_str!("../../templates/rust/README.md")),
        ),
        (
            ".gitignore",
            fill(include_str!("../../templates/rust/gitignore.txt")),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{check_name, files, is_member};

    #[test]
    fn names_that_cargo_and_the_contract_take_are_taken() {
        for name in ["my-router", "guard2", "a"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "-",
            "my-",
            "-my",
            "my--router",
            "My-Router",
            "2go",
            "a/b",
            "..",
            "a_b",
            "é",
            "serde",
            "std",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn every_place_is_filled_and_a_member_is_no_workspace() {
        for member in [false, true] {
            let files = files("my-router", Path::new("/a \"b\"/sdk/rust"), member);
            for (file, text) in &files {
                assert!(!text.contains("{{"), "{file}");
            }
            let manifest: toml::Table = files[0].1.parse().expect("the manifest is TOML");
            assert_eq!(manifest.contains_key("workspace"), !member);
            assert_eq!(
                manifest["dependencies"]["pointsman-sdk"]["path"].as_str(),
                Some("/a \"b\"/sdk/rust")
            );
        }
    }

    #[test]
    fn only_the_plugins_beside_the_sdk_are_members_of_its_workspace() {
        let sdk = Path::new("/src/pointsman/sdk/rust");
        assert!(is_member(
            Path::new("/src/pointsman/plugins/my-router"),
            sdk
        ));
        assert!(!is_member(Path::new("/src/pointsman/my-router"), sdk));
        assert!(!is_member(Path::new("/elsewhere/plugins/my-router"), sdk));
    }
}
