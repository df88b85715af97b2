//! What a client puts together from a chat stream, as it comes.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use pointsman_harness::Events;
use serde_json::Value;

/// One choice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// `content`.
    pub content: String,
    /// `reasoning_content`.
    pub reasoning: String,
    /// `refusal`.
    pub refusal: String,
    /// Name and arguments by index.
    pub calls: BTreeMap<u64, (String, String)>,
    /// How it ended.
    pub finish: Option<String>,
}

impl Choice {
    /// Bytes of all its text, names and arguments included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let calls = self.calls.values();
        let calls: usize = calls.map(|(name, text)| name.len() + text.len()).sum();
        self.content.len() + self.reasoning.len() + self.refusal.len() + calls
    }
}

/// A client's view.
#[derive(Debug, Default)]
pub struct View {
    /// By index.
    pub choices: BTreeMap<u64, Choice>,
    /// Whether usage was told.
    pub usage: bool,
    /// Whether `[DONE]` came.
    pub done: bool,
    events: Events,
}

impl View {
    /// The view of a whole body.
    ///
    /// # Errors
    /// Where it is no chat stream.
    pub fn of(body: &[u8]) -> anyhow::Result<Self> {
        let mut view = Self::default();
        view.push(body)?;
        ensure!(view.events.is_empty(), "an event has no end");
        Ok(view)
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// Where they break the dialect: what is no chunk, text behind a finish, anything behind the end.
    pub fn push(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.events.push(bytes);
        while let Some(event) = self.events.next_event() {
            ensure!(!self.done, "something follows [DONE]: {}", event.data);
            if event.data == "[DONE]" {
                self.done = true;
                continue;
            }
            let chunk: Value = serde_json::from_str(&event.data)
                .with_context(|| format!("no JSON: {}", event.data))?;
            self.chunk(&chunk)
                .with_context(|| format!("in {}", event.data))?;
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: &Value) -> anyhow::Result<()> {
        ensure!(chunk["object"] == "chat.completion.chunk", "no chunk");
        self.usage |= chunk["usage"].is_object();
        for choice in chunk["choices"].as_array().context("no choices")? {
            let index = choice["index"].as_u64().context("no index")?;
            let known = self.choices.entry(index).or_default();
            let before = known.bytes();
            let delta = &choice["delta"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            known.content += &text(&delta["content"]);
            known.reasoning += &text(&delta["reasoning_content"]);
            known.refusal += &text(&delta["refusal"]);
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                let index = call["index"].as_u64().context("a call has no index")?;
                let (name, arguments) = known.calls.entry(index).or_default();
                *name += &text(&call["function"]["name"]);
                *arguments += &text(&call["function"]["arguments"]);
            }
            ensure!(
                known.finish.is_none() || known.bytes() == before,
                "text follows the finish of choice {index}"
            );
            if let Some(reason) = choice["finish_reason"].as_str() {
                known.finish = Some(reason.to_owned());
            }
        }
        Ok(())
    }
}
