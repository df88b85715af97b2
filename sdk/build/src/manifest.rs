//! `plugin.toml`: what a plugin in Python, JavaScript or C is. A Rust plugin says the same in its Cargo.toml and code.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::BuildError;

/// The file's name.
pub(crate) const FILE: &str = "plugin.toml";
/// Roles of the contract.
const ROLES: [&str; 6] = [
    "classifier",
    "request-guard",
    "splitter",
    "router",
    "response-guard",
    "accountant",
];

/// A language that plugins are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// A cargo package.
    Rust,
    /// One class in a Python module.
    Python,
    /// One class in a JavaScript or TypeScript module.
    JavaScript,
    /// C files.
    C,
}

impl Language {
    /// Its name, as `plugin.toml` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::C => "c",
        }
    }

    /// The source file where `plugin.toml` names none.
    const fn source(self) -> &'static str {
        match self {
            Self::Rust => "src/lib.rs",
            Self::Python => "plugin.py",
            Self::JavaScript => "plugin.js",
            Self::C => "plugin.c",
        }
    }
}

/// What `plugin.toml` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Written {
    name: String,
    version: String,
    language: Language,
    roles: Vec<String>,
    #[serde(default)]
    imports: Vec<String>,
    source: Option<PathBuf>,
}

/// A plugin that is no cargo package.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// The plugin's folder, absolute.
    pub(crate) folder: PathBuf,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) language: Language,
    pub(crate) roles: Vec<String>,
    /// Host interfaces that it calls.
    pub(crate) imports: Vec<String>,
    /// Its main source file, absolute.
    pub(crate) source: PathBuf,
    /// `config.schema.json`, as it is.
    pub(crate) schema: String,
}

impl Manifest {
    /// Whether the folder has one.
    pub(crate) fn is_in(folder: &Path) -> bool {
        folder.join(FILE).is_file()
    }

    /// Reads a folder's.
    pub(crate) fn read(folder: &Path) -> Result<Self, BuildError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| BuildError::Io { path, source }
        };
        let folder = folder.canonicalize().map_err(io(folder))?;
        let path = folder.join(FILE);
        let bad = |detail: String| BuildError::Manifest {
            path: path.clone(),
            detail,
        };
        let text = std::fs::read_to_string(&path).map_err(io(&path))?;
        let written: Written =
            toml::from_str(&text).map_err(|error| bad(error.to_string().trim().to_owned()))?;
        if written.language == Language::Rust {
            return Err(bad(
                "a Rust plugin is a cargo package and has no plugin.toml; remove it".to_owned(),
            ));
        }
        if !is_name(&written.name) {
            return Err(bad(format!(
                "name `{}`: use lower-case letters, digits and single hyphens, such as my-router",
                written.name
            )));
        }
        if written.roles.is_empty() {
            return Err(bad(format!(
                "roles: name at least one of {}",
                ROLES.join(", ")
            )));
        }
        if let Some(unknown) = written
            .roles
            .iter()
            .find(|role| !ROLES.contains(&role.as_str()))
        {
            return Err(bad(format!(
                "roles: `{unknown}` is none of {}",
                ROLES.join(", ")
            )));
        }
        let source = written
            .source
            .unwrap_or_else(|| written.language.source().into());
        let source = folder.join(source);
        if !source.is_file() {
            return Err(bad(format!(
                "source: there is no file {}",
                source.display()
            )));
        }
        let schema = folder.join("config.schema.json");
        let mut roles = written.roles;
        roles.sort();
        roles.dedup();
        Ok(Self {
            schema: std::fs::read_to_string(&schema).map_err(io(&schema))?,
            name: written.name,
            version: written.version,
            language: written.language,
            roles,
            imports: written.imports,
            source,
            folder,
        })
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .split('-')
            .all(|word| !word.is_empty() && word.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    fn read(text: &str) -> Result<Manifest, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("plugin.toml"), text).expect("a file");
        std::fs::write(folder.path().join("plugin.py"), "").expect("a file");
        std::fs::write(folder.path().join("config.schema.json"), "{}").expect("a file");
        Manifest::read(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_manifest_names_what_is_built() {
        let manifest = read(
            "name = \"my-router\"\nversion = \"0.1.0\"\nlanguage = \"python\"\nroles = [\"router\", \"classifier\"]\n",
        )
        .expect("sound");
        assert_eq!(manifest.roles, ["classifier", "router"]);
        assert!(manifest.source.ends_with("plugin.py"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        let good =
            "name = \"a\"\nversion = \"0.1.0\"\nlanguage = \"python\"\nroles = [\"router\"]\n";
        for (broken, word) in [
            (good.replace("\"a\"", "\"A B\""), "my-router"),
            (good.replace("python", "cobol"), "javascript"),
            (good.replace("\"router\"", "\"ruoter\""), "response-guard"),
            (good.replace("\"router\"", ""), "response-guard"),
            (good.replace("version", "vresion"), "vresion"),
            (format!("{good}source = \"other.py\"\n"), "other.py"),
            (good.replace("python", "rust"), "cargo"),
        ] {
            let error = read(&broken).expect_err("refused");
            assert!(error.contains(word), "`{word}` is missing: {error}");
        }
    }
}
