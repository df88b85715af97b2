//! Errors in the dialect, both ways.

use bytes::Bytes;
use pointsman_domain::GatewayError;
use serde::Serialize;
use serde_json::Value;

use crate::sse;

/// Longest provider message that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 1024;
/// Longest provider code or parameter name that is kept, in bytes.
const CODE_BYTES_MAX: usize = 128;

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'a str>,
    code: &'static str,
}

/// The body of an error answer.
#[must_use]
pub fn body(error: &GatewayError) -> Bytes {
    let body = Body {
        error: Error {
            message: &error.message,
            kind: error.kind.openai_type(),
            param: error.param.as_deref(),
            code: error.kind.code(),
        },
    };
    // Strings and options always serialise.
    serde_json::to_vec(&body)
        .map(Bytes::from)
        .unwrap_or_default()
}

/// The error as the last event of a stream that has begun.
#[must_use]
pub fn stream_event(error: &GatewayError) -> Bytes {
    sse::frame(None, &body(error))
}

/// What a provider said about its refusal, as far as it said anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// The HTTP status that came with it.
    pub status: u16,
    /// For people, clipped.
    pub message: Option<String>,
    /// Its machine-readable code, or its type where it has no code.
    pub code: Option<String>,
    /// The field at fault.
    pub param: Option<String>,
}

/// Reads the error body of an OpenAI-compatible provider; whatever the body is, there is an answer.
#[must_use]
pub fn parse_provider_error(status: u16, body: &[u8]) -> ProviderError {
    let mut told =
        serde_json::from_slice(body).map_or_else(|_| ProviderError::default(), |json| read(&json));
    told.status = status;
    told
}

fn read(json: &Value) -> ProviderError {
    // Some answer with a list of one error.
    let json = json.as_array().and_then(|all| all.first()).unwrap_or(json);
    let error = json.get("error").unwrap_or(json);
    let text = |key: &str, bytes_max| plain(error.get(key)?, bytes_max);
    let bare = error
        .as_str()
        .map(|message| clip(message, MESSAGE_BYTES_MAX));
    ProviderError {
        status: 0,
        message: text("message", MESSAGE_BYTES_MAX)
            .or(bare)
            .or_else(|| plain(json.get("message")?, MESSAGE_BYTES_MAX))
            .or_else(|| detail(json.get("detail")?)),
        code: text("code", CODE_BYTES_MAX).or_else(|| text("type", CODE_BYTES_MAX)),
        param: text("param", CODE_BYTES_MAX),
    }
}

/// FastAPI's `detail`: a string, or a list of findings.
fn detail(detail: &Value) -> Option<String> {
    plain(detail, MESSAGE_BYTES_MAX)
        .or_else(|| plain(detail.get(0)?.get("msg")?, MESSAGE_BYTES_MAX))
}

fn plain(value: &Value, bytes_max: usize) -> Option<String> {
    match value {
        Value::String(text) => Some(clip(text, bytes_max)),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// At most `bytes_max` bytes, on a UTF-8 border.
pub(crate) fn clip(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}
