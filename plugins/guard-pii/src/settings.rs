//! The configuration, as the operator writes it and as decisions use it.

use pointsman_guard::{Act, Scan, Step, Tail, finds, placeholders, some_wanted};
use pointsman_sdk::Reason;
use serde::Deserialize;

use crate::kind::Kind;
use crate::scan::{BACK_BYTES, HOLD_BYTES, Memo, Scanner, tail};

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
        some_wanted(&acts)?;
        let placeholders = placeholders(&config.placeholder, Kind::ALL.map(Kind::name))?;
        let mut settings = Self::of([Act::Mask; 6], placeholders);
        // A mask that a next guard would mask again, or that reads like the real thing, hides nothing.
        let looks_real = |placeholder: &String| !finds(&settings, placeholder).is_empty();
        if settings.placeholders.iter().any(looks_real) {
            return Err("placeholder: looks like personal data itself; use words".to_owned());
        }
        settings.acts = acts;
        settings.scanner = Scanner::new(acts);
        Ok(settings)
    }

    /// Masks every kind by its name.
    #[must_use]
    pub fn masking() -> Self {
        let placeholder = |kind: Kind| format!("[{}]", kind.name().to_ascii_uppercase());
        Self::of([Act::Mask; 6], Kind::ALL.map(placeholder))
    }

    pub(crate) fn of(acts: [Act; 6], placeholders: [String; 6]) -> Self {
        Self {
            acts,
            scanner: Scanner::new(acts),
            placeholders,
        }
    }
}

impl Scan for Settings {
    type Memo = Memo;

    fn back_bytes(&self) -> usize {
        BACK_BYTES
    }

    fn hold_bytes(&self) -> usize {
        HOLD_BYTES
    }

    fn step(&self, text: &str, at: usize, complete: bool, memo: &mut Memo) -> Step {
        self.scanner.step(text, at, complete, memo)
    }

    fn tail(&self, _kind: usize, text: &str, at: usize, complete: bool) -> Tail {
        tail(text, at, complete)
    }

    fn topic(&self) -> &'static str {
        "pii"
    }

    fn kinds(&self) -> usize {
        Kind::ALL.len()
    }

    fn name(&self, kind: usize) -> &str {
        Kind::ALL[kind].name()
    }

    fn act(&self, kind: usize) -> Act {
        self.acts[kind]
    }

    fn placeholder(&self, kind: usize) -> &str {
        &self.placeholders[kind]
    }

    fn reason(&self, kind: usize, carrier: &str) -> Reason {
        let phrase = Kind::ALL[kind].phrase();
        Reason::new(self.code(kind), format!("the {carrier} holds {phrase}"))
    }
}
