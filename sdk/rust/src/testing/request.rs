//! A request for native tests, read from an OpenAI chat body the way the gateway presents it.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::view::View;
use crate::words::{Label, Segment, Value};

/// Message index of text that belongs to no message.
const OUTSIDE: u32 = u32::MAX;

/// A request as a plugin sees it.
#[derive(Clone, Debug, Default)]
pub struct FakeView {
    fields: BTreeMap<String, Value>,
    labels: BTreeMap<String, Label>,
    headers: BTreeMap<String, String>,
    messages: Vec<FakeMessage>,
    segments: Vec<Segment>,
    tools: Vec<(String, Option<String>)>,
    body: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct FakeMessage {
    fields: BTreeMap<String, Value>,
    parts: Vec<BTreeMap<String, Value>>,
}

impl FakeView {
    /// One user message.
    #[must_use]
    pub fn user(text: &str) -> Self {
        Self::from_chat(
            &serde_json::json!({"model": "auto", "messages": [{"role": "user", "content": text}]}),
        )
    }

    /// From an OpenAI chat completion body.
    ///
    /// # Panics
    /// When the body is not an object.
    #[must_use]
    pub fn from_chat(body: &Json) -> Self {
        let object = body.as_object().expect("a chat body is an object");
        let mut view = Self {
            body: body.to_string().into_bytes(),
            ..Self::default()
        };
        for (key, name) in [
            ("model", "model"),
            ("temperature", "temperature"),
            ("service_tier", "service-tier"),
            ("n", "n"),
            ("max_tokens", "max-output-tokens"),
            ("max_completion_tokens", "max-output-tokens"),
        ] {
            if let Some(found) = object.get(key).filter(|found| !found.is_null()) {
                view = view.with_field(name, super::value(found));
            }
        }
        if let Some(format) = body.pointer("/response_format/type").and_then(Json::as_str) {
            view = view.with_field("response-format", format);
        }
        let streaming = object.get("stream").and_then(Json::as_bool) == Some(true);
        view = view.with_field("streaming", streaming);
        for (name, field) in pointsman_cases::FIELDS {
            view = view.with_field(name, field);
        }
        for message in object
            .get("messages")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            view.add_message(message);
        }
        for tool in object
            .get("tools")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            view.add_tool(tool);
        }
        let bytes: usize = view.segments.iter().map(|segment| segment.text.len()).sum();
        let tokens = bytes.div_ceil(pointsman_cases::BYTES_PER_TOKEN);
        let estimate = i64::try_from(tokens).unwrap_or(i64::MAX);
        view.with_field("input-tokens-estimate", estimate)
    }

    /// With a field, replacing an earlier one.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// With a label, replacing an earlier one.
    #[must_use]
    pub fn with_label(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.labels.insert(key.to_owned(), Label::new(key, value));
        self
    }

    /// With a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .insert(name.to_ascii_lowercase(), value.to_owned());
        self
    }

    fn add_message(&mut self, json: &Json) {
        let message = crate::offset(self.messages.len());
        let role = json
            .get("role")
            .and_then(Json::as_str)
            .unwrap_or("user")
            .to_owned();
        let mut fake = FakeMessage::default();
        fake.fields.insert("role".to_owned(), role.as_str().into());
        if let Some(name) = json.get("name").and_then(Json::as_str) {
            fake.fields.insert("name".to_owned(), name.into());
        }
        let text_kind = if role == "tool" {
            "tool-result"
        } else {
            "text"
        };
        let mut add_part = |segments: &mut Vec<Segment>,
                            kind: &str,
                            extra: Option<(&str, &str)>,
                            text: Option<(&str, &str)>| {
            let part = crate::offset(fake.parts.len());
            let mut fields = BTreeMap::from([("kind".to_owned(), Value::from(kind))]);
            if let Some((key, value)) = extra {
                fields.insert(key.to_owned(), value.into());
            }
            fake.parts.push(fields);
            if let Some((kind, text)) = text {
                segments.push(segment(message, part, &role, kind, String::new(), text));
            }
            part
        };
        match json.get("content") {
            Some(Json::String(text)) => {
                add_part(&mut self.segments, "text", None, Some((text_kind, text)));
            }
            Some(Json::Array(parts)) => {
                for part in parts {
                    let kind = part.get("type").and_then(Json::as_str).unwrap_or("text");
                    let text = part.get("text").and_then(Json::as_str);
                    let url = part.pointer("/image_url/url").and_then(Json::as_str);
                    let kind = match kind {
                        "image_url" => "image",
                        "input_audio" => "audio",
                        other => other,
                    };
                    add_part(
                        &mut self.segments,
                        kind,
                        url.map(|url| ("url", url)),
                        text.map(|text| (text_kind, text)),
                    );
                }
            }
            _ => {}
        }
        if let Some(refusal) = json.get("refusal").and_then(Json::as_str) {
            add_part(
                &mut self.segments,
                "refusal",
                None,
                Some(("refusal", refusal)),
            );
        }
        for call in json
            .get("tool_calls")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            let name = call
                .pointer("/function/name")
                .and_then(Json::as_str)
                .unwrap_or_default();
            let arguments = call
                .pointer("/function/arguments")
                .and_then(Json::as_str)
                .unwrap_or_default();
            let part = add_part(
                &mut self.segments,
                "tool-call",
                Some(("tool-name", name)),
                None,
            );
            match serde_json::from_str::<Json>(arguments) {
                Ok(leaves) => add_leaves(&mut self.segments, message, part, &role, "", &leaves),
                Err(_) => self.segments.push(segment(
                    message,
                    part,
                    &role,
                    "tool-argument",
                    String::new(),
                    arguments,
                )),
            }
        }
        self.messages.push(fake);
    }

    fn add_tool(&mut self, tool: &Json) {
        let function = tool.get("function").unwrap_or(tool);
        let name = function
            .get("name")
            .and_then(Json::as_str)
            .unwrap_or_default();
        self.tools.push((
            name.to_owned(),
            function.get("parameters").map(Json::to_string),
        ));
        if let Some(text) = function.get("description").and_then(Json::as_str) {
            self.segments.push(segment(
                OUTSIDE,
                0,
                "tool",
                "tool-description",
                name.to_owned(),
                text,
            ));
        }
    }
}

