//! The kinds of personal data and what a policy does with each.

use pointsman_sdk::Reason;
use serde::Deserialize;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// A payment card number.
    Card,
    /// An international bank account number.
    Iban,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A United States social security number.
    UsSsn,
}

impl Kind {
    /// All of them, in the order of `index`.
    pub const ALL: [Self; 6] = [
        Self::Email,
        Self::Phone,
        Self::Card,
        Self::Iban,
        Self::Ip,
        Self::UsSsn,
    ];

    /// Its place in tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// As in configuration and labels.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Ip => "ip",
            Self::UsSsn => "us-ssn",
        }
    }

    /// The count label's key and the reason's code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Email => "pii.email",
            Self::Phone => "pii.phone",
            Self::Card => "pii.card",
            Self::Iban => "pii.iban",
            Self::Ip => "pii.ip",
            Self::UsSsn => "pii.us-ssn",
        }
    }

    /// Why the `carrier` (request, answer) that holds one must not get through; never the content.
    #[must_use]
    pub fn reason(self, carrier: &str) -> Reason {
        Reason::new(
            self.code(),
            format!("the {carrier} holds {}", self.phrase()),
        )
    }

    const fn phrase(self) -> &'static str {
        match self {
            Self::Email => "an e-mail address",
            Self::Phone => "a telephone number",
            Self::Card => "a payment card number",
            Self::Iban => "a bank account number",
            Self::Ip => "an IP address",
            Self::UsSsn => "a social security number",
        }
    }
}

/// What is done with one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Replaced by the placeholder.
    Mask,
    /// The request is refused, the answer cut.
    Deny,
    /// Passed, counted in labels.
    Label,
    /// Not looked for.
    Off,
}

impl Act {
    /// Whether the text itself must not get through.
    #[must_use]
    pub const fn hides(self) -> bool {
        matches!(self, Self::Mask | Self::Deny)
    }
}
