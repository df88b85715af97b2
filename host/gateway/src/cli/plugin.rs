//! `pointsman plugin new|build|test|inspect`: from nothing to a component that the gateway runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use pointsman_domain::Role;
use pointsman_plugin::{Instances, Plugin, Runtime, RuntimeConfig, StepLimits, StepSpec};
use serde_json::Value as Json;

use super::say;

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
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: PluginCommand) -> anyhow::Result<ExitCode> {
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
    }
}

fn target_folder(folder: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace_root(folder).join("target"), PathBuf::from)
}

/// The outermost folder above that holds a Cargo.toml: where cargo puts `target`.
fn workspace_root(folder: &Path) -> PathBuf {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let roots = folder
        .ancestors()
        .filter(|above| above.join("Cargo.toml").is_file());
    roots.last().unwrap_or(&folder).to_owned()
}

fn build(folder: &Path, out: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let options = pointsman_sdk_build::Options {
        out_dir: out,
        ..pointsman_sdk_build::Options::default()
    };
    Ok(pointsman_sdk_build::build_component(
        folder,
        &target_folder(folder),
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
    let status = std::process::Command::new("cargo")
        .args(["test", "--quiet", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .status()
        .context("cannot run cargo; is rustup installed?")?;
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
    let configs = case_configs(&folder.join("cases.jsonl"))?;
    for (name, config, refused) in &configs {
        for &role in &plugin.info().roles {
            let prepared = runtime.prepare(step(&plugin, role, config.clone()));
            match (prepared, refused) {
                (Ok(_), false) | (Err(_), true) => {}
                (Ok(_), true) => bail!(
                    "case `{name}`: the component takes a config that the case says is refused"
                ),
                (Err(error), false) => bail!(
                    "case `{name}`: as {} the component refuses its config: {error}",
                    role.as_str()
                ),
            }
        }
    }
    say(format!(
        "{} with the configs of {} cases: {}",
        path.display(),
        configs.len(),
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
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !plain || !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        bail!(
            "`{name}` is no plugin name; use lower-case letters, digits and hyphens, such as my-router"
        );
    }
    let folder = PathBuf::from(name);
    if folder.exists() {
        bail!(
            "{} is there already; choose another name or remove it",
            folder.display()
        );
    }
    let sdk = match sdk {
        Some(path) => path,
        None => {
            let here = std::env::current_dir().context("no current folder")?;
            here.ancestors()
                .map(|above| above.join("sdk/rust"))
                .find(|path| path.join("Cargo.toml").is_file())
                .context("the SDK is not above this folder; say where it is: --sdk path/to/pointsman/sdk/rust")?
        }
    };
    let sdk =
        std::path::absolute(&sdk).with_context(|| format!("cannot resolve {}", sdk.display()))?;
    let type_name: String = name
        .split('-')
        .map(|word| word[..1].to_uppercase() + &word[1..])
        .collect();
    let files = [
        (
            "Cargo.toml",
            include_str!("../../templates/rust/Cargo.toml.txt"),
        ),
        (
            "src/lib.rs",
            include_str!("../../templates/rust/lib.rs.txt"),
        ),
        (
            "config.schema.json",
            include_str!("../../templates/rust/config.schema.json"),
        ),
        (
            "cases.jsonl",
            include_str!("../../templates/rust/cases.jsonl"),
        ),
        ("README.md", include_str!("../../templates/rust/README.md")),
    ];
    std::fs::create_dir_all(folder.join("src"))
        .with_context(|| format!("cannot make {}", folder.display()))?;
    for (file, text) in files {
        let text = text
            .replace("{{name}}", name)
            .replace("{{Type}}", &type_name)
            .replace("{{sdk}}", &sdk.display().to_string());
        let path = folder.join(file);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say(format!(
        "made {name}/; next:\n  cd {name}\n  pointsman plugin test     # its cases, natively and as a component\n  pointsman plugin build    # the component for a policy's plugins folder"
    ));
    Ok(ExitCode::SUCCESS)
}
