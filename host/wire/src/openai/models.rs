//! Bodies of the model endpoints.

use bytes::Bytes;

use crate::json::escape_into;

/// The body of `GET /v1/models`.
#[must_use]
pub fn models_body(names: &[String]) -> Bytes {
    let mut out = String::from(r#"{"object":"list","data":["#);
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_model(&mut out, name);
    }
    out.push_str("]}");
    Bytes::from(out)
}

/// The body of `GET /v1/models/{model}`.
#[must_use]
pub fn model_body(name: &str) -> Bytes {
    let mut out = String::new();
    push_model(&mut out, name);
    Bytes::from(out)
}

fn push_model(out: &mut String, name: &str) {
    out.push_str(r#"{"id":""#);
    escape_into(out, name);
    // A policy's model has no birthday; the field is required by clients.
    out.push_str(r#"","object":"model","created":0,"owned_by":"pointsman"}"#);
}
