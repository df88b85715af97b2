//! The kinds of personal data.

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

    pub(crate) const fn phrase(self) -> &'static str {
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
