//! One provider event or whole answer: which text it carries and where it stands.
//!
//! Promises: every string that a client could show is either a piece with a lane, or makes its choice `opaque`.
//! Refuses to know: guards, and what was said before.

use std::ops::Range;

use pointsman_domain::usage::Meter;

use super::usage::meters;
use crate::json::{Kind, Limits, Node, Tape};
use crate::openai::error::clip;

/// Longest model name or error text that is kept, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Fields that carry providers' signatures: readable by nobody here, and passed as they are or not at all.
const SIGNED: [&str; 3] = ["extra_content", "signature", "thought_signature"];

/// One field of a choice into which text streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Field {
    Content,
    Refusal,
    ReasoningContent,
    Reasoning,
    /// `thinking` parts within `content`.
    Thinking,
    /// By the call's index.
    ToolName(u32),
    ToolArguments(u32),
    CustomInput(u32),
    /// The older `function_call`.
    FunctionName,
    FunctionArguments,
}

impl Field {
    /// The channel kind of its text.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Content => "text",
            Self::Refusal => "refusal",
            Self::ReasoningContent | Self::Reasoning | Self::Thinking => "reasoning",
            Self::ToolName(_) | Self::FunctionName => "tool-name",
            Self::ToolArguments(_) | Self::CustomInput(_) | Self::FunctionArguments => {
                "tool-argument"
            }
        }
    }

    /// The channel's item: the call's index, or which of several fields of one kind.
    pub(super) const fn item(self) -> u32 {
        match self {
            Self::ToolName(index) | Self::ToolArguments(index) | Self::CustomInput(index) => index,
            Self::Reasoning => 1,
            Self::Thinking => 2,
            Self::Content
            | Self::Refusal
            | Self::ReasoningContent
            | Self::FunctionName
            | Self::FunctionArguments => 0,
        }
    }

    /// Whether its text is JSON with leaves of its own.
    pub(super) const fn is_json(self) -> bool {
        matches!(self, Self::ToolArguments(_) | Self::FunctionArguments)
    }
}

/// Text of one field in one event.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) field: Field,
    pub(super) text: String,
    /// The string with its quotes.
    pub(super) range: Range<usize>,
    /// The id of the tool call, where the event names it.
    pub(super) call_id: Option<String>,
}

/// One choice in one event.
#[derive(Clone, Debug, Default)]
pub(super) struct ChoicePart {
    pub(super) index: u32,
    pub(super) element: Range<usize>,
    pub(super) pieces: Vec<Piece>,
    pub(super) finish_reason: Option<String>,
    /// Alternatives that no guard has read.
    pub(super) logprobs: Option<Range<usize>>,
    /// Reasoning told a second time.
    pub(super) details: Option<Details>,
    /// Text in fields that the dialect does not name.
    pub(super) is_opaque: bool,
    /// Role, call ids or unknown fields: worth an event without text.
    pub(super) carries_more: bool,
}

/// `reasoning_details`.
#[derive(Clone, Debug)]
pub(super) struct Details {
    pub(super) range: Range<usize>,
    /// Its text is the reasoning of the same event, or there is none.
    pub(super) is_repeat: bool,
}

/// An event or answer, read.
#[derive(Clone, Debug, Default)]
pub(super) struct Chunk {
    /// An error object in place of an answer.
    pub(super) error: Option<String>,
    pub(super) model: Option<String>,
    pub(super) service_tier: Option<String>,
    pub(super) meters: Option<Vec<Meter>>,
    pub(super) has_usage: bool,
    pub(super) choices: Vec<ChoicePart>,
    /// The list of choices with its brackets.
    pub(super) list: Option<Range<usize>>,
}

/// Why an event cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Said of the whole answer, or beside its counts.
fn service_tier(root: Node<'_>, usage: Option<Node<'_>>) -> Option<String> {
    let places = [Some(root), usage];
    let mut said = places.into_iter().flatten();
    let tier = said.find_map(|node| node.some("service_tier")?.string())?;
    Some(clip(&tier, NAME_BYTES_MAX))
}

