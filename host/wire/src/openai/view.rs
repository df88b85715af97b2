//! What plugins see of a request.

use std::borrow::Cow;

use pointsman_domain::Value;
use pointsman_domain::request::{Message, Part as PartView, RequestView, Tool};

use super::request::ChatRequest;
use super::segments::{Part, call_fields, find, parts, role, tools};
use crate::json::Node;

/// Bytes of text per token, by rule of thumb.
const BYTES_PER_TOKEN: usize = 4;
/// Tokens that frame a message.
const MESSAGE_TOKENS: usize = 4;
/// What is told of a service tier's name, which no provider checks before we do.
const TIER_CHARS_MAX: usize = 64;
/// Tokens of one image at a common size and detail.
const IMAGE_TOKENS: usize = 765;

type Field = (Cow<'static, str>, Value);

impl ChatRequest {
    /// The request as plugins see it, as far as its body tells.
    #[must_use]
    pub fn view(&self) -> RequestView {
        let text = self.text();
        let root = self.root(text);
        let mut view = RequestView {
            segments: find(self).into_iter().map(|found| found.segment).collect(),
            messages: root
                .get("messages")
                .into_iter()
                .flat_map(Node::items)
                .map(message)
                .collect(),
            tools: tools(root).filter_map(|(_, tool)| offered(tool)).collect(),
            body: self.body().clone(),
            ..RequestView::default()
        };
        view.set_field("model", self.model());
        view.set_field("dialect", "openai-chat");
        view.set_field("streaming", self.streaming());
        view.set_field("n", i64::from(self.n()));
        if let Some(tokens) = self.max_output_tokens() {
            view.set_field("max-output-tokens", integer(tokens));
        }
        if let Some(temperature) = root.some("temperature").and_then(Node::number) {
            view.set_field("temperature", temperature);
        }
        if let Some(tier) = root.some("service_tier").and_then(Node::string) {
            let tier: String = tier.chars().take(TIER_CHARS_MAX).collect();
            view.set_field("service-tier", tier);
        }
        let format = root
            .some("response_format")
            .and_then(|format| format.some("type"));
        if let Some(format) = format.and_then(Node::string) {
            view.set_field("response-format", format.into_owned());
        }
        let estimate = input_tokens(&view);
        view.set_field("input-tokens-estimate", integer(estimate as u64));
        view
    }
}

/// An estimate that counts all text, tool schemas and names, and images by the piece.
fn input_tokens(view: &RequestView) -> usize {
    let text: usize = view.segments.iter().map(|segment| segment.text.len()).sum();
    let tools = view
        .tools
        .iter()
        .map(|tool| tool.name.len() + tool.schema.as_ref().map_or(0, String::len));
    let parts = || view.messages.iter().flat_map(|message| &message.parts);
    let kind = |part: &PartView, wanted: &str| {
        part.fields
            .iter()
            .any(|(key, value)| key == "kind" && value.as_text() == Some(wanted))
    };
    let images = parts().filter(|part| kind(part, "image")).count();
    (text + tools.sum::<usize>()).div_ceil(BYTES_PER_TOKEN)
        + view.messages.len() * MESSAGE_TOKENS
        + images * IMAGE_TOKENS
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn offered(tool: Node<'_>) -> Option<Tool> {
    Some(Tool {
        name: tool.some("name")?.string()?.into_owned(),
        schema: tool
            .some("parameters")
            .map(|schema| schema.raw().to_owned()),
    })
}

fn message(node: Node<'_>) -> Message {
    let role = role(node);
    let call_id = node.some("tool_call_id").and_then(Node::string);
    let mut fields: Vec<Field> = vec![(
        Cow::Borrowed("role"),
        Value::Text(role.clone().into_owned()),
    )];
    if let Some(name) = node.some("name").and_then(Node::string) {
        fields.push((Cow::Borrowed("name"), Value::Text(name.into_owned())));
    }
    let is_result = matches!(&*role, "tool" | "function");
    let mut parts: Vec<PartView> = parts(node).iter().map(part).collect();
    if let (true, Some(id)) = (is_result, call_id) {
        for part in &mut parts {
            part.fields.push((
                Cow::Borrowed("call-id"),
                Value::Text(id.clone().into_owned()),
            ));
        }
    }
    Message { fields, parts }
}

fn part(part: &Part<'_>) -> PartView {
    let mut fields = Vec::new();
    match *part {
        Part::Text(_) => put(&mut fields, "kind", "text"),
        Part::Refusal(_) => put(&mut fields, "kind", "refusal"),
        Part::Reasoning(_) => put(&mut fields, "kind", "reasoning"),
        Part::Item(item) => content(item, &mut fields),
        Part::ToolCall(call) => {
            put(&mut fields, "kind", "tool-call");
            if let Some(id) = call.some("id").and_then(Node::string) {
                put(&mut fields, "call-id", id);
            }
        }
        Part::FunctionCall(_) => put(&mut fields, "kind", "tool-call"),
    }
    if let Some((Some(name), _, _)) = call_fields(part)
        && let Some(name) = name.string()
    {
        put(&mut fields, "tool-name", name);
    }
    PartView { fields }
}

fn put<'a>(fields: &mut Vec<Field>, key: &'static str, value: impl Into<Cow<'a, str>>) {
    fields.push((Cow::Borrowed(key), Value::Text(value.into().into_owned())));
}

fn content(item: Node<'_>, fields: &mut Vec<Field>) {
    let kind = item.some("type").and_then(Node::string).unwrap_or_default();
    match &*kind {
        "image_url" => {
            put(fields, "kind", "image");
            let image = item.some("image_url");
            let url = image
                .and_then(|image| image.some("url").or(Some(image)))
                .and_then(Node::string);
            if let Some(url) = url {
                link(&url, fields);
            }
        }
        "input_audio" => {
            put(fields, "kind", "audio");
            let audio = item.some("input_audio");
            if let Some(format) = audio
                .and_then(|audio| audio.some("format"))
                .and_then(Node::string)
            {
                put(fields, "media-type", format!("audio/{format}"));
            }
            if let Some(data) = audio
                .and_then(|audio| audio.some("data"))
                .and_then(Node::raw_string)
            {
                size(data, fields);
            }
        }
        "file" => {
            put(fields, "kind", "file");
            if let Some(data) = item
                .some("file")
                .and_then(|file| file.some("file_data"))
                .and_then(Node::string)
            {
                link(&data, fields);
            }
        }
        other => put(fields, "kind", other.to_owned()),
    }
    if item.some("cache_control").is_some() {
        fields.push((Cow::Borrowed("cached"), Value::Flag(true)));
    }
}

/// A `data:` URL by its media type and size, any other by itself.
fn link(url: &str, fields: &mut Vec<Field>) {
    match url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(','))
    {
        Some((head, data)) => {
            let media_type = head.split(';').next().unwrap_or_default();
            put(fields, "media-type", media_type.to_owned());
            size(data, fields);
        }
        None => put(fields, "url", url.to_owned()),
    }
}

/// Decoded bytes of base64.
fn size(base64: &str, fields: &mut Vec<Field>) {
    let bytes = base64.trim_end_matches('=').len() * 3 / 4;
    fields.push((
        Cow::Borrowed("bytes"),
        Value::Integer(integer(bytes as u64)),
    ));
}
