//! Errors as RFC 9457 `application/problem+json`.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Finding;
use crate::plane::PlaneError;
use crate::source::SourceError;

/// What a problem's content type is.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// An error on its way to the caller.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Problem(Box<Details>);

/// An error (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem, examples(json!({
    "type": "urn:pointsman:problem:unknown",
    "title": "No such thing",
    "status": 404,
    "detail": "no policy `quickstrat`",
    "next": "GET /admin/v1/policies lists those that were pushed",
})))]
pub(crate) struct Details {
    /// A stable name of the kind: match on this.
    r#type: String,
    /// The kind, for people.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// This case.
    detail: String,
    /// What to do.
    next: String,
    /// All that is wrong, placed, where it is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
    /// The entity tag that the thing has, where a condition does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

impl Problem {
    fn new(
        code: &str,
        title: &'static str,
        status: StatusCode,
        detail: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self(Box::new(Details {
            r#type: format!("urn:pointsman:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            next: next.into(),
            findings: Vec::new(),
            etag: None,
        }))
    }

    fn with(mut self, findings: Vec<Finding>) -> Self {
        self.0.findings = findings;
        self
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        let next = "send `Authorization: Bearer <admin token>`; the token is what `control.token` names, by default the file `admin-token` in the state folder";
        let status = StatusCode::UNAUTHORIZED;
        Self::new("unauthorized", "No valid admin token", status, detail, next)
    }

    pub(crate) fn unknown_path(path: &str) -> Self {
        let next =
            "GET /admin/v1/openapi.json tells every endpoint; the data plane has its own address";
        let detail = format!("no endpoint {}", clip(path));
        Self::new(
            "not-found",
            "Nothing is served here",
            StatusCode::NOT_FOUND,
            detail,
            next,
        )
    }

    pub(crate) fn method(method: &http::Method, path: &str, allowed: &str) -> Self {
        let detail = format!("{} does not take {}", clip(path), clip(method.as_str()));
        Self::new(
            "method-not-allowed",
            "Wrong method",
            StatusCode::METHOD_NOT_ALLOWED,
            detail,
            format!("use {}", allowed.replace(',', ", ")),
        )
    }

    pub(crate) fn bad_query(detail: impl Into<String>, next: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new(
            "bad-query",
            "The query cannot be read",
            status,
            detail,
            next,
        )
    }

    pub(crate) fn bad_header(detail: impl Into<String>, next: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new(
            "bad-header",
            "A header cannot be read",
            status,
            detail,
            next,
        )
    }

    pub(crate) fn bad_path(detail: impl Into<String>, next: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new("bad-path", "The path cannot be read", status, detail, next)
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

    pub(crate) fn bad_body(detail: impl Into<String>) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self::new(
            "bad-body",
            "The body cannot be read",
            status,
            detail,
            "send it again, whole",
        )
    }

    pub(crate) fn bad_json(finding: Finding) -> Self {
        let place = finding.place.clone().unwrap_or_default();
        Self::new(
            "bad-json",
            "The body is not JSON",
            StatusCode::BAD_REQUEST,
            format!("{place}: {}", finding.message),
            "send one JSON object",
        )
        .with(vec![finding])
    }

    pub(crate) fn wrong_body(finding: Finding) -> Self {
        let whole = finding.path.is_empty();
        let path = if whole { "the body" } else { &finding.path };
        let next = "the schemas of GET /admin/v1/openapi.json say what bodies hold";
        Self::new(
            "wrong-body",
            "The body does not hold what it must",
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{path}: {}", finding.message),
            next,
        )
        .with(vec![finding])
    }

    pub(crate) fn wrong_type(detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(
            "wrong-content-type",
            "Wrong content type",
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            detail,
            next,
        )
    }

    pub(crate) fn too_large(bytes_max: usize, next: &str) -> Self {
        let mebibytes = bytes_max / (1024 * 1024);
        Self::new(
            "too-large",
            "Too large",
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {bytes_max} bytes ({mebibytes} MiB)"),
            next,
        )
    }

    pub(crate) fn slow_body(within: Duration) -> Self {
        let detail = format!("the body did not arrive within {} s", within.as_secs());
        Self::new(
            "slow-body",
            "The body took too long",
            StatusCode::REQUEST_TIMEOUT,
            detail,
            "send it again over a faster connection",
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

    pub(crate) fn unknown(detail: impl Into<String>, next: impl Into<String>) -> Self {
        let status = StatusCode::NOT_FOUND;
        Self::new("unknown", "No such thing", status, detail, next)
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

    pub(crate) fn no_plane() -> Self {
        Self::unavailable(
            "this node keeps no control state",
            "ask the node that does, or start this one with a state folder",
        )
    }

    pub(crate) fn unavailable(detail: impl Into<String>, next: &str) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new("unavailable", "Not possible now", status, detail, next)
    }

    pub(crate) fn busy(detail: impl Into<String>, next: impl Into<String>) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new("busy", "Too much at once", status, detail, next)
    }

    pub(crate) fn slow(within: Duration, next: &str) -> Self {
        let detail = format!("no answer within {} s", within.as_secs());
        let status = StatusCode::GATEWAY_TIMEOUT;
        Self::new("slow", "Took too long", status, detail, next)
    }

    pub(crate) fn internal() -> Self {
        Self::fault("what was asked for failed")
    }

    fn fault(detail: impl Into<String>) -> Self {
        let next = "look at the gateway's log; this is a bug of ours";
        Self::new(
            "internal",
            "A fault of the gateway",
            StatusCode::INTERNAL_SERVER_ERROR,
            detail,
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

impl From<PlaneError> for Problem {
    fn from(error: PlaneError) -> Self {
        let detail = error.to_string();
        match error {
            PlaneError::NotFound { next, .. } => Self::unknown(detail, next),
            PlaneError::Conflict { next, .. } => Self::new(
                "conflict",
                "Contradicts what is there",
                StatusCode::CONFLICT,
                detail,
                next,
            ),
            PlaneError::Precondition { current, .. } => {
                let next = "read it again, and repeat the change with the entity tag that it has now if it is still wanted";
                let status = StatusCode::PRECONDITION_FAILED;
                let title = "It has changed";
                let mut problem = Self::new("precondition-failed", title, status, detail, next);
                problem.0.etag = current;
                problem
            }
            PlaneError::Invalid { findings, .. } => Self::new(
                "invalid",
                "It does not hold",
                StatusCode::UNPROCESSABLE_ENTITY,
                detail,
                "mend what the findings say and send it again; nothing was changed",
            )
            .with(findings),
            PlaneError::TooLarge(_) => Self::new(
                "too-large",
                "Too large",
                StatusCode::PAYLOAD_TOO_LARGE,
                detail,
                "send less; nothing was changed",
            ),
            PlaneError::Unavailable(_) => Self::unavailable(
                detail,
                "see to the state folder's disk and repeat it; nothing was changed",
            ),
            PlaneError::Internal(_) => Self::fault(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("strings and numbers are JSON");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// At most 128 bytes of what a caller sent, on a UTF-8 border.
fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(128)]
}
