//! The failures that deserve another try, as policies write them: `retry-on = ["connect", "timeout", "429", "5xx"]`.

use thiserror::Error;

use super::Failure;

/// Which failures are followed by another try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    connect: bool,
    timeout: bool,
    stream: bool,
    egress: bool,
    server_errors: bool,
    /// Single statuses, 400 to 599.
    codes: Vec<u16>,
}

/// A word that names no failure.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "`{0}` is no failure to retry on; write `connect`, `timeout`, `stream`, `egress`, `5xx` or a status from 400 to 599"
)]
pub struct UnknownRetryWord(pub String);

impl RetryOn {
    const NOTHING: Self = Self {
        connect: false,
        timeout: false,
        stream: false,
        egress: false,
        server_errors: false,
        codes: Vec::new(),
    };

    /// From a policy's words: `connect`, `timeout`, `stream` (an error inside an answer, or one that broke off),
    /// `egress`, `5xx`, and single statuses. No words: nothing is tried twice.
    ///
    /// # Errors
    /// The first word that is none of these.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownRetryWord> {
        let mut retry_on = Self::NOTHING;
        for word in words {
            match word {
                "connect" => retry_on.connect = true,
                "timeout" => retry_on.timeout = true,
                "stream" => retry_on.stream = true,
                "egress" => retry_on.egress = true,
                "5xx" => retry_on.server_errors = true,
                _ => retry_on.codes.push(status(word)?),
            }
        }
        retry_on.codes.sort_unstable();
        retry_on.codes.dedup();
        Ok(retry_on)
    }

    /// Whether another try follows this failure. `5xx` covers what a provider would have said with a 5xx had its
    /// headers not been sent already: an error inside a 200, an answer that broke off.
    #[must_use]
    pub fn covers(&self, failure: Failure) -> bool {
        match failure {
            Failure::Connect => self.connect,
            Failure::Timeout => self.timeout,
            Failure::InStream | Failure::Protocol => self.stream || self.server_errors,
            Failure::Egress => self.egress,
            Failure::Status(code) => {
                (self.server_errors && (500..600).contains(&code)) || self.codes.contains(&code)
            }
        }
    }
}

impl Default for RetryOn {
    /// `connect`, `timeout`, `stream`, `429`, `5xx`.
    fn default() -> Self {
        Self {
            connect: true,
            timeout: true,
            stream: true,
            server_errors: true,
            codes: vec![429],
            ..Self::NOTHING
        }
    }
}

fn status(word: &str) -> Result<u16, UnknownRetryWord> {
    word.parse()
        .ok()
        .filter(|code| (400..600).contains(code))
        .ok_or_else(|| UnknownRetryWord(word.to_owned()))
}
