//! Errors as RFC 9457 `application/problem+json`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::source::SourceError;

/// An error on its way to the caller.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    /// A stable name of the kind.
    r#type: String,
    /// The kind, for people.
    title: &'static str,
    status: u16,
    /// This case.
    detail: String,
    /// What to do.
    next: String,
}

impl Problem {
    fn new(
        code: &str,
        title: &'static str,
        status: StatusCode,
        detail: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            r#type: format!("urn:pointsman:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            next: next.into(),
        }
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        let next = "send `Authorization: Bearer <admin token>`; the token is what `control.token` names, by default the file `admin-token` in the state folder";
        Self::new(
            "unauthorized",
            "No valid admin token",
            StatusCode::UNAUTHORIZED,
            detail,
            next,
        )
    }

    pub(crate) fn unknown_path(path: &str) -> Self {
        let next = "this listener serves /healthz, /readyz, /metrics and /admin/v1/decisions; the data plane has its own address";
        Self::new(
            "not-found",
            "Nothing is served here",
            StatusCode::NOT_FOUND,
            format!("no endpoint {}", clip(path)),
            next,
        )
    }

    pub(crate) fn method(method: &http::Method, path: &str) -> Self {
        let detail = format!("{} does not take {method}", clip(path));
        Self::new(
            "method-not-allowed",
            "Wrong method",
            StatusCode::METHOD_NOT_ALLOWED,
            detail,
            "use GET",
        )
    }

    pub(crate) fn bad_query(detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(
            "bad-query",
            "The query cannot be read",
            StatusCode::BAD_REQUEST,
            detail,
            next,
        )
    }

    pub(crate) fn bad_id() -> Self {
        let next = "give the id of the answer's header x-pointsman-request-id, or its beginning: up to 36 of 0-9, a-f and -";
        Self::new(
            "bad-id",
            "Not a request id",
            StatusCode::BAD_REQUEST,
            "the path does not end with a request id",
            next,
        )
    }

    pub(crate) fn unknown_decision(id: &str) -> Self {
        let next = "GET /admin/v1/decisions lists the newest; a request that is refused before its policy is known has no decision";
        Self::new(
            "unknown-decision",
            "No such decision",
            StatusCode::NOT_FOUND,
            format!("no request begins with `{id}`"),
            next,
        )
    }

    pub(crate) fn not_ready(reason: String) -> Self {
        Self::new(
            "not-ready",
            "Not ready",
            StatusCode::SERVICE_UNAVAILABLE,
            reason,
            "ask again in a moment, or send requests to another node",
        )
    }

    pub(crate) fn busy(detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(
            "busy",
            "Too much at once",
            StatusCode::SERVICE_UNAVAILABLE,
            detail,
            next,
        )
    }

    pub(crate) fn slow() -> Self {
        let detail = "the decision log could not be read in time";
        Self::new(
            "slow",
            "Took too long",
            StatusCode::GATEWAY_TIMEOUT,
            detail,
            "ask for less: a later `since`, a smaller `limit`",
        )
    }

    pub(crate) fn internal() -> Self {
        let next = "look at the gateway's log; this is a bug of ours";
        Self::new(
            "internal",
            "A fault of the gateway",
            StatusCode::INTERNAL_SERVER_ERROR,
            "reading the decision log failed",
            next,
        )
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Self {
        let detail = error.to_string();
        match error {
            SourceError::Ambiguous(_) => Self::new(
                "ambiguous",
                "More than one decision",
                StatusCode::CONFLICT,
                detail,
                "give more of the id",
            ),
            SourceError::Failed(_) => {
                let next = "check the state folder's disk and permissions; `pointsman audit verify` checks the log itself";
                Self::new(
                    "log-unreadable",
                    "The decision log cannot be read",
                    StatusCode::INTERNAL_SERVER_ERROR,
                    detail,
                    next,
                )
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("strings and a number are JSON");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// At most 128 bytes of what a caller sent, on a UTF-8 border.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(128)]
}
