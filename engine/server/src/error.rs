//! Errors as clients see them: OpenAI's shape, a stable code, and the field that is at fault.

use http::StatusCode;
use serde_json::{Value, json};

/// One error answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    code: &'static str,
    param: Option<String>,
    message: String,
}

impl ApiError {
    fn new(
        status: StatusCode,
        code: &'static str,
        param: Option<&str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code,
            param: param.map(str::to_owned),
            message: message.into(),
        }
    }

    /// A field that is wrong.
    pub(crate) fn invalid(param: &str, message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_value",
            Some(param),
            message,
        )
    }

    /// A body that is not a JSON object.
    pub(crate) fn json(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", None, message)
    }

    /// A field that would change the result and is not built.
    pub(crate) fn unsupported(param: &str) -> Self {
        let message = format!("this engine does not support '{param}' with this value");
        Self::new(StatusCode::BAD_REQUEST, "unsupported", Some(param), message)
    }

    pub(crate) fn context(prompt_tokens: usize, context_tokens: usize) -> Self {
        let message = format!(
            "the prompt has {prompt_tokens} tokens, the context holds {context_tokens} with at least one for the answer"
        );
        Self::new(
            StatusCode::BAD_REQUEST,
            "context_length_exceeded",
            Some("messages"),
            message,
        )
    }

    pub(crate) fn model(name: &str, served: &str) -> Self {
        let message = format!("the model '{name}' is not served here; '{served}' is");
        Self::new(
            StatusCode::NOT_FOUND,
            "model_not_found",
            Some("model"),
            message,
        )
    }

    pub(crate) fn endpoint(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            None,
            format!("there is no endpoint {path}"),
        )
    }

    pub(crate) fn method(method: &str, path: &str) -> Self {
        let message = format!("{method} is not allowed on {path}");
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            None,
            message,
        )
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request_too_large",
            None,
            message,
        )
    }

    pub(crate) fn slow() -> Self {
        let message = "the request's body did not arrive in time";
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            None,
            message,
        )
    }

    pub(crate) fn busy(waiting: usize) -> Self {
        let message = format!("{waiting} requests are waiting already; try again later");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", None, message)
    }

    pub(crate) fn loading() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "loading",
            None,
            "the model is still loading",
        )
    }

    pub(crate) fn draining() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining",
            None,
            "the engine is shutting down",
        )
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "engine_error",
            None,
            message,
        )
    }

    /// OpenAI's error object.
    pub(crate) fn body(&self) -> Value {
        let kind = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": {
            "message": self.message,
            "type": kind,
            "param": self.param,
            "code": self.code,
        } })
    }
}
