//! What the export macros expand to call. Public because macros need paths; not for plugins to use.

use std::cell::RefCell;
use std::sync::OnceLock;

pub use crate::generated::host::pointsman::plugin::request::View as ViewHandle;
pub use crate::generated::host::pointsman::plugin::targets::Pool as PoolHandle;
use crate::generated::meta::exports::pointsman::plugin::meta::Info;
use crate::plugin::{GuardStream, Plugin};
use crate::words::{Coverage, PluginError};

/// A plugin's configured state; part of the snapshot that decisions start from.
#[derive(Debug)]
pub struct State<P>(OnceLock<P>);

impl<P> State<P> {
    /// Not configured yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The configured plugin.
    ///
    /// # Errors
    /// When the host never called `configure`.
    pub fn plugin(&self) -> Result<&P, PluginError> {
        self.0
            .get()
            .ok_or_else(|| PluginError::Internal("called before configure".to_owned()))
    }
}

impl<P> Default for State<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// Answers `meta.describe`.
#[must_use]
pub fn describe<P: Plugin>(name: &str, version: &str) -> Info {
    Info {
        name: name.to_owned(),
        version: version.to_owned(),
        config_schema: P::CONFIG_SCHEMA.to_owned(),
        imports: P::IMPORTS.iter().map(|&import| import.to_owned()).collect(),
        attributes: P::attributes(),
    }
}

/// Answers `meta.configure`.
///
/// # Errors
/// Text for the operator.
pub fn configure<P: Plugin>(state: &State<P>, config: &str) -> Result<(), String> {
    let plugin = P::configure(parse::<P>(config)?)?;
    state
        .0
        .set(plugin)
        .map_err(|_| "configured twice".to_owned())
}

/// Reads a configuration; nothing at all, or null, means the empty object.
///
/// # Errors
/// Text for the operator.
pub fn parse<P: Plugin>(config: &str) -> Result<P::Config, String> {
    let config = match config.trim() {
        "" | "null" => "{}",
        config => config,
    };
    serde_json::from_str(config).map_err(|error| format!("config: {error}"))
}

/// A response guard's stream behind the shared reference that the bindings give.
#[derive(Debug)]
pub struct StreamCell<S>(RefCell<Option<S>>);

impl<S: GuardStream> StreamCell<S> {
    /// None: the plugin was not configured; said at the first call, because a constructor cannot fail.
    #[must_use]
    pub const fn new(stream: Option<S>) -> Self {
        Self(RefCell::new(stream))
    }

    /// Runs one call on the stream.
    ///
    /// # Errors
    /// The call's own, or that there is no stream.
    pub fn run<T>(
        &self,
        call: impl FnOnce(&mut S) -> Result<T, PluginError>,
    ) -> Result<T, PluginError> {
        match self.0.borrow_mut().as_mut() {
            Some(stream) => call(stream),
            None => Err(PluginError::Internal("called before configure".to_owned())),
        }
    }
}

/// What an unconfigured response guard covers.
#[must_use]
pub const fn covers_nothing() -> Coverage {
    Coverage {
        kinds: Vec::new(),
        hold_back_bytes: 0,
        hold_back_ms: 0,
        attributes: Vec::new(),
    }
}
