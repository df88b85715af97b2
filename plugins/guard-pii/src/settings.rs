//! The configuration, as the operator writes it and as decisions use it.

use serde::Deserialize;

use crate::kind::{Act, Kind};
use crate::scan::Scanner;

/// Bytes of a placeholder.
const PLACEHOLDER_BYTES_MAX: usize = 64;

/// What the operator writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    email: Act,
    phone: Act,
    card: Act,
    iban: Act,
    ip: Act,
    us_ssn: Act,
    /// `{KIND}` and `{kind}` stand for the kind's name.
    placeholder: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            email: Act::Mask,
            phone: Act::Mask,
            card: Act::Mask,
            iban: Act::Mask,
            // Addresses of machines are the subject of many honest requests.
            ip: Act::Label,
            us_ssn: Act::Mask,
            placeholder: "[{KIND}]".to_owned(),
        }
    }
}

/// What decisions use.
#[derive(Debug)]
pub struct Settings {
    acts: [Act; 6],
    scanner: Scanner,
    placeholders: [String; 6],
}

impl Settings {
    /// Checks a configuration.
    ///
    /// # Errors
    /// Which key is wrong and what is allowed there.
    pub fn new(config: &Config) -> Result<Self, String> {
        let acts = Kind::ALL.map(|kind| match kind {
            Kind::Email => config.email,
            Kind::Phone => config.phone,
            Kind::Card => config.card,
            Kind::Iban => config.iban,
            Kind::Ip => config.ip,
            Kind::UsSsn => config.us_ssn,
        });
        if acts.iter().all(|&act| act == Act::Off) {
            return Err(
                "every kind is \"off\": set one to \"mask\", \"deny\" or \"label\"".to_owned(),
            );
        }
        let template = &config.placeholder;
        if template.len() > PLACEHOLDER_BYTES_MAX {
            return Err(format!(
                "placeholder: {} bytes long, at most {PLACEHOLDER_BYTES_MAX} are allowed",
                template.len()
            ));
        }
        let placeholders = Kind::ALL.map(|kind| {
            template
                .replace("{KIND}", &kind.name().to_ascii_uppercase())
                .replace("{kind}", kind.name())
        });
        // A mask that a next guard would mask again, or that reads like the real thing, hides nothing.
        let everything = Scanner::new([Act::Mask; 6]);
        if placeholders
            .iter()
            .any(|placeholder| !everything.finds(placeholder).is_empty())
        {
            return Err("placeholder: looks like personal data itself; use words".to_owned());
        }
        Ok(Self {
            acts,
            scanner: Scanner::new(acts),
            placeholders,
        })
    }

    /// What finds the kinds that are not off.
    #[must_use]
    pub const fn scanner(&self) -> &Scanner {
        &self.scanner
    }

    /// What is done with a kind.
    #[must_use]
    pub const fn act(&self, kind: Kind) -> Act {
        self.acts[kind.index()]
    }

    /// What stands in a kind's place.
    #[must_use]
    pub fn placeholder(&self, kind: Kind) -> &str {
        &self.placeholders[kind.index()]
    }
}
