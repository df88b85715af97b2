//! The provider's streams of the matrix: what is said, in which fields, cut where.

use pointsman_harness::Events;
use serde_json::{Value, json};

/// An address and a key, and what stands for them.
#[derive(Clone, Debug)]
pub struct Speech {
    /// Said by the provider.
    pub said: String,
    /// What a client may have of it.
    pub wanted: String,
    /// None of these may be in what the client is sent, as they are or put together.
    pub forbidden: Vec<String>,
}

const EMAIL: &str = "ada.lovelace@example.org";

/// No key of anybody; put together here, so that no file holds what looks like one.
fn key() -> String {
    ["ghp", "R2D2c3pobb8k9L0zX7vQ1wE5tY8uI3oP6aS4"].join("_")
}

impl Speech {
    /// With two secrets.
    #[must_use]
    pub fn secret() -> Self {
        let key = key();
        Self {
            said: format!("Write to {EMAIL} with {key} today."),
            wanted: "Write to [EMAIL] with [KEY] today.".to_owned(),
            forbidden: [EMAIL, "lovelace@", "@example", "X7vQ1wE5", key.as_str()]
                .map(str::to_owned)
                .to_vec(),
        }
    }

    /// With nothing to hide.
    #[must_use]
    pub fn clean() -> Self {
        let said = "Nothing to hide: ünïcödé ✓, 12 of 34, a list of words.".to_owned();
        Self {
            wanted: said.clone(),
            said,
            forbidden: Vec::new(),
        }
    }
}

