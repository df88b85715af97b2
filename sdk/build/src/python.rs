//! From a Python module to a component, by componentize-py. The interpreter is within, started at build time; WASI is
//! stubbed, because a plugin has none.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::manifest::Manifest;
use crate::{BuildError, Options, tools, unexport, world};

/// The SDK's files.
const SDK: [(&str, &str); 3] = [
    (
        "__init__.py",
        include_str!("../../python/pointsman/__init__.py"),
    ),
    ("host.py", include_str!("../../python/pointsman/host.py")),
    ("_glue.py", include_str!("../../python/pointsman/_glue.py")),
];
/// The module that is componentized.
const ENTRY: &str = "pointsman_component";
/// What componentize-py leaves among the exports.
const LEFT_OVER: &str = "exports";
/// A folder that is none of the plugin's sources.
const BUILD: &str = "build";

/// Writes the SDK for editors and for the build.
pub(crate) fn write_sdk(sdk: &Path) -> Result<(), BuildError> {
    for (name, text) in SDK {
        tools::write(&sdk.join("pointsman").join(name), text)?;
    }
    Ok(())
}

pub(crate) fn build(
    manifest: &Manifest,
    build_dir: &Path,
    options: &Options,
) -> Result<Vec<u8>, BuildError> {
    let sdk = build_dir.join("sdk");
    write_sdk(&sdk)?;
    // Sources are copied, so that neither compiled files get into the plugin's folder nor others into the component.
    let app = build_dir.join("python");
    if app.exists() {
        std::fs::remove_dir_all(&app).map_err(|source| BuildError::Io {
            path: app.clone(),
            source,
        })?;
    }
    copy_modules(&manifest.folder, &app)?;
    tools::write(&app.join(format!("{ENTRY}.py")), entry(manifest))?;
    if manifest.roles.iter().any(|role| role == "response-guard") {
        // A resource's class is looked up in a module with its interface's name.
        tools::write(
            &app.join("response_guard.py"),
            "from pointsman._glue import Guard as Guard\n",
        )?;
    }
    let wit = build_dir.join("wit/pointsman.wit");
    tools::write(&wit, world::text(manifest))?;
    let raw = app.join("component.wasm");
    let mut command = tools::python(tools::COMPONENTIZE_PY, options)?;
    options.say("componentize-py: starting Python with the plugin in it, and freezing it");
    command
        .args([
            "-c",
            "import sys; from componentize_py import script; sys.exit(script())",
        ])
        .arg("--wit-path")
        .arg(&wit)
        .args(["--world", world::WORLD, "--quiet", "componentize", ENTRY])
        .args(["--stub-wasi", "--python-path"])
        .arg(&app)
        .arg("--python-path")
        .arg(&sdk)
        .arg("--output")
        .arg(&raw)
        // Part of what is frozen: the same sources give the same component.
        .env("PYTHONHASHSEED", "0");
    tools::compile(command, "componentize-py", &manifest.name)?;
    let bytes = std::fs::read(&raw).map_err(|source| BuildError::Io {
        path: raw.clone(),
        source,
    })?;
    unexport::instance(&bytes, LEFT_OVER)
}

/// The module that the contract's functions are looked up in. Everything is imported here, at build time: later there
/// are no files.
fn entry(manifest: &Manifest) -> String {
    let module = manifest.source.file_stem().unwrap_or_default();
    let mut text = format!(
        "from wit_world.exports import meta as _meta\n\
         from wit_world.imports import clock, counters, data, embedding, log, prices, random, request, secrets, targets, types\n\
         import pointsman.host\n\
         from pointsman import _glue\n\
         from {} import Plugin as _Plugin\n\n",
        module.display()
    );
    for role in &manifest.roles {
        let class = camel(role);
        let file = role.replace('-', "_");
        // Classifier and splitter have no types of their own.
        if !matches!(role.as_str(), "classifier" | "splitter") {
            let _ = writeln!(text, "from wit_world.exports import {file} as _{file}");
        }
        let _ = writeln!(text, "{class} = _glue.{class}");
    }
    let attributes = "[types.Attribute(\"language\", types.Value_Text(\"python\")), types.Attribute(\"instances\", types.Value_Text(\"pooled\")), types.Attribute(\"memory-mib\", types.Value_Integer(128)), types.Attribute(\"fuel\", types.Value_Integer(1_000_000_000)), types.Attribute(\"epoch-ms\", types.Value_Integer(500))]";
    // JSON strings are Python strings.
    let text_of = |text: &str| serde_json::Value::from(text).to_string();
    let _ = write!(
        text,
        "\n\nclass Meta:\n    def describe(self):\n        return _meta.Info({}, {}, {}, {}, {attributes})\n\n    def configure(self, config):\n        _glue.configure(_Plugin, config)\n",
        text_of(&manifest.name),
        text_of(&manifest.version),
        text_of(&manifest.schema),
        serde_json::json!(manifest.imports),
    );
    text
}

/// `request-guard` as `RequestGuard`.
fn camel(role: &str) -> String {
    role.split('-')
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}

/// Python files of a folder and its packages.
fn copy_modules(from: &Path, to: &Path) -> Result<(), BuildError> {
    let io = |path: PathBuf| move |source| BuildError::Io { path, source };
    for entry in std::fs::read_dir(from).map_err(io(from.to_owned()))? {
        let entry = entry.map_err(io(from.to_owned()))?;
        let path = entry.path();
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if path.is_dir() {
            if shown != BUILD && !shown.starts_with('.') && shown != "__pycache__" {
                copy_modules(&path, &to.join(&name))?;
            }
        } else if path.extension().is_some_and(|extension| extension == "py") {
            let bytes = std::fs::read(&path).map_err(io(path.clone()))?;
            tools::write(&to.join(&name), bytes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn roles_are_classes() {
        assert_eq!(super::camel("request-guard"), "RequestGuard");
        assert_eq!(super::camel("router"), "Router");
    }
}
