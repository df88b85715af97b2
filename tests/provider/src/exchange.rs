//! The request as the rest of the provider reads it.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::limits::CHOICES_MAX;

/// A request with its body read.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Null where the body is no JSON.
    pub(crate) json: Value,
}

impl Request {
    /// The body as text, whatever it is.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// A header, or the entry of the body's `metadata` of that name: gateways forward the body, seldom headers.
    pub(crate) fn named(&self, name: &str) -> Option<String> {
        let header = self.headers.get(name).and_then(|value| value.to_str().ok());
        let metadata = self
            .json
            .get("metadata")
            .and_then(|metadata| metadata.get(name)?.as_str());
        header.or(metadata).map(str::to_owned)
    }

    /// The caller's id of the request, under any of the names in use.
    pub(crate) fn id(&self) -> Option<String> {
        let names = [
            "x-pointsman-request-id",
            "x-request-id",
            "x-client-request-id",
        ];
        names
            .iter()
            .find_map(|name| Some(self.headers.get(*name)?.to_str().ok()?.to_owned()))
    }

    pub(crate) fn stream(&self) -> bool {
        self.json["stream"] == true
    }

    pub(crate) fn wants_usage(&self) -> bool {
        self.json["stream_options"]["include_usage"] == true
    }

    pub(crate) fn model(&self) -> &str {
        self.json["model"].as_str().unwrap_or("fake-model")
    }

    /// The bound on the answer, under either name.
    pub(crate) fn tokens_max(&self) -> Option<u64> {
        let asked = |name: &str| self.json.get(name).and_then(Value::as_u64);
        asked("max_completion_tokens").or_else(|| asked("max_tokens"))
    }

    pub(crate) fn choices(&self) -> usize {
        let asked = self.json["n"].as_u64().unwrap_or(1).clamp(1, CHOICES_MAX);
        usize::try_from(asked).unwrap_or(1)
    }

    /// The last user message's text, its parts joined.
    pub(crate) fn last_user(&self) -> String {
        let messages = self.json["messages"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let last = messages
            .iter()
            .rev()
            .find(|message| message["role"] == "user");
        last.map(|message| content_text(&message["content"]))
            .unwrap_or_default()
    }
}

/// The text of a message's content: a string, or the text parts of a list.
pub(crate) fn content_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        _ => String::new(),
    }
}
