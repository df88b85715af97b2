//! OpenAI's chat API: from a request and an answer to the exact writes of the body.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::exchange::Request;
use crate::script::{Answer, Said, ToolCall};
use crate::{arguments, tokens};

/// What is to be sent.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) writes: Vec<Write>,
    /// The writes that say something, before those that end the answer.
    pub(crate) spoken_writes: usize,
    /// The usage that the answer reports.
    pub(crate) usage: Option<Value>,
}

/// One write of the body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Write {
    pub(crate) bytes: Bytes,
    /// What it says, by choice, for the ledger's count.
    pub(crate) said: Vec<(usize, String)>,
}

impl Write {
    pub(crate) fn mute(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            said: Vec::new(),
        }
    }
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, writes: Vec<Write>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self {
            status,
            headers,
            spoken_writes: writes.len(),
            writes,
            usage: None,
        }
    }

    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        Self::new(
            status,
            "application/json",
            vec![Write::mute(body.to_string())],
        )
    }

    /// An error in OpenAI's shape.
    pub(crate) fn error(
        status: StatusCode,
        code: &str,
        param: Option<&str>,
        message: &str,
    ) -> Self {
        let kind = if status.is_server_error() {
            "server_error"
        } else {
            "invalid_request_error"
        };
        let error =
            json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
        Self::json(status, &error)
    }

    pub(crate) fn with_headers<'a>(
        mut self,
        headers: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                self.headers.insert(name, value);
            }
        }
        self
    }

    /// The same bytes in writes of the given size.
    pub(crate) fn split(mut self, size: usize) -> Self {
        let mut bytes = BytesMut::new();
        let mut said = Vec::new();
        for write in &mut self.writes {
            bytes.extend_from_slice(&write.bytes);
            said.push((bytes.len(), std::mem::take(&mut write.said)));
        }
        let mut said = said.into_iter().peekable();
        let mut rest = bytes.freeze();
        let mut sent = 0;
        self.writes.clear();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(size.max(1)));
            sent += piece.len();
            let mut write = Write::mute(piece);
            while let Some((_, texts)) = said.next_if(|(end, _)| *end <= sent) {
                write.said.extend(texts);
            }
            self.writes.push(write);
        }
        self.spoken_writes = self.writes.len();
        self
    }
}

/// The models that the provider lists; it answers for any other name, too.
pub(crate) fn models() -> Reply {
    let model = |id: &str| json!({"id": id, "object": "model", "created": CREATED_S, "owned_by": "fake-provider"});
    let data = [model("gpt-4o-mini"), model("fake-model")];
    Reply::json(StatusCode::OK, &json!({"object": "list", "data": data}))
}

/// When every answer was "created": answers are the same in every run.
const CREATED_S: u64 = 1_767_225_600;

/// A chat completion, whole or as a stream.
pub(crate) fn complete(request: &Request, answer: &Answer, index: u64) -> Reply {
    let choices: Vec<Choice> = (0..request.choices())
        .map(|choice| Choice::new(request, answer, choice))
        .collect();
    let usage = usage(request, answer, &choices);
    let frame = Frame {
        request,
        answer,
        id: format!("chatcmpl-fake-{index}"),
    };
    let mut reply = if request.stream() {
        stream(&frame, &choices, usage.as_ref())
    } else {
        whole(&frame, &choices, usage.as_ref())
    };
    reply.usage = usage;
    reply
}

/// One choice, ready to be said.
struct Choice {
    said: Said,
    finish: String,
}

impl Choice {
    fn new(request: &Request, answer: &Answer, index: usize) -> Self {
        if let Some(call) = required_call(request).filter(|_| !answer.speaks()) {
            let said = Said {
                tools: vec![call],
                ..Said::default()
            };
            return Self {
                said,
                finish: answer
                    .finish
                    .clone()
                    .unwrap_or_else(|| "tool_calls".to_owned()),
            };
        }
        let mut said = answer.said(index, &request.last_user());
        let mut finish = if said.tools.is_empty() {
            "stop"
        } else {
            "tool_calls"
        };
        if let Some(text) = said.text.take() {
            let (text, cut) = tokens::truncate(&text, request.tokens_max().unwrap_or(u64::MAX));
            if cut {
                finish = "length";
            }
            said.deltas
                .extend(text.split_inclusive(' ').map(str::to_owned));
        }
        let finish = said.finish.clone().unwrap_or_else(|| finish.to_owned());
        Self { said, finish }
    }

    /// Everything it says in the order of the stream, as the tokenizer sees it.
    fn spoken(&self) -> String {
        self.deltas().into_iter().map(|(_, text)| text).collect()
    }

    /// The deltas after the role, each with what it says.
    fn deltas(&self) -> Vec<(Value, String)> {
        let mut deltas = Vec::new();
        let mut texts = |name: &str, texts: &[String]| {
            deltas.extend(
                texts
                    .iter()
                    .map(|text| (json!({ name: text }), text.clone())),
            );
        };
        texts("reasoning_content", &self.said.reasoning);
        texts("refusal", &self.said.refusal);
        texts("content", &self.said.deltas);
        for (index, call) in self.said.tools.iter().enumerate() {
            let head = json!({
                "index": index, "id": call_id(call, index), "type": "function",
                "function": {"name": call.name, "arguments": ""},
            });
            deltas.push((json!({"tool_calls": [head]}), call.name.clone()));
            for fragment in &call.arguments {
                let piece = json!({"index": index, "function": {"arguments": fragment}});
                deltas.push((json!({"tool_calls": [piece]}), fragment.clone()));
            }
        }
        deltas
    }

