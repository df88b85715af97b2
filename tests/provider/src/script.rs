//! What tests ask for: the body of `PUT /_script`.
//!
//! Answers are taken in order, each for `times` requests (one, unless it says otherwise), skipping those that do not
//! match; then `default`; then the built-in answer. Unknown keys are refused, so that a misspelt fault fails its test.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The behaviour of coming requests.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Script {
    /// In order.
    pub answers: Vec<Answer>,
    /// For requests that no answer is left for.
    pub default: Option<Answer>,
}

/// One answer. With `status` of 400 and above, `body`, `raw` or `recording` it is sent as it stands, else it is a chat
/// completion, streamed where the request asks for a stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Answer {
    /// Which requests it is for; absent: any.
    #[serde(rename = "match")]
    pub matching: Matching,
    /// For how many requests; absent: one.
    pub times: Option<u64>,
    /// For any number of requests.
    pub always: bool,

    /// What is said, where there is one choice or all say the same.
    pub text: Option<String>,
    /// The last user message is said back.
    pub echo: bool,
    /// What is said, an exact chunk each.
    pub deltas: Vec<String>,
    /// Reasoning before it, an exact chunk each.
    pub reasoning: Vec<String>,
    /// A refusal instead of content, an exact chunk each.
    pub refusal: Vec<String>,
    /// Tool calls, after the content.
    pub tools: Vec<ToolCall>,
    /// The finish reason; absent: `stop`, `length` or `tool_calls`, as it comes.
    pub finish: Option<String>,
    /// What each choice says, where they differ; the last one serves any further choice.
    pub choices: Vec<Said>,
    /// `false`: none is reported. An object: reported as it stands. Absent: counted.
    pub usage: Option<Value>,
    /// Fields set in every chunk or in the whole answer, over ours: `system_fingerprint`, or one nobody knows.
    pub fields: Map<String, Value>,

    /// The HTTP status.
    pub status: Option<u16>,
    /// Response headers, over ours.
    pub headers: BTreeMap<String, String>,
    /// The whole body: a string as it stands, anything else as JSON.
    pub body: Option<Value>,
    /// The exact writes of the body: strings, or `{"base64": "…"}`.
    pub raw: Vec<Value>,
    /// A recorded exchange by its id.
    pub recording: Option<String>,

    /// Cuts the body into writes of this many bytes, whatever it was made of.
    pub split_bytes: Option<usize>,
    /// Pauses.
    pub delays: Delays,
    /// What goes wrong.
    pub fault: Option<Fault>,
}

/// Which requests an answer is for; every given key must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Matching {
    /// The name in the header `x-script`, or in the body's `metadata."x-script"`, which passes through gateways.
    pub script: Option<String>,
    /// Request headers by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// Values of the body by JSON pointer (`/model`).
    pub body: BTreeMap<String, Value>,
    /// A text that the body holds.
    pub contains: Option<String>,
    /// Whether a stream is asked for.
    pub stream: Option<bool>,
}

/// What one choice says; the fields of [`Answer`] of the same names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Said {
    /// Cut into words where it is streamed, and at `max_tokens`.
    pub text: Option<String>,
    /// Exact chunks, never cut.
    pub deltas: Vec<String>,
    /// Before the content.
    pub reasoning: Vec<String>,
    /// Instead of content.
    pub refusal: Vec<String>,
    /// After the content.
    pub tools: Vec<ToolCall>,
    /// The finish reason.
    pub finish: Option<String>,
}

/// A tool call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ToolCall {
    /// Absent: made up.
    pub id: Option<String>,
    /// The function.
    pub name: String,
    /// Its arguments: JSON text in exact fragments.
    pub arguments: Vec<String>,
}

/// Pauses, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Delays {
    /// Before the status and headers.
    pub headers_ms: u64,
    /// Between the headers and the first write of the body.
    pub first_ms: u64,
    /// Before each further write.
    pub chunk_ms: u64,
}

