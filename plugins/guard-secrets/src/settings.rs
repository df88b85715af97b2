//! The configuration, as the operator writes it and as decisions use it.

use pointsman_guard::{Act, placeholders, some_wanted};
use serde::Deserialize;

/// Values that are no secrets.
const ALLOWED_MAX: usize = 256;

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A key or token of a known form.
    Key,
    /// A private key.
    PrivateKey,
    /// A value given to a name such as `api_key` or `password`.
    Assigned,
    /// What logs in: in a URL, an `Authorization` header, `curl -u`.
    Login,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Key, Self::PrivateKey, Self::Assigned, Self::Login];

    /// As in configuration and labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::PrivateKey => "private-key",
            Self::Assigned => "assigned",
            Self::Login => "login",
        }
    }

    pub(crate) const fn phrase(self) -> &'static str {
        match self {
            Self::Key => "a key or token of a service",
            Self::PrivateKey => "a private key",
            Self::Assigned => "a secret value with its name",
            Self::Login => "credentials of a login",
        }
    }
}

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    key: Act,
    private_key: Act,
    assigned: Act,
    login: Act,
    /// `{KIND}` and `{kind}` stand for the kind's name.
    placeholder: String,
    /// Values that may pass, exactly as they are written.
    allow: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key: Act::Mask,
            private_key: Act::Mask,
            assigned: Act::Mask,
            login: Act::Mask,
            placeholder: "[{KIND}]".to_owned(),
            allow: Vec::new(),
        }
    }
}

/// What decisions use.
#[derive(Debug)]
pub(crate) struct Settings {
    acts: [Act; 4],
    placeholders: [String; 4],
    allowed: Vec<String>,
}

impl Settings {
    /// Checks a configuration.
    ///
    /// # Errors
    /// Which key is wrong and what is allowed there.
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        let acts = [
            config.key,
            config.private_key,
            config.assigned,
            config.login,
        ];
        some_wanted(&acts)?;
        if config.allow.len() > ALLOWED_MAX {
            return Err(format!("allow: at most {ALLOWED_MAX} values"));
        }
        let placeholders = placeholders(&config.placeholder, Kind::ALL.map(Kind::name))?;
        Ok(Self {
            acts,
            placeholders,
            allowed: config.allow,
        })
    }

    pub(crate) const fn act(&self, kind: usize) -> Act {
        self.acts[kind]
    }

    pub(crate) fn placeholder(&self, kind: usize) -> &str {
        &self.placeholders[kind]
    }

    pub(crate) fn allowed(&self) -> &[String] {
        &self.allowed
    }
}
