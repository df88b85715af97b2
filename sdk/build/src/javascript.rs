//! From a JavaScript or TypeScript module to a component: bundled by rolldown, componentized by componentize-js
//! without WASI, because a plugin has none.

use std::path::Path;

use serde_json::json;

use crate::manifest::Manifest;
use crate::{BuildError, Options, tools, world};

const GLUE: &str = include_str!("../../javascript/pointsman.js");
const TYPES: &str = include_str!("../../javascript/pointsman.d.ts");
const SCRIPT: &str = include_str!("../../javascript/tools/build.mjs");

/// Writes the SDK for editors and for the build.
pub(crate) fn write_sdk(sdk: &Path) -> Result<(), BuildError> {
    tools::write(&sdk.join("pointsman.js"), GLUE)?;
    tools::write(&sdk.join("pointsman.d.ts"), TYPES)
}

pub(crate) fn build(
    manifest: &Manifest,
    build_dir: &Path,
    options: &Options,
) -> Result<Vec<u8>, BuildError> {
    let sdk = build_dir.join("sdk");
    write_sdk(&sdk)?;
    let work = build_dir.join("javascript");
    let wit = work.join("wit/pointsman.wit");
    tools::write(&wit, world::text(manifest))?;
    let entry = work.join("entry.js");
    tools::write(&entry, entry_text(manifest))?;
    let (bundle, out) = (work.join("bundle.js"), work.join("component.wasm"));
    let asked = json!({
        "entry": entry, "sdk": sdk.join("pointsman.js"), "bundle": bundle, "wit": wit, "world": world::WORLD, "out": out,
    });
    let mut command = tools::node(SCRIPT, options)?;
    options.say("componentize-js: starting the engine with the plugin in it, and freezing it");
    // In its own folder: the engine is given the files below the current one.
    command.current_dir(&work).arg(asked.to_string());
    tools::compile(command, "componentize-js", &manifest.name)?;
    std::fs::read(&out).map_err(|source| BuildError::Io { path: out, source })
}

/// The module that exports the contract's functions.
fn entry_text(manifest: &Manifest) -> String {
    let info = json!({
        "name": manifest.name, "version": manifest.version, "configSchema": manifest.schema, "imports": manifest.imports,
    });
    let mut text = format!(
        "import {{ Plugin }} from {};\nimport {{ component }} from \"pointsman\";\n\
         const {{ meta, classifier, requestGuard, splitter, router, responseGuard, accountant }} = component(Plugin, {info});\n\
         export {{ meta",
        json!(manifest.source)
    );
    for role in &manifest.roles {
        text.push_str(", ");
        text.push_str(match role.as_str() {
            "request-guard" => "requestGuard",
            "response-guard" => "responseGuard",
            other => other,
        });
    }
    text.push_str(" };\n");
    text
}