    fn message(&self) -> Value {
        let joined = |texts: &[String]| {
            if texts.is_empty() {
                Value::Null
            } else {
                json!(texts.concat())
            }
        };
        let mut message = json!({
            "role": "assistant", "content": joined(&self.said.deltas), "refusal": joined(&self.said.refusal),
        });
        if !self.said.reasoning.is_empty() {
            message["reasoning_content"] = joined(&self.said.reasoning);
        }
        if !self.said.tools.is_empty() {
            let call = |(index, call): (usize, &ToolCall)| {
                json!({
                    "id": call_id(call, index), "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments.concat()},
                })
            };
            message["tool_calls"] = self.said.tools.iter().enumerate().map(call).collect();
        }
        message
    }
}

fn call_id(call: &ToolCall, index: usize) -> String {
    call.id
        .clone()
        .unwrap_or_else(|| format!("call_fake_{index}"))
}

/// The tool call that the request insists on, with arguments that its schema allows.
fn required_call(request: &Request) -> Option<ToolCall> {
    const FRAGMENT_CHARS: usize = 8;
    let tools = request.json["tools"].as_array()?;
    let choice = &request.json["tool_choice"];
    let named = choice["function"]["name"].as_str();
    let tool = match named {
        Some(name) => tools.iter().find(|tool| tool["function"]["name"] == name)?,
        None if choice == "required" => tools.first()?,
        None => return None,
    };
    let function = &tool["function"];
    let arguments: Vec<char> = arguments::example(&function["parameters"])
        .to_string()
        .chars()
        .collect();
    Some(ToolCall {
        id: None,
        name: function["name"].as_str()?.to_owned(),
        arguments: arguments
            .chunks(FRAGMENT_CHARS)
            .map(|piece| piece.iter().collect())
            .collect(),
    })
}

fn usage(request: &Request, answer: &Answer, choices: &[Choice]) -> Option<Value> {
    match &answer.usage {
        Some(Value::Bool(false)) => return None,
        Some(exact @ Value::Object(_)) => return Some(exact.clone()),
        _ => {}
    }
    let prompt = tokens::prompt(&request.json);
    let completion: u64 = choices
        .iter()
        .map(|choice| tokens::count(&choice.spoken()))
        .sum();
    let reasoning: u64 = choices
        .iter()
        .map(|choice| tokens::count(&choice.said.reasoning.concat()))
        .sum();
    Some(json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }))
}

/// What every chunk and every whole answer has.
struct Frame<'a> {
    request: &'a Request,
    answer: &'a Answer,
    id: String,
}

impl Frame<'_> {
    fn body(&self, object: &str, choices: Value) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("id".to_owned(), json!(self.id));
        body.insert("object".to_owned(), json!(object));
        body.insert("created".to_owned(), json!(CREATED_S));
        body.insert("model".to_owned(), json!(self.request.model()));
        body.insert("choices".to_owned(), choices);
        body.extend(self.answer.fields.clone());
        body
    }

    fn chunk(&self, choice: usize, delta: &Value, finish: Option<&str>) -> Bytes {
        let choice =
            json!({"index": choice, "delta": delta, "logprobs": null, "finish_reason": finish});
        let mut body = self.body("chat.completion.chunk", json!([choice]));
        if self.request.wants_usage() {
            body.insert("usage".to_owned(), Value::Null);
        }
        event(&Value::Object(body))
    }
}

/// An SSE event with the given data.
pub(crate) fn event(data: &Value) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

fn whole(frame: &Frame<'_>, choices: &[Choice], usage: Option<&Value>) -> Reply {
    let listed = choices.iter().enumerate().map(|(index, choice)| {
        json!({"index": index, "message": choice.message(), "logprobs": null, "finish_reason": choice.finish})
    });
    let mut body = frame.body("chat.completion", listed.collect());
    if let Some(usage) = usage {
        body.insert("usage".to_owned(), usage.clone());
    }
    let said = choices.iter().map(Choice::spoken).enumerate().collect();
    let write = Write {
        bytes: Value::Object(body).to_string().into(),
        said,
    };
    Reply::new(StatusCode::OK, "application/json", vec![write])
}

/// Choices take turns, as they do where they are generated side by side.
fn stream(frame: &Frame<'_>, choices: &[Choice], usage: Option<&Value>) -> Reply {
    let mut writes = Vec::new();
    for index in 0..choices.len() {
        let role = json!({"role": "assistant", "content": "", "refusal": null});
        writes.push(Write::mute(frame.chunk(index, &role, None)));
    }
    let mut turns: Vec<_> = choices
        .iter()
        .map(|choice| choice.deltas().into_iter())
        .collect();
    let mut spoke = true;
    while spoke {
        spoke = false;
        for (index, turn) in turns.iter_mut().enumerate() {
            if let Some((delta, text)) = turn.next() {
                spoke = true;
                writes.push(Write {
                    bytes: frame.chunk(index, &delta, None),
                    said: vec![(index, text)],
                });
            }
        }
    }
    let spoken_writes = writes.len();
    for (index, choice) in choices.iter().enumerate() {
        writes.push(Write::mute(frame.chunk(
            index,
            &json!({}),
            Some(&choice.finish),
        )));
    }
    if let Some(usage) = usage.filter(|_| frame.request.wants_usage()) {
        let mut body = frame.body("chat.completion.chunk", json!([]));
        body.insert("usage".to_owned(), usage.clone());
        writes.push(Write::mute(event(&Value::Object(body))));
    }
    writes.push(Write::mute("data: [DONE]\n\n"));
    let mut reply = Reply::new(StatusCode::OK, "text/event-stream; charset=utf-8", writes);
    reply.spoken_writes = spoken_writes;
    reply
}
