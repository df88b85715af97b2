//! One chat request: from its body to a JSON answer or a stream of server-sent events.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use pointsman_model::Model;
use pointsman_model::accuracy::prompt_tokens;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::engine::{Event, Finish, Job, Queue, Usage, events_max};
use crate::error::ApiError;
use crate::metrics::{Metrics, Outcome};
use crate::request::ChatRequest;

pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

/// What answering needs; there once the model is loaded.
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) model: Arc<Model>,
    pub(crate) name: String,
    /// The file's own name, which clients of other servers use.
    pub(crate) file_name: String,
    pub(crate) created_s: u64,
    pub(crate) context_tokens: usize,
    pub(crate) queue: Arc<Queue>,
    pub(crate) metrics: Metrics,
}

impl Chat {
    pub(crate) async fn answer(
        self: Arc<Self>,
        body: Bytes,
    ) -> Result<Response<ReplyBody>, ApiError> {
        let arrived = Instant::now();
        let chat = Arc::clone(&self);
        // Rendering and tokenising a long prompt takes milliseconds that other connections should not wait.
        let prepared = tokio::task::spawn_blocking(move || chat.prepare(&body)).await;
        let (request, prompt) =
            prepared.map_err(|_ended| ApiError::internal("preparing the prompt failed"))??;
        let tokens_max = request
            .tokens_max
            .unwrap_or(usize::MAX)
            .min(self.context_tokens - prompt.len());
        let (events, received) = mpsc::channel(events_max(tokens_max));
        let job = Job {
            prompt,
            tokens_max,
            sampling: request.sampling(random()),
            stops: request.stops.clone(),
            events,
            arrived,
        };
        self.queue.submit(job).map_err(ApiError::busy)?;
        let head = Head {
            id: format!("chatcmpl-{:016x}{:08x}", random(), random() as u32),
            created_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            model: self.name.clone(),
        };
        if request.stream {
            return Ok(streamed(EventStream::new(
                head,
                received,
                request.include_usage,
            )));
        }
        whole(&head, received).await
    }

    fn prepare(&self, body: &[u8]) -> Result<(ChatRequest, Vec<u32>), ApiError> {
        let request = ChatRequest::parse(body)?;
        let known = [&self.name, &self.file_name]
            .into_iter()
            .any(|name| name.eq_ignore_ascii_case(&request.model));
        if !known {
            return Err(ApiError::model(&request.model, &self.name));
        }
        let template = self
            .model
            .template()
            .ok_or_else(|| ApiError::unsupported("messages"))?;
        let prompt = template
            .render(self.model.tokenizer(), &request.messages)
            .map_err(|error| ApiError::invalid("messages", error.to_string()))?;
        let prompt = prompt_tokens(&self.model, &prompt);
        if prompt.is_empty() || prompt.len() >= self.context_tokens {
            return Err(ApiError::context(prompt.len(), self.context_tokens));
        }
        Ok((request, prompt))
    }

    /// Counts a request that was answered with an error instead of being generated.
    pub(crate) fn count(&self, error: &ApiError) {
        self.metrics
            .ended(if error.status == http::StatusCode::TOO_MANY_REQUESTS {
                Outcome::rejected_busy
            } else {
                Outcome::refused
            });
    }

    pub(crate) fn models(&self) -> Value {
        json!({ "object": "list", "data": [{
            "id": self.name,
            "object": "model",
            "created": self.created_s,
            "owned_by": "pointsman",
        }] })
    }
}

/// A number that differs each time; for ids and for seeds nobody asked to repeat.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// What every chunk of an answer repeats.
struct Head {
    id: String,
    created_s: u64,
    model: String,
}

impl Finish {
    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

impl Usage {
    fn body(self) -> Value {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.answer_tokens,
            "total_tokens": self.prompt_tokens + self.answer_tokens,
        })
    }
}

async fn whole(
    head: &Head,
    mut events: mpsc::Receiver<Event>,
) -> Result<Response<ReplyBody>, ApiError> {
    let mut content = String::new();
    loop {
        match events.recv().await {
            Some(Event::Text(text)) => content.push_str(&text),
            Some(Event::End(finish, usage)) => {
                let body = json!({
                    "id": head.id,
                    "object": "chat.completion",
                    "created": head.created_s,
                    "model": head.model,
                    "choices": [{
                        "index": 0,
                        "message": { "role": "assistant", "content": content, "refusal": null },
                        "logprobs": null,
                        "finish_reason": finish.name(),
                    }],
                    "usage": usage.body(),
                });
                return Ok(crate::serve::json(http::StatusCode::OK, &body));
            }
            Some(Event::Failed(why)) => return Err(ApiError::internal(why)),
            None => return Err(ApiError::internal("the engine stopped")),
        }
    }
}

fn streamed(stream: EventStream) -> Response<ReplyBody> {
    let mut response = Response::new(stream.boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// An answer as server-sent events. Owns the receiving end: dropping it (the client left) cancels the job.
struct EventStream {
    head: Head,
    events: mpsc::Receiver<Event>,
    include_usage: bool,
    progress: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The chunk with the role comes first, before the first token: the client sees the request was accepted.
    Role,
    Text,
    Done,
}

impl EventStream {
    fn new(head: Head, events: mpsc::Receiver<Event>, include_usage: bool) -> Self {
        Self {
            head,
            events,
            include_usage,
            progress: Progress::Role,
        }
    }

    fn chunk(&self, choices: &Value, usage: Option<Usage>) -> String {
        let mut chunk = json!({
            "id": self.head.id,
            "object": "chat.completion.chunk",
            "created": self.head.created_s,
            "model": self.head.model,
            "choices": choices,
        });
        if self.include_usage {
            chunk["usage"] = usage.map_or(Value::Null, Usage::body);
        }
        format!("data: {chunk}\n\n")
    }

    fn delta(&self, delta: &Value, finish: Option<Finish>) -> String {
        let choice = json!([{
            "index": 0,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finish.map(Finish::name),
        }]);
        self.chunk(&choice, None)
    }

    fn write(&mut self, event: Option<Event>) -> String {
        match event {
            Some(Event::Text(text)) => self.delta(&json!({ "content": text }), None),
            Some(Event::End(finish, usage)) => {
                self.progress = Progress::Done;
                let mut last = self.delta(&json!({}), Some(finish));
                if self.include_usage {
                    last.push_str(&self.chunk(&json!([]), Some(usage)));
                }
                last.push_str("data: [DONE]\n\n");
                last
            }
            // After the first byte an error is the last event; no [DONE], so that no client takes it for an end.
            Some(Event::Failed(why)) => self.fail(&why),
            None => self.fail("the engine stopped"),
        }
    }

    fn fail(&mut self, why: &str) -> String {
        self.progress = Progress::Done;
        format!("data: {}\n\n", ApiError::internal(why).body())
    }
}

impl http_body::Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let text = match this.progress {
            Progress::Role => {
                this.progress = Progress::Text;
                this.delta(&json!({ "role": "assistant", "content": "" }), None)
            }
            Progress::Text => match this.events.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(event) => this.write(event),
            },
            Progress::Done => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}
