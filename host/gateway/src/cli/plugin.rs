//! `pointsman plugin new|build|test|inspect|bench|push|list`: from nothing to a component that the gateway runs.

mod bench;
mod cases;
mod inspect;
mod measure;
mod new;
mod recorded;
mod steps;
mod subject;
mod test;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use pointsman_plugin::{Plugin, Runtime, RuntimeConfig};
use serde_json::Value as Json;

use self::new::Language;
use super::{Place, components, say, warn};

const NO_CARGO: &str = "cannot run cargo; install it from https://rustup.rs";
#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    /// Write a plugin that builds and passes its cases unchanged
    #[command(
        after_help = "Examples:\n  pointsman plugin new my-router --lang rust && cd my-router && pointsman plugin test\n  pointsman plugin new my-router --lang python"
    )]
    New {
        /// Folder and name of the plugin, kebab-case
        name: String,
        #[arg(long, value_enum, default_value = "rust")]
        lang: Language,
        /// The Rust SDK's folder; found above the current folder where it is there
        #[arg(long, value_name = "FOLDER")]
        sdk: Option<PathBuf>,
    },
    /// Build a plugin, of any language, into a component
    #[command(
        after_help = "Examples:\n  pointsman plugin build\n  pointsman plugin build plugins/guard-pii --out /tmp/out"
    )]
    Build {
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Where the component goes [default: plugins under the build or target folder]
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Build the plugin and run its cases on the component, a Rust plugin's own tests first; or try it on recorded requests
    #[command(
        after_help = "Examples:\n  pointsman plugin test\n  pointsman plugin test --recorded --since 2h\n  pointsman plugin test target/plugins/guard-pii.wasm --recorded --policy quickstart --step pii-in --step-config strict.toml --json\n\nWith --recorded each request runs again as it was, then with this plugin in the place of the step, and what differs is told.\nExit codes: 0 all the same, 1 some differ, 2 nothing could be compared or wrong usage. Without --recorded: 0 the cases hold, 1 not."
    )]
    Test {
        /// The plugin's folder; with --recorded it may be a component
        #[arg(default_value = ".", value_name = "FOLDER|FILE")]
        folder: PathBuf,
        #[command(flatten)]
        recorded: recorded::Arguments,
    },
    /// What a component says of itself, and what its cases take: fuel, time, memory, host calls
    #[command(
        after_help = "Examples:\n  pointsman plugin inspect target/plugins/guard-pii.wasm --json\n  pointsman plugin inspect plugins/guard-pii\n  pointsman plugin inspect guard.wasm --cases cases.jsonl"
    )]
    Inspect(inspect::Arguments),
    /// Measure a plugin's cases on its component: calls a second, times fresh and pooled, fuel
    #[command(
        after_help = "Examples:\n  pointsman plugin bench\n  pointsman plugin bench plugins/guard-pii --instances fresh --seconds 20\n  pointsman plugin bench target/plugins/split-ab.wasm --cases plugins/split-ab/cases.jsonl --threads 8 --json\n\nTimes are of a call with its instance, in microseconds; of a response guard, of the whole answer of a case, and a push by itself.\nFuel is the same on every machine; times are this one's."
    )]
    Bench(bench::Arguments),
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
        PluginCommand::New { name, lang, sdk } => new::new(&name, lang, sdk),
        PluginCommand::Build { folder, out } => {
            let path = build(&folder, out)?;
            let plugin = load(&runtime(Some(build_folder(&folder)?))?, &path)?;
            say(format!("{}  {}", path.display(), summary(&plugin, &path)?));
            Ok(ExitCode::SUCCESS)
        }
        PluginCommand::Test { folder, recorded } if recorded.is_recorded() => {
            Ok(recorded::test(place, &folder, &recorded))
        }
        PluginCommand::Test { folder, .. } => test::test(&folder),
        PluginCommand::Inspect(arguments) => inspect::inspect(&arguments),
        PluginCommand::Bench(arguments) => bench::bench(&arguments),
        PluginCommand::Push { components, json } => components::push(place, &components, json),
        PluginCommand::List { json } => components::list(place, json),
    }
}

/// Where a plugin's builds go: cargo's folder for Rust, else `build` beside its sources.
fn build_folder(folder: &Path) -> anyhow::Result<PathBuf> {
    if pointsman_sdk_build::language(folder)? == pointsman_sdk_build::Language::Rust {
        return target_folder(folder);
    }
    Ok(folder.join("build"))
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
        progress: Some(warn),
        ..pointsman_sdk_build::Options::default()
    };
    Ok(pointsman_sdk_build::build_component(
        folder,
        &build_folder(folder)?,
        &options,
    )?)
}

/// A runtime that keeps compiled code below a build folder: a component with an interpreter in it takes seconds.
fn runtime(build_folder: Option<PathBuf>) -> anyhow::Result<Runtime> {
    Runtime::new(RuntimeConfig {
        compile_cache_dir: build_folder.map(|folder| folder.join("compiled")),
        ..RuntimeConfig::default()
    })
    .context("cannot start the plugin runtime")
}

fn load(runtime: &Runtime, path: &Path) -> anyhow::Result<Arc<Plugin>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    loaded(runtime, path, &bytes)
}

fn loaded(runtime: &Runtime, path: &Path, bytes: &[u8]) -> anyhow::Result<Arc<Plugin>> {
    runtime
        .load(bytes)
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

/// An executor for calls, one thread as a worker of the gateway has.
fn local() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
}