fn segment(message: u32, part: u32, role: &str, kind: &str, path: String, text: &str) -> Segment {
    Segment {
        message,
        part,
        role: role.to_owned(),
        kind: kind.to_owned(),
        path,
        text: text.to_owned(),
    }
}

/// Every key, string and number of tool arguments, in document order.
fn add_leaves(
    segments: &mut Vec<Segment>,
    message: u32,
    part: u32,
    role: &str,
    path: &str,
    json: &Json,
) {
    let mut leaf = |path: String, text: &str| {
        segments.push(segment(message, part, role, "tool-argument", path, text));
    };
    match json {
        Json::String(text) => leaf(path.to_owned(), text),
        Json::Number(number) => leaf(path.to_owned(), &number.to_string()),
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                add_leaves(
                    segments,
                    message,
                    part,
                    role,
                    &format!("{path}/{index}"),
                    item,
                );
            }
        }
        Json::Object(members) => {
            for (key, member) in members {
                let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
                segments.push(segment(
                    message,
                    part,
                    role,
                    "tool-argument",
                    format!("{path}#key"),
                    key,
                ));
                add_leaves(segments, message, part, role, &path, member);
            }
        }
        Json::Null | Json::Bool(_) => {}
    }
}

impl View for FakeView {
    fn field(&self, name: &str) -> Option<Value> {
        self.fields.get(name).cloned()
    }

    fn label(&self, key: &str) -> Option<Label> {
        self.labels.get(key).cloned()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(&name.to_ascii_lowercase()).cloned()
    }

    fn message_count(&self) -> u32 {
        crate::offset(self.messages.len())
    }

    fn message_field(&self, message: u32, name: &str) -> Option<Value> {
        let message = self.messages.get(message as usize)?;
        if name == "parts" {
            return i64::try_from(message.parts.len()).ok().map(Value::Integer);
        }
        message.fields.get(name).cloned()
    }

    fn part_field(&self, message: u32, part: u32, name: &str) -> Option<Value> {
        let message = self.messages.get(message as usize)?;
        message.parts.get(part as usize)?.get(name).cloned()
    }

    fn segment_count(&self) -> u32 {
        crate::offset(self.segments.len())
    }

    fn segments(&self, first: u32, count: u32) -> Vec<Segment> {
        self.segments
            .iter()
            .skip(first as usize)
            .take(count as usize)
            .cloned()
            .collect()
    }

    fn recent_text(&self, messages: u32, bytes_max: u32) -> String {
        let first = self.message_count().saturating_sub(messages);
        let texts: Vec<&str> = self
            .segments
            .iter()
            .filter(|segment| {
                segment.kind == "text" && segment.message >= first && segment.message != OUTSIDE
            })
            .map(|segment| segment.text.as_str())
            .collect();
        let text = texts.join("\n");
        let start = text.len().saturating_sub(bytes_max as usize);
        text[crate::border_above(&text, start)..].to_owned()
    }

    fn tool_names(&self) -> Vec<String> {
        self.tools.iter().map(|(name, _)| name.clone()).collect()
    }

    fn tool_schema(&self, name: &str) -> Option<String> {
        let (_, schema) = self.tools.iter().find(|(known, _)| known == name)?;
        schema.clone()
    }

    fn body_length(&self) -> u64 {
        self.body.len() as u64
    }

    fn body(&self, offset: u64, length: u32) -> Vec<u8> {
        let first = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.body.len());
        let last = first.saturating_add(length as usize).min(self.body.len());
        self.body[first..last].to_vec()
    }
}