/// What goes wrong, and where.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// Writes of the body that leave before it, the role's chunk among them. Absent: `close`, `reset` and `stall` come
    /// before the headers, the others after the last write that says something.
    #[serde(default)]
    pub after_chunks: Option<usize>,
    /// The event of [`FaultKind::ErrorEvent`]; absent: an overload.
    #[serde(default)]
    pub error: Option<Value>,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The connection closes in order, but too early.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing further comes, for ever.
    Stall,
    /// An event whose data is no JSON; the rest follows.
    MalformedEvent,
    /// HTTP chunk framing that is none; the connection closes.
    BadFraming,
    /// An error object as an event of the 200 stream, which then ends.
    ErrorEvent,
    /// The last write is repeated for ever (`chunk-ms` apart).
    Endless,
}

impl Answer {
    /// What the given choice says.
    pub(crate) fn said(&self, choice: usize, last_user: &str) -> Said {
        if let Some(said) = self.choices.get(choice).or_else(|| self.choices.last()) {
            return said.clone();
        }
        let silent = self.deltas.is_empty() && self.refusal.is_empty() && self.tools.is_empty();
        let text = if self.echo {
            Some(last_user.to_owned())
        } else {
            self.text
                .clone()
                .or_else(|| silent.then(|| BUILT_IN.to_owned()))
        };
        Said {
            text,
            deltas: self.deltas.clone(),
            reasoning: self.reasoning.clone(),
            refusal: self.refusal.clone(),
            tools: self.tools.clone(),
            finish: self.finish.clone(),
        }
    }

    /// Whether the script says what is said; else a required tool call is made up.
    pub(crate) fn speaks(&self) -> bool {
        self.text.is_some()
            || self.echo
            || !self.deltas.is_empty()
            || !self.refusal.is_empty()
            || !self.tools.is_empty()
            || !self.choices.is_empty()
    }
}

impl Script {
    /// What cannot be sent as it is written.
    ///
    /// # Errors
    /// The key and why.
    pub(crate) fn check(&self) -> Result<(), String> {
        for answer in self.answers.iter().chain(&self.default) {
            if let Some(status) = answer.status
                && !(200..=599).contains(&status)
            {
                return Err(format!("status {status} is not between 200 and 599"));
            }
            for write in &answer.raw {
                raw(write)?;
            }
        }
        Ok(())
    }
}

/// The bytes of an entry of `raw`.
pub(crate) fn raw(write: &Value) -> Result<Bytes, String> {
    if let Some(text) = write.as_str() {
        return Ok(Bytes::from(text.to_owned()));
    }
    let Some(coded) = write["base64"].as_str() else {
        return Err(format!(
            "raw takes strings and {{\"base64\": \"…\"}}, not {write}"
        ));
    };
    STANDARD
        .decode(coded)
        .map(Bytes::from)
        .map_err(|error| format!("raw holds bad base64: {error}"))
}

/// What is said where nothing else was asked for.
pub(crate) const BUILT_IN: &str = "The capital of France is Paris, says the fake provider.";

impl Matching {
    /// Whether the answer is for this request.
    pub(crate) fn fits(&self, request: &crate::exchange::Request) -> bool {
        let script = self
            .script
            .as_ref()
            .is_none_or(|name| request.named("x-script").as_ref() == Some(name));
        let headers = self.headers.iter().all(|(name, value)| {
            request
                .headers
                .get(name)
                .and_then(|found| found.to_str().ok())
                == Some(value)
        });
        let body = self
            .body
            .iter()
            .all(|(pointer, value)| request.json.pointer(pointer) == Some(value));
        let contains = self
            .contains
            .as_ref()
            .is_none_or(|text| request.text().contains(text.as_str()));
        let stream = self.stream.is_none_or(|stream| stream == request.stream());
        script && headers && body && contains && stream
    }
}
