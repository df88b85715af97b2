//! What plugins may know of a request (WIT interface `request`), as data.

use std::borrow::Cow;

use bytes::Bytes;

use crate::value::{Label, Value};

/// One piece of guardable text, decoded, in document order. Offsets into `text` are bytes on UTF-8 borders.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Index of the message it belongs to; `u32::MAX` for text outside messages (tool descriptions).
    pub message: u32,
    /// Index of the part within the message.
    pub part: u32,
    /// `system`, `user`, `assistant`, `tool`, … (open set).
    pub role: Cow<'static, str>,
    /// `text`, `tool-argument`, `tool-result`, `tool-description`, `refusal`, `name`, … (open set).
    pub kind: Cow<'static, str>,
    /// Where inside a structured part: a JSON pointer into tool arguments; empty otherwise. Keys end in `#key`.
    pub path: String,
    /// The decoded text.
    pub text: String,
}

/// One part of a message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// `kind`, `media-type`, `bytes`, `url`, `tool-name`, `call-id`, `cached`.
    pub fields: Vec<(Cow<'static, str>, Value)>,
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// `role`, `name`; `parts` (the count) is answered from `parts`.
    pub fields: Vec<(Cow<'static, str>, Value)>,
    /// Its parts in order.
    pub parts: Vec<Part>,
}

/// A tool that the caller offers to the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its JSON Schema as text, where there is one.
    pub schema: Option<String>,
}

/// A request as plugins see it: parsed once, shared by `Arc`, changed only between steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestView {
    /// `tenant`, `key`, `model`, `dialect`, `endpoint`, `conversation`, `policy`, `version`, `phase`, `time-ms`,
    /// `streaming`, `service-tier`, `max-output-tokens`, `temperature`, `n`, `response-format`,
    /// `input-tokens-estimate`, `budget-left-pico-usd`, `variant`; in response phases also `target`, `attempt`,
    /// `status`, `response-model`.
    pub fields: Vec<(Cow<'static, str>, Value)>,
    /// What classifiers and guards said so far; a later label with the same key replaces the earlier.
    pub labels: Vec<Label>,
    /// Allow-listed request headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The conversation.
    pub messages: Vec<Message>,
    /// All guardable text in document order.
    pub segments: Vec<Segment>,
    /// Offered tools in order.
    pub tools: Vec<Tool>,
    /// The body as it stands after the edits so far.
    pub body: Bytes,
}

impl RequestView {
    /// A field by name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// Sets a field, replacing an earlier value.
    pub fn set_field(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.fields.iter_mut().find(|(key, _)| key == name) {
            Some(slot) => slot.1 = value,
            None => self.fields.push((Cow::Borrowed(name), value)),
        }
    }

    /// A label by key.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&Label> {
        self.labels.iter().find(|label| label.key == key)
    }

    /// Adds labels, replacing earlier ones with the same key.
    pub fn add_labels(&mut self, labels: impl IntoIterator<Item = Label>) {
        for label in labels {
            match self.labels.iter_mut().find(|known| known.key == label.key) {
                Some(slot) => *slot = label,
                None => self.labels.push(label),
            }
        }
    }

    /// A header by its name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The newest text of the last `messages` messages (text segments joined by newlines, oldest first),
    /// at most `bytes_max` bytes of it, cut at the front on a UTF-8 border.
    #[must_use]
    pub fn recent_text(&self, messages: u32, bytes_max: u32) -> String {
        let count = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        let first = count.saturating_sub(messages);
        let mut left = bytes_max as usize;
        let mut pieces = Vec::new();
        let recent = |message: u32| message >= first && message != u32::MAX;
        for segment in self
            .segments
            .iter()
            .rev()
            .filter(|s| s.kind == "text" && recent(s.message))
        {
            if left == 0 {
                break;
            }
            let mut start = segment.text.len().saturating_sub(left);
            while !segment.text.is_char_boundary(start) {
                start += 1;
            }
            pieces.push(&segment.text[start..]);
            left = left.saturating_sub(segment.text.len() - start + 1);
        }
        pieces.reverse();
        pieces.join("\n")
    }
}

/// A replacement of bytes `start..end` of a segment's text.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TextEdit {
    /// Index into `RequestView::segments`.
    pub segment: u32,
    /// First byte replaced.
    pub start: u32,
    /// Byte after the last one replaced.
    pub end: u32,
    /// What stands there instead.
    pub text: String,
}

/// What a request guard asks the host to change.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Ordered by (segment, start), not overlapping, on UTF-8 borders.
    Text(TextEdit),
    /// `max-output-tokens`, `temperature`, `remove-tool`, `prepend-system`.
    Set(crate::value::Attribute),
}

/// A request guard's verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// As it is.
    Pass,
    /// With these changes.
    Edit(Vec<Edit>),
    /// Not at all.
    Deny(crate::value::Reason),
}

/// What a request guard returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Pass, edit or deny.
    pub verdict: Verdict,
    /// Labels it adds.
    pub labels: Vec<Label>,
}
