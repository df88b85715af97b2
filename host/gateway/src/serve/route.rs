//! Endpoints: which request is for whom. Anything else is refused in the caller's dialect, never passed through.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use pointsman_domain::{ErrorKind, GatewayError};
use pointsman_wire::openai;

use super::strict;
use crate::limits;
use crate::pipeline;
use crate::reply::{self, ReplyBody};
use crate::worker::Worker;

/// The answer to one request.
pub(super) async fn route(worker: Rc<Worker>, request: Request<Incoming>) -> Response<ReplyBody> {
    let (parts, body) = request.into_parts();
    if let Err(error) = strict::check(&parts) {
        let mut response = refusal(&error);
        if parts.version < Version::HTTP_2 {
            // What follows on this connection may be a part of what was not understood.
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if error.kind == ErrorKind::MethodNotAllowed {
            let both = HeaderValue::from_static("GET, POST");
            response.headers_mut().insert(header::ALLOW, both);
        }
        return response;
    }
    let (is_head, version) = (parts.method == Method::HEAD, parts.version);
    let mut response = endpoint(worker, parts, body).await;
    if is_head && version == Version::HTTP_2 {
        // hyper leaves the body out in HTTP/1 alone.
        *response.body_mut() = ReplyBody::whole(Bytes::new());
    }
    response
}

async fn endpoint(worker: Rc<Worker>, parts: Parts, body: Incoming) -> Response<ReplyBody> {
    if let Err(error) = bounded(&parts.headers) {
        return refusal(&error);
    }
    let path = parts.uri.path();
    let model = path.strip_prefix("/v1/models/");
    let method = match path {
        "/v1/chat/completions" => Some(Method::POST),
        "/v1/models" => Some(Method::GET),
        _ => model.map(|_| Method::GET),
    };
    let Some(method) = method else {
        let served = "POST /v1/chat/completions, GET /v1/models, GET /v1/models/{model}";
        let message = format!(
            "unknown endpoint {} {path}; this gateway serves: {served}",
            parts.method
        );
        return refusal(&GatewayError::new(ErrorKind::UnknownEndpoint, message));
    };
    if parts.method != method {
        let message = format!("{path} takes {method}, not {}", parts.method);
        let mut response = refusal(&GatewayError::new(ErrorKind::MethodNotAllowed, message));
        if let Ok(allow) = HeaderValue::from_str(method.as_str()) {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        return response;
    }
    if method == Method::GET {
        return models(&worker, &parts.headers, model);
    }
    let data = &worker.config.data;
    let (reply, head) = reply::channel(
        data.unread_bytes_max,
        Duration::from_millis(data.client_idle_ms),
    );
    let tasks = worker.tasks.clone();
    tasks.spawn_local(pipeline::chat(worker, parts, body, reply));
    match head.await {
        Ok(head) => {
            let mut response = Response::new(head.body);
            *response.status_mut() = head.status;
            *response.headers_mut() = head.headers;
            response
        }
        // The pipeline always answers; if it panicked, the caller still gets an error in its dialect.
        Err(_) => refusal(&GatewayError::new(
            ErrorKind::Internal,
            "the gateway failed on this request; it was not answered",
        )),
    }
}

/// Headers within our bounds.
fn bounded(headers: &HeaderMap) -> Result<(), GatewayError> {
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes <= limits::HEADER_BYTES_MAX && headers.len() <= limits::HEADERS_MAX {
        return Ok(());
    }
    let message = format!(
        "the request headers are over {} bytes or {} headers; send fewer",
        limits::HEADER_BYTES_MAX,
        limits::HEADERS_MAX
    );
    Err(GatewayError::new(ErrorKind::HeadersTooLarge, message))
}

fn models(worker: &Worker, headers: &HeaderMap, one: Option<&str>) -> Response<ReplyBody> {
    // Names may hold slashes, which some clients encode.
    let one = one.map(|one| percent_decode_str(one).decode_utf8_lossy());
    match worker.models(headers) {
        Ok(names) => match one.as_deref() {
            None => whole(StatusCode::OK, openai::models_body(&names)),
            Some(model) if names.iter().any(|name| name == model) => {
                whole(StatusCode::OK, openai::model_body(model))
            }
            Some(model) => {
                let message = format!(
                    "the model `{model}` does not exist; this policy offers: {}",
                    names.join(", ")
                );
                refusal(&GatewayError::new(ErrorKind::UnknownModel, message).with_param("model"))
            }
        },
        Err(error) => refusal(&error),
    }
}

/// The answer to a stream that was begun when another process served already.
pub(super) fn not_ours() -> Response<ReplyBody> {
    let message = "another process of this gateway serves now; send it again on a new connection";
    let mut response = refusal(&GatewayError::new(ErrorKind::Unavailable, message));
    let at_once = HeaderValue::from_static("0");
    response.headers_mut().insert(header::RETRY_AFTER, at_once);
    response
}

fn refusal(error: &GatewayError) -> Response<ReplyBody> {
    let status =
        StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    whole(status, openai::error::body(error))
}

fn whole(status: StatusCode, body: Bytes) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
