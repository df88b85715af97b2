//! Errors at the data plane's edge: whose fault, which stable code, which status.

use crate::fault::Fault;

/// Whose side an error is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The caller's request.
    Client,
    /// The gateway itself.
    Gateway,
    /// A plugin.
    Plugin,
    /// A provider or the engine.
    Upstream,
}

/// What went wrong; each kind has a stable code, a status and an OpenAI error type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No key, or an unknown or malformed one.
    InvalidKey,
    /// A key that was revoked.
    RevokedKey,
    /// A key that has expired.
    ExpiredKey,
    /// A known key without the needed scope.
    WrongScope,
    /// The body is not JSON.
    InvalidJson,
    /// A field is missing, has the wrong type or a bad value.
    InvalidField,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// Headers are larger than the limit.
    HeadersTooLarge,
    /// Nothing is served at this path.
    UnknownEndpoint,
    /// The path is served, but not with this method.
    MethodNotAllowed,
    /// The policy offers no such model.
    UnknownModel,
    /// The dialect feature is not offered.
    Unsupported,
    /// The body did not arrive in time.
    RequestTimeout,
    /// A guard or rule of the policy refused.
    PolicyDenied,
    /// A limit was reached.
    RateLimited,
    /// A budget is spent.
    BudgetExceeded,
    /// An idempotency key that belongs to another request, or to one that is under way.
    IdempotencyConflict,
    /// The tenant has no active policy.
    NoPolicy,
    /// The gateway is at capacity or draining.
    Unavailable,
    /// A step failed and its on-fault is `deny`.
    StepFailed,
    /// Every attempt failed.
    UpstreamFailed,
    /// The deadline of the plan passed.
    UpstreamTimeout,
    /// The provider refused the request (a 4xx that no retry mends); its status is kept.
    UpstreamRejected,
    /// The decision log cannot take a record.
    AuditUnavailable,
    /// A bug of ours.
    Internal,
}

impl ErrorKind {
    /// All kinds, for generated documentation.
    pub const ALL: [Self; 25] = [
        Self::InvalidKey,
        Self::RevokedKey,
        Self::ExpiredKey,
        Self::WrongScope,
        Self::InvalidJson,
        Self::InvalidField,
        Self::BodyTooLarge,
        Self::HeadersTooLarge,
        Self::UnknownEndpoint,
        Self::MethodNotAllowed,
        Self::UnknownModel,
        Self::Unsupported,
        Self::RequestTimeout,
        Self::PolicyDenied,
        Self::RateLimited,
        Self::BudgetExceeded,
        Self::IdempotencyConflict,
        Self::NoPolicy,
        Self::Unavailable,
        Self::StepFailed,
        Self::UpstreamFailed,
        Self::UpstreamTimeout,
        Self::UpstreamRejected,
        Self::AuditUnavailable,
        Self::Internal,
    ];

    /// Stable, machine-readable: the `code` of error bodies, the label of metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidKey => "invalid_api_key",
            Self::RevokedKey => "revoked_api_key",
            Self::ExpiredKey => "expired_api_key",
            Self::WrongScope => "insufficient_scope",
            Self::InvalidJson => "invalid_json",
            Self::InvalidField => "invalid_value",
            Self::BodyTooLarge => "request_too_large",
            Self::HeadersTooLarge => "headers_too_large",
            Self::UnknownEndpoint => "unknown_url",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnknownModel => "model_not_found",
            Self::Unsupported => "unsupported",
            Self::RequestTimeout => "request_timeout",
            Self::PolicyDenied => "policy_denied",
            Self::RateLimited => "rate_limit_exceeded",
            Self::BudgetExceeded => "budget_exceeded",
            Self::IdempotencyConflict => "idempotency_conflict",
            Self::NoPolicy => "no_active_policy",
            Self::Unavailable => "unavailable",
            Self::StepFailed => "policy_step_failed",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamRejected => "upstream_rejected",
            Self::AuditUnavailable => "audit_unavailable",
            Self::Internal => "internal_error",
        }
    }

    /// The HTTP status; `UpstreamRejected` carries the provider's own instead where one is set.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidKey | Self::RevokedKey | Self::ExpiredKey => 401,
            Self::WrongScope | Self::PolicyDenied => 403,
            Self::InvalidJson | Self::InvalidField | Self::Unsupported | Self::UpstreamRejected => {
                400
            }
            Self::UnknownEndpoint | Self::UnknownModel => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::IdempotencyConflict => 409,
            Self::RateLimited | Self::BudgetExceeded => 429,
            Self::HeadersTooLarge => 431,
            Self::Internal => 500,
            Self::StepFailed | Self::UpstreamFailed => 502,
            Self::NoPolicy | Self::Unavailable | Self::AuditUnavailable => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// OpenAI's `error.type`.
    #[must_use]
    pub const fn openai_type(self) -> &'static str {
        match self.status() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// Whose side it is on.
    #[must_use]
    pub const fn side(self) -> Side {
        match self {
            Self::StepFailed => Side::Plugin,
            Self::UpstreamFailed | Self::UpstreamTimeout | Self::UpstreamRejected => Side::Upstream,
            Self::NoPolicy | Self::Unavailable | Self::AuditUnavailable | Self::Internal => {
                Side::Gateway
            }
            _ => Side::Client,
        }
    }
}

/// An error on its way to the caller.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct GatewayError {
    /// What kind.
    pub kind: ErrorKind,
    /// For people; says what to do next; never content or secrets.
    pub message: String,
    /// The field at fault, such as `messages[0].content`.
    pub param: Option<String>,
    /// Overrides `kind.status()`: a guard's `status`, a provider's own status.
    pub status: Option<u16>,
    /// Seconds for `Retry-After`.
    pub retry_after_s: Option<u32>,
    /// The plugin fault behind it.
    pub fault: Option<Fault>,
}

impl GatewayError {
    /// An error of a kind with a message.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            param: None,
            status: None,
            retry_after_s: None,
            fault: None,
        }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The HTTP status that the caller sees.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.status.unwrap_or_else(|| self.kind.status())
    }
}
