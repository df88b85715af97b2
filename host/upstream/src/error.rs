//! What goes wrong upstream, by kind; names the target's host and never a secret.

use thiserror::Error;

/// A failed exchange with a target.
#[derive(Debug, Error)]
#[error("{host}: {detail}")]
pub struct UpstreamError {
    /// What the caller decides by.
    pub kind: UpstreamErrorKind,
    host: String,
    detail: String,
    was_sent: bool,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamErrorKind {
    /// The name has no address, or no address takes a connection.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// Connecting or the answer's headers took too long.
    Timeout,
    /// The rules forbid it; nothing was sent.
    Egress,
    /// The target speaks something that is no HTTP answer.
    Protocol,
    /// The target closed the connection before the answer's end.
    Closed,
}

impl UpstreamError {
    pub(crate) fn new(
        kind: UpstreamErrorKind,
        host: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            host: host.into(),
            detail: detail.into(),
            was_sent: false,
        }
    }

    /// Whether the request was on its way when it failed: the target may have worked on it, and may bill it.
    #[must_use]
    pub const fn was_sent(&self) -> bool {
        self.was_sent
    }

    pub(crate) const fn sent(mut self, was_sent: bool) -> Self {
        self.was_sent = was_sent;
        self
    }

    /// What hyper says of an exchange on an established connection.
    pub(crate) fn from_hyper(host: &str, error: &hyper::Error) -> Self {
        if error.is_parse_too_large() {
            return Self::new(
                UpstreamErrorKind::Protocol,
                host,
                "the answer's headers are too large",
            );
        }
        if error.is_parse() || error.is_user() {
            let detail = format!("the answer is not HTTP/1.1: {error}");
            return Self::new(UpstreamErrorKind::Protocol, host, detail);
        }
        let detail = format!("the connection ended before the answer did: {error}");
        Self::new(UpstreamErrorKind::Closed, host, detail)
    }
}