/// Where the text is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// In one choice's content.
    Text,
    /// In reasoning before it.
    Reasoning,
    /// In a refusal.
    Refusal,
    /// In the escaped strings of a tool call's arguments.
    Arguments,
    /// In three choices, each cut elsewhere.
    ThreeChoices,
    /// In four parallel tool calls, each cut elsewhere.
    FourTools,
    /// In content, told again token by token beside it.
    Logprobs,
    /// In content, told again whole in the last event.
    Summary,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Text,
        Self::Reasoning,
        Self::Refusal,
        Self::Arguments,
        Self::ThreeChoices,
        Self::FourTools,
        Self::Logprobs,
        Self::Summary,
    ];

    /// Choices that it needs.
    #[must_use]
    pub const fn choices(self) -> u64 {
        if matches!(self, Self::ThreeChoices) {
            3
        } else {
            1
        }
    }

    /// Whether it says things twice, of which guards let the second telling through to nobody.
    #[must_use]
    pub const fn repeats(self) -> bool {
        matches!(self, Self::Logprobs | Self::Summary)
    }

    /// Where the speech can be cut: the bytes between its characters.
    #[must_use]
    pub fn cuts(self, speech: &Speech) -> Vec<usize> {
        let text = self.spelled(&speech.said);
        (1..text.len())
            .filter(|at| text.is_char_boundary(*at))
            .collect()
    }

    /// The text as its field spells it.
    fn spelled(self, text: &str) -> String {
        if !matches!(self, Self::Arguments | Self::FourTools) {
            return text.to_owned();
        }
        // Every fifth character as an escape, the at sign among them.
        let escape = |(at, character): (usize, char)| {
            if at % 5 == 0 || character == '@' {
                let units = character.encode_utf16(&mut [0; 2]).to_vec();
                return units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            }
            character.to_string()
        };
        let escaped: String = text.chars().enumerate().map(escape).collect();
        format!("{{\"note\": \"{escaped}\", \"more\": [1, \"{text}\"]}}")
    }

    /// Whether a cut leaves half an escape, or a number whose end is not known: a guard that is to read them whole has
    /// their events spelled anew.
    #[must_use]
    pub fn halves_a_token(self, speech: &Speech, cut: usize) -> bool {
        let text = self.spelled(&speech.said);
        let halves = |shift: usize| {
            let before = &text[..text.floor_char_boundary((cut + shift) % text.len())];
            let escape = before.rfind('\\').filter(|at| at + 6 > before.len());
            escape.is_some() || before.ends_with("[1")
        };
        match self {
            Self::Arguments => halves(0),
            Self::FourTools => (0..4).any(|call| halves(call * 7)),
            _ => false,
        }
    }

    /// The events of the stream, the text cut once at `cut`.
    #[must_use]
    pub fn events(self, speech: &Speech, cut: usize) -> Vec<String> {
        let text = self.spelled(&speech.said);
        let halves = |shift: usize| {
            let at = text.floor_char_boundary((cut + shift) % text.len());
            [text[..at].to_owned(), text[at..].to_owned()]
        };
        let mut chunks = vec![chunk(
            json!([{"index": 0, "delta": {"role": "assistant"}, "logprobs": null, "finish_reason": null}]),
        )];
        for half in 0..2 {
            chunks.extend(self.half(half, &halves));
        }
        for choice in 0..self.choices() {
            let mut last =
                json!({"index": choice, "delta": {}, "logprobs": null, "finish_reason": "stop"});
            if self == Self::Summary {
                last["delta"] =
                    json!({"reasoning_details": [{"type": "reasoning.text", "text": speech.said}]});
            }
            chunks.push(chunk(json!([last])));
        }
        let mut usage = chunk(json!([]));
        usage["usage"] = json!({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21});
        chunks.push(usage);
        let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
        events.chain(["data: [DONE]\n\n".to_owned()]).collect()
    }

    fn half(self, half: usize, halves: &dyn Fn(usize) -> [String; 2]) -> Vec<Value> {
        let text = halves(0)[half].clone();
        let delta = |delta: Value| {
            chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]))
        };
        match self {
            Self::Text | Self::Summary => vec![delta(json!({"content": text}))],
            Self::Reasoning => vec![delta(json!({"reasoning_content": text}))],
            Self::Refusal => vec![delta(json!({"refusal": text}))],
            Self::Arguments => vec![delta(json!({"tool_calls": [call(0, half, &text)]}))],
            Self::FourTools => {
                let calls = (0..4).map(|index| call(index, half, &halves(index * 7)[half]));
                vec![delta(json!({"tool_calls": calls.collect::<Vec<_>>()}))]
            }
            Self::ThreeChoices => (0..3)
                .map(|index| {
                    let text = &halves(index * 7)[half];
                    chunk(json!([{"index": index, "delta": {"content": text}, "logprobs": null, "finish_reason": null}]))
                })
                .collect(),
            Self::Logprobs => {
                let token = json!({"token": text, "logprob": -0.5, "bytes": text.as_bytes(), "top_logprobs": [{"token": text, "logprob": -0.5, "bytes": null}]});
                vec![chunk(json!([{"index": 0, "delta": {"content": text}, "logprobs": {"content": [token], "refusal": null}, "finish_reason": null}]))]
            }
        }
    }
}

fn call(index: usize, half: usize, arguments: &str) -> Value {
    let mut call = json!({"index": index, "function": {"arguments": arguments}});
    if half == 0 {
        call["id"] = format!("call_{index}").into();
        call["type"] = "function".into();
        call["function"]["name"] = "send".into();
    }
    call
}

fn chunk(choices: Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fake", "choices": choices})
}

/// Every string of the events of a body, wherever it stands: what a leak could hide in.
#[must_use]
pub fn strings(body: &[u8]) -> Vec<String> {
    fn collect(value: &Value, strings: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                // Arguments are JSON inside a string; their escapes hide nothing.
                if let Ok(inner @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(text)
                {
                    collect(&inner, strings);
                }
                strings.push(text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, strings)),
            Value::Object(members) => members.iter().for_each(|(key, value)| {
                strings.push(key.clone());
                collect(value, strings);
            }),
            _ => {}
        }
    }
    let mut events = Events::default();
    events.push(body);
    let mut strings = Vec::new();
    while let Some(event) = events.next_event() {
        if let Ok(value) = serde_json::from_str(&event.data) {
            collect(&value, &mut strings);
        }
    }
    strings
}
