//! Masks, denies or labels personal data in requests and in answers, streamed ones across delta borders.
//!
//! Promises: both directions find the same in the same text, with at most `scan::HOLD_BYTES` of a channel held back;
//! nothing that was found is ever repeated: labels and reasons hold kinds and counts.
#![forbid(unsafe_code)]

pub mod kind;
pub mod scan;
mod settings;

use pointsman_guard::{Stream, check};
use pointsman_sdk::{Checked, Coverage, Plugin, PluginError, RequestGuard, ResponseGuard, View};

pub use settings::{Config, Settings};

/// Longest time that a byte of an answer is held, in milliseconds.
const HOLD_BACK_MS: u32 = 2_000;

/// The configured guard.
#[derive(Debug)]
pub struct GuardPii {
    settings: Settings,
}

impl Plugin for GuardPii {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        let settings = Settings::new(&config)?;
        Ok(Self { settings })
    }
}

impl RequestGuard for GuardPii {
    fn check(&self, request: &dyn View) -> Result<Checked, PluginError> {
        Ok(check(&self.settings, request))
    }
}

impl ResponseGuard for GuardPii {
    type Stream = Stream<Settings>;

    fn covers(&self) -> Coverage {
        Stream::covers(&self.settings, HOLD_BACK_MS)
    }

    fn start(&'static self, _request: &dyn View) -> Self::Stream {
        Stream::new(&self.settings)
    }
}

pointsman_sdk::export_plugin!(GuardPii: request_guard, response_guard);

#[cfg(test)]
mod tests;
