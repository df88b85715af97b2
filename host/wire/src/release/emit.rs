//! Chunks of our own: text that left a guard after its event, and the end of a cut choice.

use pointsman_domain::{Reason, Value};

use super::chunk::Field;
use crate::json::{Limits, Tape, escape, escape_into};

/// Fields of a chunk that do not change within an answer.
const LASTING: [&str; 7] = [
    "id",
    "object",
    "created",
    "model",
    "system_fingerprint",
    "service_tier",
    "provider",
];

/// A chunk for one choice: `delta` and `finish_reason` are JSON.
pub(super) fn chunk(
    template: Option<&[u8]>,
    limits: Limits,
    choice: u32,
    delta: &str,
    finish_reason: &str,
) -> String {
    let mut out = envelope(template, limits);
    out.push_str(&format!(
        r#""choices":[{{"index":{choice},"delta":{delta},"finish_reason":{finish_reason}}}]}}"#
    ));
    out
}

/// An open object with the lasting fields of another chunk, each as spelled there.
fn envelope(template: Option<&[u8]>, limits: Limits) -> String {
    let mut out = String::from("{");
    let text = template
        .and_then(|data| std::str::from_utf8(data).ok())
        .unwrap_or("{}");
    if let Ok(tape) = Tape::parse(text, limits) {
        for (key, value) in tape.root(text).members() {
            if key.string().is_some_and(|key| LASTING.contains(&&*key)) {
                out.push_str(key.raw());
                out.push(':');
                out.push_str(value.raw());
                out.push(',');
            }
        }
    }
    if out.len() == 1 {
        // Cut before the provider said anything.
        out.push_str(
            r#""id":"chatcmpl-pointsman","object":"chat.completion.chunk","created":0,"model":"","#,
        );
    }
    out
}

/// A delta with text of one field.
pub(super) fn delta(field: Field, text: &str) -> String {
    let (before, after) = match field {
        Field::Content => (r#"{"content":""#.to_owned(), r#""}"#),
        Field::Refusal => (r#"{"refusal":""#.to_owned(), r#""}"#),
        Field::ReasoningContent => (r#"{"reasoning_content":""#.to_owned(), r#""}"#),
        Field::Reasoning => (r#"{"reasoning":""#.to_owned(), r#""}"#),
        Field::Thinking => {
            let before = r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":""#;
            (before.to_owned(), r#""}]}]}"#)
        }
        Field::ToolName(index) => (call(index, "function", "name"), r#""}}]}"#),
        Field::ToolArguments(index) => (call(index, "function", "arguments"), r#""}}]}"#),
        Field::CustomInput(index) => (call(index, "custom", "input"), r#""}}]}"#),
        Field::FunctionName => (r#"{"function_call":{"name":""#.to_owned(), r#""}}"#),
        Field::FunctionArguments => (r#"{"function_call":{"arguments":""#.to_owned(), r#""}}"#),
    };
    let mut out = before;
    escape_into(&mut out, text);
    out.push_str(after);
    out
}

fn call(index: u32, kind: &str, key: &str) -> String {
    format!(r#"{{"tool_calls":[{{"index":{index},"{kind}":{{"{key}":""#)
}

/// The words for the caller where a cut is to read as a refusal.
pub(super) fn refusal(reason: &Reason) -> Option<&str> {
    let text = |key: &str| {
        reason
            .attributes
            .iter()
            .find(|attribute| attribute.key == key)
            .and_then(|a| a.value.as_text())
    };
    text("user-message").filter(|_| text("as") == Some("refusal"))
}

/// The last delta of a cut choice.
pub(super) fn cut_delta(reason: &Reason) -> String {
    refusal(reason).map_or_else(|| "{}".to_owned(), |words| delta(Field::Refusal, words))
}

/// The message of a whole answer's cut choice: what was released before the cut, and the refusal.
pub(super) fn cut_message(released: &[(Field, &str)], reason: &Reason) -> String {
    let text = |wanted: Field| {
        let text = released
            .iter()
            .find(|(field, text)| *field == wanted && !text.is_empty());
        text.map(|(_, text)| format!("\"{}\"", escape(text)))
    };
    let null = || "null".to_owned();
    let refusal = refusal(reason)
        .map(|words| format!("\"{}\"", escape(words)))
        .or_else(|| text(Field::Refusal));
    let mut out = format!(
        r#"{{"role":"assistant","content":{},"refusal":{}"#,
        text(Field::Content).unwrap_or_else(null),
        refusal.unwrap_or_else(null)
    );
    for (field, key) in [
        (Field::ReasoningContent, "reasoning_content"),
        (Field::Reasoning, "reasoning"),
    ] {
        if let Some(text) = text(field) {
            out.push_str(&format!(r#","{key}":{text}"#));
        }
    }
    out.push('}');
    out
}

/// A reason of the engine's own.
pub(super) fn reason(code: &str, detail: String) -> Reason {
    Reason {
        code: code.to_owned(),
        detail,
        attributes: Vec::new(),
    }
}

/// The finish reasons in a form for guards.
pub(super) fn finish_value(reasons: &[String]) -> Option<Value> {
    match reasons {
        [] => None,
        [one] => Some(Value::Text(one.clone())),
        many => Some(Value::Texts(many.to_vec())),
    }
}
