//! What the mock says.

use bytes::Bytes;

/// The answer of `/models`.
pub(super) const MODELS: &[u8] = br#"{"object":"list","data":[{"id":"gpt-4o-mini","object":"model","created":1750000000,"owned_by":"mock"}]}"#;
/// The answer for any path that is not served.
pub(super) const UNKNOWN: &[u8] =
    br#"{"error":{"message":"no such path","type":"invalid_request_error"}}"#;

const CHAT: &[u8] = br#"{"id":"chatcmpl-mock","object":"chat.completion","created":1750000000,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"A gateway sits between your application and the model provider. It keeps credentials in one place, records what each team spends, and retries a request elsewhere when a provider is failing.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":129,"completion_tokens":37,"total_tokens":166,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0}},"service_tier":"default","system_fingerprint":"fp_mock"}"#;

const MESSAGE: &[u8] = br#"{"id":"msg_mock","type":"message","role":"assistant","model":"claude-mock","content":[{"type":"text","text":"A gateway sits between your application and the model provider. It keeps credentials in one place, records what each team spends, and retries a request elsewhere when a provider is failing."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":129,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":37}}"#;

const PROMPT_TOKENS: u64 = 129;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
}

impl Dialect {
    pub(super) fn of(path: &str) -> Option<Self> {
        if path.ends_with("/chat/completions") {
            Some(Self::OpenAi)
        } else {
            path.ends_with("/messages").then_some(Self::Anthropic)
        }
    }

    pub(super) fn whole(self) -> Bytes {
        Bytes::from_static(match self {
            Self::OpenAi => CHAT,
            Self::Anthropic => MESSAGE,
        })
    }

    /// The chunk at `index` of a stream with `count` content chunks; none past the end.
    pub(super) fn chunk(self, index: u64, count: u64) -> Option<Bytes> {
        match self {
            Self::OpenAi => openai(index, count),
            Self::Anthropic => anthropic(index, count),
        }
    }
}

fn openai(index: u64, count: u64) -> Option<Bytes> {
    let head = r#"data: {"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1750000000,"model":"gpt-4o-mini","service_tier":"default","system_fingerprint":"fp_mock","choices":"#;
    let choice = |delta: &str, finish: &str| {
        format!(
            "{head}[{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}],\"usage\":null}}\n\n"
        )
    };
    let chunk = if index == 0 && count > 0 {
        choice(
            r#"{"role":"assistant","content":"","refusal":null}"#,
            "null",
        )
    } else if index < count {
        choice(&format!("{{\"content\":\" token{index}\"}}"), "null")
    } else if index == count {
        choice("{}", "\"stop\"")
    } else if index == count + 1 {
        let total = PROMPT_TOKENS + count;
        format!(
            "{head}[],\"usage\":{{\"prompt_tokens\":{PROMPT_TOKENS},\"completion_tokens\":{count},\"total_tokens\":{total}}}}}\n\ndata: [DONE]\n\n"
        )
    } else {
        return None;
    };
    Some(chunk.into())
}

fn anthropic(index: u64, count: u64) -> Option<Bytes> {
    let event =
        |name: &str, rest: &str| format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}}}\n\n");
    let chunk = if index == 0 {
        let message = r#","message":{"id":"msg_mock","type":"message","role":"assistant","model":"claude-mock","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":129,"output_tokens":1}}"#;
        let block = r#","index":0,"content_block":{"type":"text","text":""}"#;
        event("message_start", message) + &event("content_block_start", block)
    } else if index <= count {
        let delta = format!(
            ",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\" token{index}\"}}"
        );
        event("content_block_delta", &delta)
    } else if index == count + 1 {
        let end = format!(
            ",\"delta\":{{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}},\"usage\":{{\"output_tokens\":{count}}}"
        );
        event("content_block_stop", ",\"index\":0")
            + &event("message_delta", &end)
            + &event("message_stop", "")
    } else {
        return None;
    };
    Some(chunk.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_is_sound() {
        for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
            let chunks: Vec<Bytes> = (0..).map_while(|index| dialect.chunk(index, 3)).collect();
            let text: String = chunks
                .iter()
                .map(|chunk| String::from_utf8_lossy(chunk))
                .collect();
            let data = text
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .filter(|data| *data != "[DONE]");
            for data in data {
                serde_json::from_str::<serde_json::Value>(data).expect(data);
            }
            assert!(text.ends_with("\n\n"));
        }
    }
}
