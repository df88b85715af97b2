//! What a client makes of the released bytes.

use std::collections::BTreeMap;

use pointsman_wire::sse::Decoder;
use serde_json::Value as Json;

/// One choice as a client assembles it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Choice {
    pub(crate) content: String,
    pub(crate) reasoning: String,
    pub(crate) refusal: String,
    /// Name and arguments by index.
    pub(crate) calls: BTreeMap<u64, (String, String)>,
    pub(crate) finish_reason: Option<String>,
}

/// A client's view of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Client {
    pub(crate) choices: BTreeMap<u64, Choice>,
    pub(crate) usage: bool,
    pub(crate) done: bool,
}

impl Client {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut decoder = Decoder::new(1 << 24);
        decoder.push(bytes);
        let mut client = Self::default();
        while let Some(event) = decoder.next_event().expect("small events") {
            let Some(data) = event.data else { continue };
            assert!(!client.done, "nothing follows the end");
            if data == "[DONE]" {
                client.done = true;
                continue;
            }
            client.chunk(&serde_json::from_slice(&data).expect("chunks are JSON"));
        }
        client
    }

    fn chunk(&mut self, chunk: &Json) {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        self.usage |= chunk["usage"].is_object();
        for choice in chunk["choices"].as_array().expect("choices") {
            let known = self
                .choices
                .entry(choice["index"].as_u64().expect("an index"))
                .or_default();
            let delta = &choice["delta"];
            let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
            let pieces = [
                &delta["content"],
                &delta["reasoning_content"],
                &delta["reasoning"],
                &delta["refusal"],
            ];
            let calls = delta["tool_calls"].as_array();
            if pieces.iter().any(|piece| !text(piece).is_empty()) || calls.is_some() {
                assert_eq!(known.finish_reason, None, "no text follows a finish");
            }
            known.content += &text(pieces[0]);
            for part in pieces[0].as_array().into_iter().flatten() {
                known.content += &text(&part["text"]);
                for part in part["thinking"].as_array().into_iter().flatten() {
                    known.reasoning += &text(&part["text"]);
                }
            }
            known.reasoning += &text(pieces[1]);
            known.reasoning += &text(pieces[2]);
            known.refusal += &text(pieces[3]);
            for call in calls.into_iter().flatten() {
                let (name, arguments) = known
                    .calls
                    .entry(call["index"].as_u64().expect("an index"))
                    .or_default();
                *name += &text(&call["function"]["name"]);
                *arguments += &text(&call["function"]["arguments"]);
            }
            if let Some(reason) = choice["finish_reason"].as_str() {
                known.finish_reason = Some(reason.to_owned());
            }
        }
    }
}
