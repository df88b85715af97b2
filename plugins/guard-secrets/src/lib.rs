//! Masks, denies or labels keys, tokens, private keys and passwords in requests and in answers, streamed ones across
//! delta borders.
//!
//! Promises: both directions find the same in the same text, with at most `scan::HOLD_BYTES` of a channel held back;
//! nothing that was found is ever repeated. Refuses to know: whether a secret is still valid.
#![forbid(unsafe_code)]

mod class;
mod context;
mod format;
mod pem;
mod scan;
mod seen;
mod settings;

use pointsman_guard::{Scan as _, Stream, check, finds};
use pointsman_sdk::{Checked, Coverage, Plugin, PluginError, RequestGuard, ResponseGuard, View};

use format::Formats;
pub use scan::Scanner;
use settings::Settings;
pub use settings::{Config, Kind};

/// Longest time that a byte of an answer is held, in milliseconds.
const HOLD_BACK_MS: u32 = 2_000;

/// The configured guard.
#[derive(Debug)]
pub struct GuardSecrets {
    scanner: Scanner,
}

impl GuardSecrets {
    /// What finds secrets.
    #[must_use]
    pub const fn scanner(&self) -> &Scanner {
        &self.scanner
    }
}

impl Plugin for GuardSecrets {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        let scanner = Scanner::new(Formats::new()?, Settings::new(config)?);
        // A mask that a next guard would mask again, or that reads like the real thing, hides nothing.
        for kind in 0..scanner.kinds() {
            if !finds(
                &scanner,
                &format!("token = \"{}\"", scanner.placeholder(kind)),
            )
            .is_empty()
            {
                return Err("placeholder: looks like a secret itself; use words".to_owned());
            }
        }
        Ok(Self { scanner })
    }
}

impl RequestGuard for GuardSecrets {
    fn check(&self, request: &dyn View) -> Result<Checked, PluginError> {
        Ok(check(&self.scanner, request))
    }
}

impl ResponseGuard for GuardSecrets {
    type Stream = Stream<Scanner>;

    fn covers(&self) -> Coverage {
        Stream::covers(&self.scanner, HOLD_BACK_MS)
    }

    fn start(&'static self, _request: &dyn View) -> Self::Stream {
        Stream::new(&self.scanner)
    }
}

pointsman_sdk::export_plugin!(GuardSecrets: request_guard, response_guard);

#[cfg(test)]
mod tests;