/// Reads an event's data, or the body of a whole answer.
pub(super) fn read(data: &[u8], limits: Limits, choices_max: usize) -> Result<Chunk, Malformed> {
    let text = std::str::from_utf8(data).map_err(|_| Malformed)?;
    let tape = Tape::parse(text, limits).map_err(|_| Malformed)?;
    let root = tape.root(text);
    if root.kind() != Kind::Object {
        return Err(Malformed);
    }
    let usage = root
        .some("usage")
        .or_else(|| root.some("x_groq")?.some("usage"));
    let mut chunk = Chunk {
        error: root.some("error").map(error_text),
        model: root
            .some("model")
            .and_then(Node::string)
            .map(|model| clip(&model, NAME_BYTES_MAX)),
        service_tier: service_tier(root, usage),
        meters: usage.and_then(meters),
        has_usage: usage.is_some(),
        ..Chunk::default()
    };
    let Some(list) = root.some("choices") else {
        // An answer without choices is none, unless it says why, or only counts.
        return if chunk.error.is_some() || chunk.has_usage {
            Ok(chunk)
        } else {
            Err(Malformed)
        };
    };
    if list.kind() != Kind::Array {
        return Err(Malformed);
    }
    chunk.list = Some(list.range());
    for (position, choice) in list.items().enumerate() {
        if position >= choices_max || choice.kind() != Kind::Object {
            return Err(Malformed);
        }
        if let Some(error) = choice.some("error") {
            chunk.error = Some(error_text(error));
        }
        chunk.choices.push(choice_part(choice, position)?);
    }
    Ok(chunk)
}

/// An error by its code or type, never by its message: messages may quote content, and this is recorded.
pub(super) fn error_text(error: Node<'_>) -> String {
    let plain = |key: &str| {
        let value = error.some(key)?;
        value
            .string()
            .map(|text| clip(&text, NAME_BYTES_MAX))
            .or_else(|| value.integer().map(|n| n.to_string()))
    };
    plain("code")
        .or_else(|| plain("type"))
        .unwrap_or_else(|| "an error without a code".to_owned())
}

fn choice_part(choice: Node<'_>, position: usize) -> Result<ChoicePart, Malformed> {
    let index = match choice.some("index") {
        Some(index) => index
            .integer()
            .and_then(|index| u32::try_from(index).ok())
            .ok_or(Malformed)?,
        None => u32::try_from(position).map_err(|_| Malformed)?,
    };
    let mut part = ChoicePart {
        index,
        element: choice.range(),
        finish_reason: choice
            .some("finish_reason")
            .and_then(Node::string)
            .map(|reason| clip(&reason, NAME_BYTES_MAX)),
        logprobs: choice.some("logprobs").map(Node::range),
        ..ChoicePart::default()
    };
    let (delta, message) = (choice.some("delta"), choice.some("message"));
    let body = delta.or(message);
    // A second body, or the `text` of the older completions, would go past the guards.
    let second = delta.and(message).is_some_and(has_text);
    part.is_opaque = second || choice.some("text").is_some_and(has_text);
    if let Some(body) = body {
        if body.kind() != Kind::Object {
            return Err(Malformed);
        }
        body_fields(body, &mut part)?;
    }
    Ok(part)
}

fn body_fields(body: Node<'_>, part: &mut ChoicePart) -> Result<(), Malformed> {
    for (key, value) in body.members() {
        if value.is_null() {
            continue;
        }
        match &*key.string().unwrap_or_default() {
            "content" if value.kind() == Kind::Array => content_parts(value, part)?,
            "content" => part.text(Field::Content, value)?,
            "refusal" => part.text(Field::Refusal, value)?,
            "reasoning_content" => part.text(Field::ReasoningContent, value)?,
            "reasoning" => part.text(Field::Reasoning, value)?,
            "tool_calls" => tool_calls(value, part)?,
            "function_call" => function(
                value,
                part,
                Field::FunctionName,
                Field::FunctionArguments,
                None,
            )?,
            "role" => part.carries_more = true,
            "reasoning_details" => {}
            key => {
                part.carries_more = true;
                part.is_opaque |= !SIGNED.contains(&key) && has_text(value);
            }
        }
    }
    if let Some(details) = body.some("reasoning_details") {
        part.details = Some(reasoning_details(details, &part.pieces));
    }
    Ok(())
}

/// Content as a list: text and thinking parts have lanes, others are opaque.
fn content_parts(list: Node<'_>, part: &mut ChoicePart) -> Result<(), Malformed> {
    for item in list.items() {
        let kind = item.some("type").and_then(Node::string).unwrap_or_default();
        match (&*kind, item.some("text"), item.some("thinking")) {
            ("text", Some(text), None) => part.text(Field::Content, text)?,
            ("thinking", None, Some(thinking)) if thinking.kind() == Kind::String => {
                part.text(Field::Thinking, thinking)?;
            }
            ("thinking", None, Some(thinking)) => {
                for item in thinking.items() {
                    match item.some("text") {
                        Some(text) => part.text(Field::Thinking, text)?,
                        None => part.is_opaque |= has_text(item),
                    }
                }
            }
            _ => {
                part.carries_more = true;
                part.is_opaque |= has_text(item);
            }
        }
    }
    Ok(())
}

