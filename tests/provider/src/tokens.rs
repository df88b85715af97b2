//! Counts tokens with a public tokenizer: OpenAI's `o200k_base`.

use std::borrow::Cow;

use serde_json::Value;
use tiktoken_rs::{CoreBPE, o200k_base_singleton};

use crate::exchange::content_text;
use crate::limits::COUNTED_BYTES_MAX;

/// The tokenizer's name, for the ledger.
pub(crate) const NAME: &str = "o200k_base";

/// Tokens that OpenAI's own recipe adds for each message, and once for the answer's beginning.
const MESSAGE_TOKENS: u64 = 3;
const ANSWER_TOKENS: u64 = 3;

/// The vocabulary; the first call reads it (tenths of a second).
pub(crate) fn vocabulary() -> &'static CoreBPE {
    o200k_base_singleton()
}

/// Tokens of a text; of its first bytes only where it is huge.
pub(crate) fn count(text: &str) -> u64 {
    let end = text.floor_char_boundary(COUNTED_BYTES_MAX);
    vocabulary().count_ordinary(&text[..end]) as u64
}

/// At most so many tokens of a text, and whether that cut it.
pub(crate) fn truncate(text: &str, tokens_max: u64) -> (Cow<'_, str>, bool) {
    let tokens = vocabulary().encode_ordinary(text);
    let keep = usize::try_from(tokens_max).unwrap_or(usize::MAX);
    if tokens.len() <= keep {
        return (Cow::Borrowed(text), false);
    }
    let bytes = vocabulary()
        .decode_bytes(&tokens[..keep])
        .unwrap_or_default();
    (
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        true,
    )
}

/// Tokens of a chat request's messages and tools, by the recipe of OpenAI's cookbook.
pub(crate) fn prompt(request: &Value) -> u64 {
    let messages = request["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut tokens = ANSWER_TOKENS;
    for message in messages {
        tokens += MESSAGE_TOKENS;
        tokens += count(message["role"].as_str().unwrap_or_default());
        tokens += count(&content_text(&message["content"]));
        if let Some(name) = message["name"].as_str() {
            tokens += count(name) + 1;
        }
        if let Some(calls) = message.get("tool_calls") {
            tokens += count(&calls.to_string());
        }
    }
    if let Some(tools) = request.get("tools") {
        tokens += count(&tools.to_string());
    }
    tokens
}
