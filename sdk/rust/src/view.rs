//! What a plugin may read of a request and of the candidates, as traits: the Wasm handles implement them in the
//! gateway, `testing::FakeView` and `testing::FakePool` in native tests. Each call is recorded by the host, so read
//! what the decision needs and no more.

use crate::generated::host::pointsman::plugin::request::View as ViewHandle;
use crate::generated::host::pointsman::plugin::targets::Pool as PoolHandle;
use crate::words::{Label, Segment, Value};

/// The request. Everything out of range or unknown is none.
pub trait View {
    /// `tenant`, `key`, `model`, `dialect`, `conversation`, `streaming`, `max-output-tokens`, … (see the WIT).
    fn field(&self, name: &str) -> Option<Value>;
    /// Several fields in one call of the host.
    fn fields(&self, names: &[&str]) -> Vec<Option<Value>> {
        names.iter().map(|name| self.field(name)).collect()
    }
    /// What an earlier step said.
    fn label(&self, key: &str) -> Option<Label>;
    /// An allow-listed request header.
    fn header(&self, name: &str) -> Option<String>;
    /// How many messages.
    fn message_count(&self) -> u32;
    /// `role`, `name`, `parts`.
    fn message_field(&self, message: u32, name: &str) -> Option<Value>;
    /// `kind`, `media-type`, `bytes`, `url`, `tool-name`, `call-id`, `cached`.
    fn part_field(&self, message: u32, part: u32, name: &str) -> Option<Value>;
    /// How many pieces of guardable text.
    fn segment_count(&self) -> u32;
    /// Some of them, in document order.
    fn segments(&self, first: u32, count: u32) -> Vec<Segment>;
    /// The newest text, at most `bytes_max` bytes of it.
    fn recent_text(&self, messages: u32, bytes_max: u32) -> String;
    /// Tools that the caller offers.
    fn tool_names(&self) -> Vec<String>;
    /// A tool's JSON Schema.
    fn tool_schema(&self, name: &str) -> Option<String>;
    /// Bytes of the body.
    fn body_length(&self) -> u64;
    /// Some of them.
    fn body(&self, offset: u64, length: u32) -> Vec<u8>;

    /// A field that is a string.
    fn text(&self, name: &str) -> Option<String> {
        match self.field(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A field that is a whole number.
    fn integer(&self, name: &str) -> Option<i64> {
        self.field(name).and_then(|value| value.as_integer())
    }

    /// A field that is a yes or no.
    fn flag(&self, name: &str) -> Option<bool> {
        self.field(name).and_then(|value| value.as_flag())
    }

    /// A label's value that is a string.
    fn label_text(&self, key: &str) -> Option<String> {
        match self.label(key)?.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// All guardable text.
    fn all_segments(&self) -> Vec<Segment> {
        self.segments(0, self.segment_count())
    }
}

/// The candidates by column; row `i` of each column belongs to `names()[i]`.
pub trait Pool {
    /// The targets' names.
    fn names(&self) -> Vec<String>;
    /// A column; all none where it is unknown.
    fn column(&self, key: &str) -> Vec<Option<Value>>;
    /// Several columns in one call of the host.
    fn columns(&self, keys: &[&str]) -> Vec<Vec<Option<Value>>> {
        keys.iter().map(|key| self.column(key)).collect()
    }

    /// A column of whole numbers.
    fn integers(&self, key: &str) -> Vec<Option<i64>> {
        self.column(key)
            .into_iter()
            .map(|value| value.and_then(|value| value.as_integer()))
            .collect()
    }

    /// A column of numbers.
    fn numbers(&self, key: &str) -> Vec<Option<f64>> {
        self.column(key)
            .into_iter()
            .map(|value| value.and_then(|value| value.as_number()))
            .collect()
    }

    /// A column of yes or no.
    fn flags(&self, key: &str) -> Vec<Option<bool>> {
        self.column(key)
            .into_iter()
            .map(|value| value.and_then(|value| value.as_flag()))
            .collect()
    }
}

impl View for ViewHandle {
    fn field(&self, name: &str) -> Option<Value> {
        Self::field(self, name)
    }
    fn fields(&self, names: &[&str]) -> Vec<Option<Value>> {
        Self::fields(self, &owned(names))
    }
    fn label(&self, key: &str) -> Option<Label> {
        Self::label(self, key)
    }
    fn header(&self, name: &str) -> Option<String> {
        Self::header(self, name)
    }
    fn message_count(&self) -> u32 {
        Self::message_count(self)
    }
    fn message_field(&self, message: u32, name: &str) -> Option<Value> {
        Self::message_field(self, message, name)
    }
    fn part_field(&self, message: u32, part: u32, name: &str) -> Option<Value> {
        Self::part_field(self, message, part, name)
    }
    fn segment_count(&self) -> u32 {
        Self::segment_count(self)
    }
    fn segments(&self, first: u32, count: u32) -> Vec<Segment> {
        Self::segments(self, first, count)
    }
    fn recent_text(&self, messages: u32, bytes_max: u32) -> String {
        Self::recent_text(self, messages, bytes_max)
    }
    fn tool_names(&self) -> Vec<String> {
        Self::tool_names(self)
    }
    fn tool_schema(&self, name: &str) -> Option<String> {
        Self::tool_schema(self, name)
    }
    fn body_length(&self) -> u64 {
        Self::body_length(self)
    }
    fn body(&self, offset: u64, length: u32) -> Vec<u8> {
        Self::body(self, offset, length)
    }
}

impl Pool for PoolHandle {
    fn names(&self) -> Vec<String> {
        Self::names(self)
    }
    fn column(&self, key: &str) -> Vec<Option<Value>> {
        Self::column(self, key)
    }
    fn columns(&self, keys: &[&str]) -> Vec<Vec<Option<Value>>> {
        Self::columns(self, &owned(keys))
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}
