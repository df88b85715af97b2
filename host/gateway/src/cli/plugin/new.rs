//! `pointsman plugin new`: the same small plugin in each language. It builds and passes its cases unchanged.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde_json::Value as Json;

use crate::cli::say;

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

const CASES: &str = include_str!("../../../templates/cases.jsonl");
const SCHEMA: &str = include_str!("../../../templates/config.schema.json");
const README: &str = include_str!("../../../templates/README.md");
const GITIGNORE: &str = include_str!("../../../templates/gitignore.txt");
const PYTHON_NEEDS: &str = "You need Python 3 with pip. `plugin build` installs componentize-py, once, into your cache folder (`POINTSMAN_TOOLS` names another); nothing of your system is changed.";
const JAVASCRIPT_NEEDS: &str = "You need Node.js 20 or newer with npm, or Python 3 with pip to get it with. `plugin build` installs componentize-js, once, into your cache folder (`POINTSMAN_TOOLS` names another); nothing of your system is changed.";
const C_NEEDS: &str = "You need Python 3 with pip. `plugin build` installs the zig compiler from PyPI, once, into your cache folder (`POINTSMAN_TOOLS` names another); nothing of your system is changed.";

/// Languages that there is a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    Rust,
    Python,
    /// Or TypeScript
    #[value(alias = "js", alias = "typescript", alias = "ts")]
    Javascript,
    C,
}

type Files = Vec<(&'static str, String)>;

/// Makes the plugin's folder.
pub(crate) fn new(
    name: &str,
    language: Language,
    sdk: Option<PathBuf>,
) -> anyhow::Result<ExitCode> {
    check_name(name)?;
    let folder = PathBuf::from(name);
    if folder.exists() {
        bail!(
            "{} is there already; choose another name or remove it",
            folder.display()
        );
    }
    let files = if language == Language::Rust {
        let sdk = sdk_folder(sdk)?;
        rust_files(name, &sdk, is_member(&folder, &sdk))
    } else {
        if sdk.is_some() {
            bail!("--sdk is for Rust alone; the other languages' SDKs are part of this program");
        }
        other_files(name, language)
    };
    for (file, text) in files {
        let path = folder.join(file);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if language != Language::Rust {
        pointsman_sdk_build::write_sdk(&folder)?;
    }
    let tested = if language == Language::Rust {
        "its cases, natively and as a component"
    } else {
        "builds the component and runs its cases"
    };
    say(format!(
        "made {name}/; next:\n  cd {name}\n  pointsman plugin test     # {tested}\n  pointsman plugin build    # the component for the gateway's folder of plugins"
    ));
    Ok(ExitCode::SUCCESS)
}

/// The files of a plugin in another language than Rust.
fn other_files(name: &str, language: Language) -> Files {
    let (source, text, needs, others): (_, _, _, &[(&'static str, &str)]) = match language {
        Language::Python | Language::Rust => (
            "plugin.py",
            include_str!("../../../templates/python/plugin.py"),
            PYTHON_NEEDS,
            &[
                (
                    "plugin.toml",
                    include_str!("../../../templates/python/plugin.toml"),
                ),
                (
                    "pyrightconfig.json",
                    include_str!("../../../templates/python/pyrightconfig.json"),
                ),
            ],
        ),
        Language::Javascript => (
            "plugin.js",
            include_str!("../../../templates/javascript/plugin.js"),
            JAVASCRIPT_NEEDS,
            &[
                (
                    "plugin.toml",
                    include_str!("../../../templates/javascript/plugin.toml"),
                ),
                (
                    "jsconfig.json",
                    include_str!("../../../templates/javascript/jsconfig.json"),
                ),
            ],
        ),
        Language::C => (
            "plugin.c",
            include_str!("../../../templates/c/plugin.c"),
            C_NEEDS,
            &[
                (
                    "plugin.toml",
                    include_str!("../../../templates/c/plugin.toml"),
                ),
                (
                    "compile_flags.txt",
                    include_str!("../../../templates/c/compile_flags.txt"),
                ),
            ],
        ),
    };
    let fill = |text: &str| {
        text.replace("{{name}}", name)
            .replace("{{source}}", source)
            .replace("{{needs}}", needs)
    };
    let mut files = vec![
        (source, fill(text)),
        ("config.schema.json", fill(SCHEMA)),
        ("cases.jsonl", fill(CASES)),
        ("README.md", fill(README)),
        (".gitignore", GITIGNORE.to_owned()),
    ];
    files.extend(others.iter().map(|(file, text)| (*file, fill(text))));
    files
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

/// The Rust template's files with their texts.
fn rust_files(name: &str, sdk: &Path, member: bool) -> Files {
    let manifest = include_str!("../../../templates/rust/Cargo.toml.txt");
    let manifest = match manifest.split_once(ALONE) {
        Some((shared, _)) if member => shared,
        _ => manifest,
    };
    // A JSON string is a TOML string: a folder's name may hold quotes and backslashes.
    let sdk = Json::from(sdk.display().to_string()).to_string();
    let fill = |text: &str| text.replace("{{name}}", name).replace("\"{{sdk}}\"", &sdk);
    vec![
        ("Cargo.toml", fill(manifest)),
        (
            "src/lib.rs",
            fill(include_str!("../../../templates/rust/lib.rs.txt")),
        ),
        ("config.schema.json", fill(SCHEMA)),
        ("cases.jsonl", fill(CASES)),
        (
            "README.md",
            fill(include_str!("../../../templates/rust/README.md")),
        ),
        (
            ".gitignore",
            fill(include_str!("../../../templates/rust/gitignore.txt")),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Language, check_name, is_member, other_files, rust_files};

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
            let files = rust_files("my-router", Path::new("/a \"b\"/sdk/rust"), member);
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

    #[test]
    fn other_languages_have_the_same_cases_and_every_place_filled() {
        for language in [Language::Python, Language::Javascript, Language::C] {
            let files = other_files("my-router", language);
            for (file, text) in &files {
                // A type of TypeScript may open two braces as well.
                let mut after = text.split("{{").skip(1);
                let is_filled = after.all(|rest| !rest.starts_with(char::is_alphabetic));
                assert!(is_filled, "{language:?}: {file}");
            }
            let text = |name: &str| {
                files
                    .iter()
                    .find(|(file, _)| *file == name)
                    .map(|(_, text)| text)
            };
            assert_eq!(text("cases.jsonl").map(String::as_str), Some(super::CASES));
            let manifest: toml::Table = text("plugin.toml").expect("there").parse().expect("TOML");
            assert_eq!(manifest["name"].as_str(), Some("my-router"));
        }
    }
}
