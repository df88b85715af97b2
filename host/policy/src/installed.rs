//! What is known of the node when a bundle is checked: installed plugins, and which one a reference means.

use pointsman_domain::{Digest, Role};
use serde_json::Value;

use crate::finding::{Finding, Path};
use crate::lock::{FILE_NAME, Lock};
use crate::nearest::did_you_mean;
use crate::policy::{PluginRef, newer};

/// What an installed plugin says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginFact {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it exports.
    pub roles: Vec<Role>,
    /// The host interfaces that it calls: `prices`, `data`, …
    pub imports: Vec<String>,
    /// The JSON Schema of its configuration.
    pub config_schema: Value,
}

impl PluginFact {
    /// `name@version`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }
}

impl Default for PluginFact {
    fn default() -> Self {
        Self {
            name: String::new(),
            version: String::new(),
            digest: Digest([0; 32]),
            roles: Vec::new(),
            imports: Vec::new(),
            config_schema: Value::Bool(true),
        }
    }
}

/// Installed plugins as a bundle sees them: through its lock, where it has one.
#[derive(Clone, Copy, Debug)]
pub struct Installed<'a> {
    plugins: &'a [PluginFact],
    lock: Option<&'a Lock>,
}

impl<'a> Installed<'a> {
    /// All that is installed, and the bundle's lock.
    #[must_use]
    pub const fn new(plugins: &'a [PluginFact], lock: Option<&'a Lock>) -> Self {
        Self { plugins, lock }
    }

    /// The plugin that a reference means: what it is locked to, else the newest version that matches.
    ///
    /// # Errors
    /// No such plugin or version, two different files of one version, or not the bytes that are locked.
    pub fn resolve(&self, reference: &PluginRef) -> Result<&'a PluginFact, ResolveError> {
        let named: Vec<&PluginFact> = self
            .plugins
            .iter()
            .filter(|plugin| plugin.name == reference.name)
            .collect();
        if named.is_empty() {
            let mut names: Vec<_> = self
                .plugins
                .iter()
                .map(|plugin| plugin.name.as_str())
                .collect();
            names.sort_unstable();
            names.dedup();
            let help =
                did_you_mean(&reference.name, names.iter().copied()).unwrap_or_else(|| match names
                    .as_slice()
                {
                    [] => "no plugin is installed".to_owned(),
                    names => format!("installed: {}", names.join(", ")),
                });
            return Err(ResolveError::Plugin {
                name: reference.name.clone(),
                help,
            });
        }
        if let Some(locked) = self.lock.and_then(|lock| lock.get(reference)) {
            if let Some(plugin) = named.iter().find(|plugin| plugin.digest == locked.digest) {
                return Ok(plugin);
            }
            let same = named.iter().find(|plugin| plugin.version == locked.version);
            return Err(ResolveError::Locked {
                reference: reference.to_string(),
                locked: format!("{} ({})", locked.version, locked.digest),
                installed: same.map_or_else(
                    || versions(&named),
                    |same| format!("{} ({})", same.version, same.digest),
                ),
            });
        }
        let matching = named
            .iter()
            .filter(|plugin| reference.matches(&plugin.version));
        let Some(newest) = matching
            .clone()
            .max_by(|a, b| newer(&a.version, &b.version))
        else {
            return Err(ResolveError::Version {
                reference: reference.to_string(),
                installed: versions(&named),
            });
        };
        let twin = matching
            .clone()
            .find(|other| other.version == newest.version && other.digest != newest.digest);
        match twin {
            Some(twin) => Err(ResolveError::Ambiguous {
                plugin: newest.label(),
                digests: format!("{} and {}", newest.digest, twin.digest),
            }),
            None => Ok(newest),
        }
    }
}

fn versions(plugins: &[&PluginFact]) -> String {
    let mut versions: Vec<_> = plugins
        .iter()
        .map(|plugin| plugin.version.as_str())
        .collect();
    versions.sort_by(|a, b| newer(a, b));
    versions.dedup();
    versions.join(", ")
}

/// Why a reference means no plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// None of this name.
    #[error("no plugin `{name}` is installed")]
    Plugin {
        /// The name.
        name: String,
        /// What to do.
        help: String,
    },
    /// None of this version.
    #[error("no version of `{reference}` is installed")]
    Version {
        /// The reference.
        reference: String,
        /// The versions there are.
        installed: String,
    },
    /// Two files say that they are the same version.
    #[error("{plugin} is installed twice with different bytes: {digests}")]
    Ambiguous {
        /// `name@version`.
        plugin: String,
        /// Both digests.
        digests: String,
    },
    /// The locked bytes are not installed.
    #[error("`{reference}` is locked to {locked}, and installed is {installed}")]
    Locked {
        /// The reference.
        reference: String,
        /// Version and digest in the lock.
        locked: String,
        /// What there is instead.
        installed: String,
    },
}

impl ResolveError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::Plugin { help, .. } => help.clone(),
            Self::Version { installed, .. } => format!("installed: {installed}"),
            Self::Ambiguous { .. } => "remove one of the files".to_owned(),
            Self::Locked { .. } => {
                format!("install the locked plugin, or delete {FILE_NAME} and lock again")
            }
        }
    }

    /// As a finding at a place.
    #[must_use]
    pub fn finding(&self, at: Path) -> Finding {
        Finding::error(at, self.to_string()).help(self.help())
    }
}