fn tool_calls(list: Node<'_>, part: &mut ChoicePart) -> Result<(), Malformed> {
    if list.kind() != Kind::Array {
        return Err(Malformed);
    }
    for (position, call) in list.items().enumerate() {
        let index = match call.some("index") {
            Some(index) => index.integer().and_then(|index| u32::try_from(index).ok()),
            None => u32::try_from(position).ok(),
        };
        let index = index.ok_or(Malformed)?;
        let id = call
            .some("id")
            .and_then(Node::string)
            .filter(|id| !id.is_empty())
            .map(|id| clip(&id, NAME_BYTES_MAX));
        part.carries_more |= id.is_some();
        for (key, value) in call.members() {
            match &*key.string().unwrap_or_default() {
                _ if value.is_null() => {}
                "function" => function(
                    value,
                    part,
                    Field::ToolName(index),
                    Field::ToolArguments(index),
                    id.as_ref(),
                )?,
                "custom" => {
                    if let Some(name) = value.some("name") {
                        part.piece(Field::ToolName(index), name, id.as_ref())?;
                    }
                    if let Some(input) = value.some("input") {
                        part.piece(Field::CustomInput(index), input, id.as_ref())?;
                    }
                }
                "index" | "id" | "type" => {}
                key => part.is_opaque |= !SIGNED.contains(&key) && has_text(value),
            }
        }
    }
    Ok(())
}

fn function(
    call: Node<'_>,
    part: &mut ChoicePart,
    name: Field,
    arguments: Field,
    id: Option<&String>,
) -> Result<(), Malformed> {
    if call.kind() != Kind::Object {
        return Err(Malformed);
    }
    for (key, field) in [("name", name), ("arguments", arguments)] {
        if let Some(value) = call.some(key) {
            part.piece(field, value, id)?;
        }
    }
    for (key, value) in call.members() {
        let is_known = key
            .string()
            .is_some_and(|key| matches!(&*key, "name" | "arguments"));
        part.is_opaque |= !is_known && has_text(value);
    }
    Ok(())
}

/// Some providers tell reasoning twice: as text, and as blocks with signatures.
fn reasoning_details(details: Node<'_>, pieces: &[Piece]) -> Details {
    let mut told = String::new();
    let mut is_known = true;
    for item in details.items() {
        let kind = item.some("type").and_then(Node::string).unwrap_or_default();
        let text = match &*kind {
            "reasoning.text" => item.some("text"),
            "reasoning.summary" => item.some("summary"),
            // Encrypted: readable by nobody here; passed as it is or not at all.
            "reasoning.encrypted" => None,
            _ => {
                is_known = false;
                None
            }
        };
        told.push_str(&text.and_then(Node::string).unwrap_or_default());
    }
    let reasoning: String = pieces
        .iter()
        .filter(|piece| piece.field == Field::Reasoning)
        .map(|piece| piece.text.as_str())
        .collect();
    Details {
        range: details.range(),
        is_repeat: is_known && (told.is_empty() || told == reasoning),
    }
}

/// Whether any string with text stands in a value. The depth is bounded by the parse.
fn has_text(node: Node<'_>) -> bool {
    match node.kind() {
        Kind::String => node.raw_string().is_some_and(|raw| !raw.is_empty()),
        Kind::Array => node.items().any(has_text),
        Kind::Object => node.members().any(|(_, value)| has_text(value)),
        Kind::Number | Kind::True | Kind::False | Kind::Null => false,
    }
}

impl ChoicePart {
    fn text(&mut self, field: Field, value: Node<'_>) -> Result<(), Malformed> {
        self.piece(field, value, None)
    }

    fn piece(
        &mut self,
        field: Field,
        value: Node<'_>,
        call_id: Option<&String>,
    ) -> Result<(), Malformed> {
        let text = value.string().ok_or(Malformed)?.into_owned();
        self.pieces.push(Piece {
            field,
            text,
            range: value.range(),
            call_id: call_id.cloned(),
        });
        Ok(())
    }
}
