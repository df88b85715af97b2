//! What conditions ask of a request: read from the view when a condition first needs it, then kept for the decision,
//! because each read is recorded.

use std::cell::OnceCell;
use std::sync::Arc;

use cel::Value;
use pointsman_sdk::{Value as Given, View};

use crate::names::{self, Name, Table};

/// How many of the newest messages `text` is made of.
const TEXT_MESSAGES: u32 = 64;

/// The facts of one request; slots by `Name`.
pub(crate) struct Facts<'a> {
    names: &'a [Name],
    view: &'a dyn View,
    text_bytes: u32,
    values: Vec<OnceCell<Option<Value>>>,
}

impl<'a> Facts<'a> {
    pub(crate) fn new(names: &'a [Name], view: &'a dyn View, text_bytes: u32) -> Self {
        Self {
            names,
            view,
            text_bytes,
            values: vec![OnceCell::new(); names.len()],
        }
    }

    /// The fact in a slot, if the request has it.
    pub(crate) fn get(&self, slot: usize) -> Option<Value> {
        self.values[slot]
            .get_or_init(|| self.read(&self.names[slot]))
            .clone()
    }

    fn read(&self, name: &Name) -> Option<Value> {
        let text = |field: &str| Value::from(self.view.text(field).unwrap_or_default());
        match name {
            Name::Entry(Table::Request, written) => {
                self.view.field(names::field(written)?).map(value)
            }
            Name::Entry(Table::Labels, written) => {
                let label = self.view.label(written);
                let label = label.or_else(|| self.view.label(&dashed(written)?));
                label.map(|label| value(label.value))
            }
            Name::Entry(Table::Headers, written) => {
                // Header names are written with dashes.
                let header = dashed(written).and_then(|dashed| self.view.header(&dashed));
                let header = header.or_else(|| self.view.header(written));
                header.map(Value::from)
            }
            Name::Tenant => Some(text("tenant")),
            Name::Key => Some(text("key")),
            Name::Variant => Some(text("variant")),
            Name::Text => Some(Value::from(
                self.view.recent_text(TEXT_MESSAGES, self.text_bytes),
            )),
            Name::Tools => Some(value(Given::Texts(self.view.tool_names()))),
        }
    }
}

/// `has_code` as `has-code`, where that differs.
fn dashed(written: &str) -> Option<String> {
    written.contains('_').then(|| written.replace('_', "-"))
}

fn value(given: Given) -> Value {
    match given {
        Given::Text(text) => Value::from(text),
        Given::Texts(texts) => Value::List(Arc::new(texts.into_iter().map(Value::from).collect())),
        Given::Integer(integer) => Value::Int(integer),
        Given::Number(number) => Value::Float(number),
        Given::Flag(flag) => Value::Bool(flag),
    }
}

/// A request that has everything: conditions run on it once, so that what is lazy in them is warm in the snapshot.
pub(crate) struct Everything;

impl View for Everything {
    fn field(&self, name: &str) -> Option<Given> {
        Some(match name {
            "streaming" => Given::Flag(true),
            "temperature" => Given::Number(1.0),
            "version"
            | "max-output-tokens"
            | "n"
            | "input-tokens-estimate"
            | "budget-left-pico-usd" => Given::Integer(1),
            _ => Given::Text("x".to_owned()),
        })
    }
    fn label(&self, key: &str) -> Option<pointsman_sdk::Label> {
        Some(pointsman_sdk::Label::new(key, "x"))
    }
    fn header(&self, _name: &str) -> Option<String> {
        Some("x".to_owned())
    }
    fn message_count(&self) -> u32 {
        0
    }
    fn message_field(&self, _message: u32, _name: &str) -> Option<Given> {
        None
    }
    fn part_field(&self, _message: u32, _part: u32, _name: &str) -> Option<Given> {
        None
    }
    fn segment_count(&self) -> u32 {
        0
    }
    fn segments(&self, _first: u32, _count: u32) -> Vec<pointsman_sdk::Segment> {
        Vec::new()
    }
    fn recent_text(&self, _messages: u32, _bytes_max: u32) -> String {
        "x".to_owned()
    }
    fn tool_names(&self) -> Vec<String> {
        vec!["x".to_owned()]
    }
    fn tool_schema(&self, _name: &str) -> Option<String> {
        None
    }
    fn body_length(&self) -> u64 {
        0
    }
    fn body(&self, _offset: u64, _length: u32) -> Vec<u8> {
        Vec::new()
    }
}
