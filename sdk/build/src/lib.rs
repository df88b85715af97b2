//! From plugins to components. Rust: `cargo build` for `wasm32-unknown-unknown`, then `wit-component`; no other tool is
//! needed. Python, JavaScript and C: a folder with `plugin.toml`, and a toolchain that is installed on first use.
//!
//! Promises: one cargo call for all crates of a workspace; components of Rust and C name no path of the machine they
//! were built on; a component is replaced whole or not at all; nothing of the system is changed.
//! Refuses to know: what plugins mean, wasmtime, the gateway.
#![warn(missing_docs)]

mod c;
mod cargo;
mod error;
mod javascript;
mod manifest;
mod python;
mod tools;
mod unexport;
mod world;

use std::path::{Path, PathBuf};

pub use error::BuildError;
pub use manifest::Language;

use manifest::Manifest;

/// The Rust target that components are built from: it has no ambient imports.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// How to build.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where components go; none: `plugins` under the target directory.
    pub out_dir: Option<PathBuf>,
    /// Cargo features to switch on, as `crate/feature` where several crates are built.
    pub features: Vec<String>,
    /// Refuse to touch the network or change the lock file.
    pub locked: bool,
    /// Where toolchains of other languages are installed; none: `POINTSMAN_TOOLS`, else the user's cache folder.
    pub tools_dir: Option<PathBuf>,
    /// Told of steps that take long; none: nobody is.
    pub progress: Option<fn(&str)>,
}

impl Options {
    fn say(&self, what: &str) {
        if let Some(progress) = self.progress {
            progress(what);
        }
    }
}

/// A component on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The crate's name.
    pub name: String,
    /// Its file, `<out>/<name>.wasm`.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// The language of a plugin's folder: what its `plugin.toml` says, else Rust.
///
/// # Errors
/// When there is a `plugin.toml` and it is wrong.
pub fn language(folder: &Path) -> Result<Language, BuildError> {
    if Manifest::is_in(folder) {
        return Ok(Manifest::read(folder)?.language);
    }
    Ok(Language::Rust)
}

/// Writes the SDK's files into `build/sdk` of a plugin's folder, where editors find them. Rust has its SDK as a crate.
///
/// # Errors
/// When there is no sound `plugin.toml`, or a file cannot be written.
pub fn write_sdk(folder: &Path) -> Result<(), BuildError> {
    let manifest = Manifest::read(folder)?;
    let sdk = folder.join("build/sdk");
    match manifest.language {
        Language::Rust => Ok(()),
        Language::Python => python::write_sdk(&sdk),
        Language::JavaScript => javascript::write_sdk(&sdk),
        Language::C => c::write_sdk(&manifest, &sdk),
    }
}

/// Builds one plugin, of any language, and returns its component's file.
///
/// # Errors
/// What went wrong and what to do next.
pub fn build_component(
    crate_dir: &Path,
    target_dir: &Path,
    options: &Options,
) -> Result<PathBuf, BuildError> {
    if Manifest::is_in(crate_dir) {
        return build_other(&Manifest::read(crate_dir)?, target_dir, options);
    }
    let components = build_components(&[crate_dir], target_dir, options)?;
    let component = components.into_iter().next();
    component
        .map(|component| component.path)
        .ok_or_else(|| BuildError::NoCdylib {
            package: crate_dir.display().to_string(),
        })
}

/// Builds many plugin crates, one cargo call for each workspace among them, in the order given.
///
/// # Errors
/// What went wrong and what to do next. Components that were already written stay.
pub fn build_components<P: AsRef<Path>>(
    crate_dirs: &[P],
    target_dir: &Path,
    options: &Options,
) -> Result<Vec<Component>, BuildError> {
    let target_dir = std::path::absolute(target_dir).map_err(|source| BuildError::Io {
        path: target_dir.to_owned(),
        source,
    })?;
    let out_dir = options
        .out_dir
        .clone()
        .unwrap_or_else(|| target_dir.join("plugins"));
    let packages = crate_dirs
        .iter()
        .map(|dir| cargo::package(dir.as_ref()))
        .collect::<Result<Vec<_>, _>>()?;
    let cores = cargo::build(&packages, &target_dir, options)?;
    std::fs::create_dir_all(&out_dir).map_err(|source| BuildError::Io {
        path: out_dir.clone(),
        source,
    })?;
    packages
        .iter()
        .zip(cores)
        .map(|(package, core)| write_component(&package.name, &core, &out_dir))
        .collect()
}

fn build_other(
    manifest: &Manifest,
    build_dir: &Path,
    options: &Options,
) -> Result<PathBuf, BuildError> {
    let build_dir = std::path::absolute(build_dir).map_err(|source| BuildError::Io {
        path: build_dir.to_owned(),
        source,
    })?;
    let bytes = match manifest.language {
        Language::Python => python::build(manifest, &build_dir, options)?,
        Language::JavaScript => javascript::build(manifest, &build_dir, options)?,
        Language::C | Language::Rust => c::build(manifest, &build_dir, options)?,
    };
    let out_dir = options
        .out_dir
        .clone()
        .unwrap_or_else(|| build_dir.join("plugins"));
    std::fs::create_dir_all(&out_dir).map_err(|source| BuildError::Io {
        path: out_dir.clone(),
        source,
    })?;
    Ok(put(&manifest.name, &bytes, &out_dir)?.path)
}

/// Wraps a core module that carries the SDK's component types into a component, and validates it.
///
/// # Errors
/// When the module has none, or exports less than its roles promise.
pub fn componentize(core: &[u8]) -> Result<Vec<u8>, BuildError> {
    let encode = || {
        wit_component::ComponentEncoder::default()
            .validate(true)
            .module(core)?
            .encode()
    };
    // The alternate form carries the whole chain of causes, which the library's own error type hides.
    encode().map_err(|error| BuildError::Componentize {
        detail: format!("{error:#}"),
    })
}

fn write_component(name: &str, core: &Path, out_dir: &Path) -> Result<Component, BuildError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Io { path, source }
    };
    let core_bytes = std::fs::read(core).map_err(io(core))?;
    put(name, &componentize(&core_bytes)?, out_dir)
}

fn put(name: &str, bytes: &[u8], out_dir: &Path) -> Result<Component, BuildError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| BuildError::Io { path, source }
    };
    let path = out_dir.join(format!("{name}.wasm"));
    // Written aside and renamed, so that a reader never sees half a component.
    let aside = out_dir.join(format!(".{name}.{}.wasm", std::process::id()));
    std::fs::write(&aside, bytes).map_err(io(&aside))?;
    std::fs::rename(&aside, &path).map_err(io(&path))?;
    Ok(Component {
        name: name.to_owned(),
        path,
        bytes: bytes.len() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::{BuildError, componentize};

    /// The empty core module.
    const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn what_is_no_module_is_refused_with_a_reason() {
        let error = componentize(b"not wasm").expect_err("refused");
        assert!(matches!(error, BuildError::Componentize { .. }));
        assert!(error.to_string().contains("magic"), "{error}");
    }

    #[test]
    fn a_module_without_roles_is_an_empty_component() {
        // Preamble of a component: version 13, layer 1.
        let component = componentize(EMPTY).expect("a component");
        assert_eq!(&component[..8], b"\0asm\x0d\0\x01\0");
    }
}
