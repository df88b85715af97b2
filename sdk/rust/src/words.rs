//! The contract's words as Rust types, one path each, and the small constructors that plugins want.

pub use crate::generated::accountant::exports::pointsman::plugin::accountant::{
    Amount, CostLine, Usage,
};
pub use crate::generated::host::pointsman::plugin::log::Level;
pub use crate::generated::host::pointsman::plugin::prices::Rate;
pub use crate::generated::host::pointsman::plugin::request::Segment;
pub use crate::generated::host::pointsman::plugin::types::{
    Attribute, Label, Meter, PluginError, Reason, Value,
};
pub use crate::generated::request_guard::exports::pointsman::plugin::request_guard::{
    Checked, Edit, TextEdit, Verdict,
};
pub use crate::generated::response_guard::exports::pointsman::plugin::response_guard::{
    Action, Channel, Coverage, Delta, Replacement, Stop, Take,
};
pub use crate::generated::router::exports::pointsman::plugin::router::{Attempt, Plan};

impl Value {
    /// The string, if this is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Texts(_) | Self::Integer(_) | Self::Number(_) | Self::Flag(_) => None,
        }
    }

    /// The strings, if this is a list of them.
    #[must_use]
    pub fn as_texts(&self) -> Option<&[String]> {
        match self {
            Self::Texts(texts) => Some(texts),
            Self::Text(_) | Self::Integer(_) | Self::Number(_) | Self::Flag(_) => None,
        }
    }

    /// The whole number, if this is one.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            Self::Text(_) | Self::Texts(_) | Self::Number(_) | Self::Flag(_) => None,
        }
    }

    /// The number, whole or not.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "the caller asks for a float; whole numbers above 2^53 are compared through as_integer"
    )]
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Integer(integer) => Some(*integer as f64),
            Self::Number(number) => Some(*number),
            Self::Text(_) | Self::Texts(_) | Self::Flag(_) => None,
        }
    }

    /// The yes or no, if this is one.
    #[must_use]
    pub fn as_flag(&self) -> Option<bool> {
        match self {
            Self::Flag(flag) => Some(*flag),
            Self::Text(_) | Self::Texts(_) | Self::Integer(_) | Self::Number(_) => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl Attribute {
    /// A key with a value.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}

impl Label {
    /// A label that is certain.
    #[must_use]
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
            score: 1.0,
        }
    }

    /// With this confidence, 0 to 1.
    #[must_use]
    pub fn scored(mut self, score: f32) -> Self {
        self.score = score;
        self
    }
}

impl Reason {
    /// A stable code with a sentence for people that repeats no content.
    #[must_use]
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            detail: detail.into(),
            attributes: Vec::new(),
        }
    }

    /// With an attribute: `status`, `user-message`, `as`.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.push(Attribute::new(key, value));
        self
    }
}

impl Attempt {
    /// One try at a target, with the policy's own timeouts.
    #[must_use]
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            attributes: Vec::new(),
        }
    }

    /// With an attribute: `timeout-ms`, `first-token-timeout-ms`, `retries`, `model`; `hedge-after-ms` is refused by this version.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.push(Attribute::new(key, value));
        self
    }
}

impl Plan {
    /// No attempts: the next router is asked.
    #[must_use]
    pub fn abstain(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            attempts: Vec::new(),
            reason: Reason::new(code, detail),
            attributes: Vec::new(),
        }
    }
}

impl Checked {
    /// As it is, without labels.
    #[must_use]
    pub const fn pass() -> Self {
        Self {
            verdict: Verdict::Pass,
            labels: Vec::new(),
        }
    }

    /// Not at all.
    #[must_use]
    pub const fn deny(reason: Reason) -> Self {
        Self {
            verdict: Verdict::Deny(reason),
            labels: Vec::new(),
        }
    }

    /// With these changes; none of them means pass.
    #[must_use]
    pub fn edit(edits: Vec<Edit>) -> Self {
        Self {
            verdict: if edits.is_empty() {
                Verdict::Pass
            } else {
                Verdict::Edit(edits)
            },
            labels: Vec::new(),
        }
    }
}

impl Edit {
    /// Replaces bytes `start..end` of a segment's text.
    #[must_use]
    pub fn text(segment: u32, start: u32, end: u32, text: impl Into<String>) -> Self {
        Self::Text(TextEdit {
            segment,
            start,
            end,
            text: text.into(),
        })
    }

    /// Sets a parameter: `max-output-tokens`, `temperature`, `remove-tool`, `prepend-system`.
    #[must_use]
    pub fn set(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Set(Attribute::new(key, value))
    }
}

impl Action {
    /// Releases the next `bytes` of a channel as they are.
    #[must_use]
    pub const fn pass(channel: u32, bytes: u32) -> Self {
        Self::Pass(Take { channel, bytes })
    }

    /// Releases `text` in place of the next `bytes` of a channel.
    #[must_use]
    pub fn replace(channel: u32, bytes: u32, text: impl Into<String>) -> Self {
        Self::Replace(Replacement {
            channel,
            bytes,
            text: text.into(),
        })
    }

    /// Ends one choice, or with none the whole answer.
    #[must_use]
    pub const fn cut(choice: Option<u32>, reason: Reason) -> Self {
        Self::Cut(Stop { choice, reason })
    }
}
