//! From C files to a component: bindings by wit-bindgen, compiled by the zig of PyPI, wrapped by wit-component.

use std::fmt::Write as _;
use std::path::Path;

use wit_bindgen_c::{Enabled, Opts};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

use crate::manifest::Manifest;
use crate::{BuildError, Options, componentize, tools, world};

const HELPERS: &str = include_str!("../../c/pointsman_sdk.h");
/// Generated beside the bindings: what the plugin is.
const DESCRIBE: &str = "pointsman_describe.c";
/// Bytes that a C plugin's stack may take.
const STACK_BYTES: u32 = 256 << 10;

/// Writes bindings and helpers for editors and for the build.
pub(crate) fn write_sdk(manifest: &Manifest, sdk: &Path) -> Result<(), BuildError> {
    let mut files = Files::default();
    bindings(manifest, &mut files).map_err(|detail| BuildError::Bindings { detail })?;
    for (name, content) in files.iter() {
        tools::write(&sdk.join(name), content)?;
    }
    tools::write(&sdk.join("pointsman_sdk.h"), HELPERS)?;
    tools::write(&sdk.join(DESCRIBE), describe(manifest))
}

fn bindings(manifest: &Manifest, files: &mut Files) -> Result<(), String> {
    let mut resolve = Resolve::default();
    let package = resolve
        .push_str("pointsman.wit", &world::text(manifest))
        .map_err(|error| error.to_string())?;
    let world = resolve
        .select_world(&[package], Some(world::WORLD))
        .map_err(|error| error.to_string())?;
    let options = Opts {
        // A borrow that is kept past the call is a fault, and C has nothing that would give it back.
        autodrop_borrows: Enabled::Yes,
        ..Opts::default()
    };
    options
        .build()
        .generate(&mut resolve, world, files)
        .map_err(|error| error.to_string())
}

pub(crate) fn build(
    manifest: &Manifest,
    build_dir: &Path,
    options: &Options,
) -> Result<Vec<u8>, BuildError> {
    let sdk = build_dir.join("sdk");
    write_sdk(manifest, &sdk)?;
    let module = build_dir.join("module.wasm");
    let mut command = tools::python(tools::ZIGLANG, options)?;
    let cache = tools::root(options)?.join("zig-cache");
    command
        .args(["-m", "ziglang", "cc", "-target", "wasm32-wasi"])
        .args(["-mexec-model=reactor", "-std=c11", "-Os", "-g0"])
        .args(["-Wall", "-Wextra", "-Werror=implicit-function-declaration"])
        .arg("-Wl,--strip-debug")
        .arg(format!("-Wl,-z,stack-size={STACK_BYTES}"))
        // What is generated is not the author's to mend.
        .arg("-isystem")
        .arg(&sdk)
        .args(sources(manifest)?)
        .arg(sdk.join(DESCRIBE))
        .args(["-w"])
        .arg(sdk.join("pointsman.c"))
        .arg(sdk.join("pointsman_component_type.o"))
        .arg("-o")
        .arg(&module)
        .env("ZIG_GLOBAL_CACHE_DIR", &cache)
        .env("ZIG_LOCAL_CACHE_DIR", build_dir.join("zig-cache"));
    options.say("compiling C with zig");
    tools::compile(command, "zig cc", &manifest.name)?;
    let bytes = std::fs::read(&module).map_err(|source| BuildError::Io {
        path: module,
        source,
    })?;
    componentize(&bytes).map_err(|error| match error {
        BuildError::Componentize { detail } if detail.contains("wasi_snapshot_preview1") => {
            BuildError::Componentize {
                detail: format!(
                    "it uses WASI: printf, files, time and the like are not there; log with pm_log ({detail})"
                ),
            }
        }
        other => other,
    })
}

/// The main file, and every other C file beside it.
fn sources(manifest: &Manifest) -> Result<Vec<std::path::PathBuf>, BuildError> {
    let folder = manifest.source.parent().unwrap_or(&manifest.folder);
    let io = |source| BuildError::Io {
        path: folder.to_owned(),
        source,
    };
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}

/// `meta.describe`, from the manifest.
fn describe(manifest: &Manifest) -> String {
    let mut text = String::from(
        "#include \"pointsman_sdk.h\"\n\nvoid exports_pointsman_plugin_meta_describe(exports_pointsman_plugin_meta_info_t *info) {\n",
    );
    for (field, value) in [
        ("name", &manifest.name),
        ("version", &manifest.version),
        ("config_schema", &manifest.schema),
    ] {
        let _ = writeln!(
            text,
            "  pointsman_string_dup(&info->{field}, {});",
            literal(value)
        );
    }
    let count = manifest.imports.len();
    let _ = writeln!(
        text,
        "  info->imports.len = {count};\n  info->imports.ptr = pm_alloc({count} * sizeof(pointsman_string_t));"
    );
    for (index, import) in manifest.imports.iter().enumerate() {
        let _ = writeln!(
            text,
            "  pointsman_string_dup(&info->imports.ptr[{index}], {});",
            literal(import)
        );
    }
    text.push_str("  info->attributes.len = 1;\n  info->attributes.ptr = pm_alloc(sizeof(pointsman_plugin_types_attribute_t));\n  info->attributes.ptr[0] = pm_attribute_text(\"language\", \"c\");\n}\n");
    text
}

/// A C string: every byte that is not plain is written in octal, which no following digit can lengthen.
fn literal(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' | b'?' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b'\n' => out.push_str("\\n"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\{byte:03o}");
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn any_text_is_a_c_string() {
        assert_eq!(
            super::literal("a\"b\\c\n??é1"),
            r#""a\"b\\c\n\?\?\303\2511""#
        );
    }
}
