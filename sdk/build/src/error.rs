//! What can go wrong between a plugin's sources and its component, each with the next step.

use std::path::PathBuf;

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Cargo or rustc could not be started.
    #[error("cannot run `{program}`; install Rust from https://rustup.rs and try again")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Rust has no standard library for the target.
    #[error(
        "Rust's {target} target is not installed; run `rustup target add {target}` and try again"
    )]
    MissingTarget {
        /// The target.
        target: &'static str,
    },
    /// The directory is no cargo package.
    #[error("{dir} is no cargo package: {detail}")]
    NoPackage {
        /// The directory.
        dir: PathBuf,
        /// What cargo said.
        detail: String,
    },
    /// Compilation failed; cargo already showed why.
    #[error("cargo could not build {packages}:\n{detail}")]
    Compile {
        /// The packages.
        packages: String,
        /// What the compiler said.
        detail: String,
    },
    /// The package has no cdylib.
    #[error(
        "{package} builds no Wasm module; add `[lib] crate-type = [\"cdylib\", \"rlib\"]` to its Cargo.toml"
    )]
    NoCdylib {
        /// The package.
        package: String,
    },
    /// The module is no plugin.
    #[error(
        "the module cannot become a component: {detail}; does it call `pointsman_sdk::export_plugin!`?"
    )]
    Componentize {
        /// What the encoder said.
        detail: String,
    },
    /// `plugin.toml` is not one.
    #[error("{path}: {detail}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        detail: String,
    },
    /// A program that only the author can install is not there.
    #[error("{tool} is missing; {install}")]
    MissingTool {
        /// The program.
        tool: String,
        /// How it is installed.
        install: String,
    },
    /// There is no folder for toolchains.
    #[error(
        "no folder for toolchains: neither HOME nor XDG_CACHE_HOME is set; name one in POINTSMAN_TOOLS"
    )]
    NoToolsFolder,
    /// A toolchain could not be installed.
    #[error("{tool} could not install what the build needs:\n{detail}\n{advice}")]
    Install {
        /// `pip` or `npm`.
        tool: String,
        /// What it said.
        detail: String,
        /// What to do.
        advice: String,
    },
    /// An installed program could not be started.
    #[error("cannot run `{program}`")]
    Run {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A compiler of another language than Rust failed.
    #[error("{tool} could not build {name}:\n{detail}")]
    Tool {
        /// The compiler.
        tool: String,
        /// The plugin.
        name: String,
        /// What it said.
        detail: String,
    },
    /// The contract could not be turned into bindings.
    #[error("cannot generate bindings: {detail}")]
    Bindings {
        /// Why.
        detail: String,
    },
    /// A file could not be read or written.
    #[error("cannot read or write {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
