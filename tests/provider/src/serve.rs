//! The listener and the table of endpoints.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use http::{Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::chat::{self, Reply, Write};
use crate::embeddings;
use crate::exchange::Request;
use crate::ledger::Ledger;
use crate::limits::BODY_BYTES_MAX;
use crate::play::{self, Body};
use crate::recording::Recordings;
use crate::script::{Answer, Script, raw};
use crate::tokens;
use crate::wire::{Breaker, Wire};

/// How to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// A folder with `index.jsonl`.
    pub recordings: Option<PathBuf>,
}

/// A provider that listens and does not serve yet.
#[derive(Debug)]
pub struct Provider {
    listener: TcpListener,
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    script: Mutex<Active>,
    ledger: Arc<Ledger>,
    recordings: Option<Recordings>,
    built_in: Answer,
}

/// The script in force, with what is left of each answer.
#[derive(Debug, Default)]
struct Active {
    answers: Vec<(Arc<Answer>, u64)>,
    default: Option<Arc<Answer>>,
}

impl Provider {
    /// Listens, and reads the recordings and the tokenizer's vocabulary.
    ///
    /// # Errors
    /// Where the address is taken or the recordings cannot be read.
    pub async fn bind(options: Options) -> anyhow::Result<Self> {
        let recordings = options
            .recordings
            .as_deref()
            .map(Recordings::open)
            .transpose()?;
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("cannot listen on {}", options.listen))?;
        let address = listener
            .local_addr()
            .context("cannot read the listener's address")?;
        tokens::vocabulary();
        Ok(Self {
            listener,
            address,
            state: Arc::new(State {
                recordings,
                ..State::default()
            }),
        })
    }

    /// Where it listens, as `http://address:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves for ever; dropping the future closes the listener, connections under way go on.
    pub async fn serve(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(connection(stream, Arc::clone(&self.state)));
                }
                // Out of descriptors, for one: let connections end instead of spinning.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    // Every write leaves at once, as it does at providers.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let breaker = Breaker::default();
    let wire = Wire::new(stream, breaker.clone());
    let service = service_fn(move |request| answer(request, Arc::clone(&state), breaker.clone()));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(wire), service)
        .await;
    // A connection that breaks is what some scripts ask for; the ledger tells of it.
    drop(served);
}

async fn answer(
    request: HttpRequest<Incoming>,
    state: Arc<State>,
    breaker: Breaker,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let reply = Reply::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body",
                None,
                &error.to_string(),
            );
            return Ok(at_once(reply));
        }
    };
    let json = serde_json::from_slice(&body).unwrap_or_default();
    let path = parts.uri.path().to_owned();
    let request = Request {
        method: parts.method,
        path,
        headers: parts.headers,
        body,
        json,
    };
    if request.path.starts_with("/_") {
        return Ok(at_once(state.manage(&request, &query)));
    }
    let row = state.ledger.open(&request);
    let taken = state.take(&request);
    let script = taken.clone().unwrap_or_default();
    let mut reply = state
        .reply(&request, taken.as_deref(), row.index())
        .with_headers(&script.headers);
    if let Some(size) = script.split_bytes {
        reply = reply.split(size);
    }
    play::perform(reply, script.delays, script.fault.clone(), row, breaker).await
}

fn at_once(reply: Reply) -> Response<Body> {
    let bytes: Vec<u8> = reply
        .writes
        .iter()
        .flat_map(|write| write.bytes.to_vec())
        .collect();
    let mut response = Response::new(
        Full::from(bytes)
            .map_err(|never| match never {})
            .boxed_unsync(),
    );
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

impl State {
    /// Script and ledger.
    fn manage(&self, request: &Request, query: &str) -> Reply {
        let done = || Reply::json(StatusCode::OK, &json!({"ok": true}));
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/_ledger") => {
                let bodies = query.split('&').any(|pair| pair == "bodies=true");
                Reply::json(StatusCode::OK, &self.ledger.shown(bodies))
            }
            (&Method::DELETE, "/_ledger") => {
                self.ledger.clear();
                done()
            }
            (&Method::PUT, "/_script") => {
                let script = serde_json::from_slice::<Script>(&request.body)
                    .map_err(|error| error.to_string());
                match script.and_then(|script| script.check().map(|()| script)) {
                    Ok(script) => {
                        self.put(script);
                        done()
                    }
                    Err(error) => {
                        let message = format!("the script is refused: {error}");
                        Reply::error(StatusCode::BAD_REQUEST, "script", None, &message)
                    }
                }
            }
            (&Method::DELETE, "/_script") => {
                self.put(Script::default());
                done()
            }
            _ => {
                let message = "GET or DELETE /_ledger, PUT or DELETE /_script";
                Reply::error(StatusCode::NOT_FOUND, "unknown_url", None, message)
            }
        }
    }

    fn put(&self, script: Script) {
        let left = |answer: &Answer| {
            if answer.always {
                u64::MAX
            } else {
                answer.times.unwrap_or(1)
            }
        };
        let answers = script.answers.into_iter().map(|answer| {
            let left = left(&answer);
            (Arc::new(answer), left)
        });
        let active = Active {
            answers: answers.collect(),
            default: script.default.map(Arc::new),
        };
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = active;
    }

    /// The answer that the script has for this request, which is then used up by one.
    fn take(&self, request: &Request) -> Option<Arc<Answer>> {
        if request.method != Method::POST {
            return None;
        }
        let mut active = self.script.lock().unwrap_or_else(PoisonError::into_inner);
        let next = active
            .answers
            .iter_mut()
            .find(|(answer, left)| *left > 0 && answer.matching.fits(request));
        if let Some((answer, left)) = next {
            *left = left.saturating_sub(u64::from(!answer.always));
            return Some(Arc::clone(answer));
        }
        active
            .default
            .clone()
            .filter(|answer| answer.matching.fits(request))
    }

    fn reply(&self, request: &Request, script: Option<&Answer>, index: u64) -> Reply {
        if let Some(reply) = script.and_then(|script| self.verbatim(script)) {
            return reply;
        }
        if let Some(id) = request.named("x-recording") {
            return self.recording(&id);
        }
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/v1/models") => chat::models(),
            (&Method::POST, "/v1/chat/completions") => match unsound(request) {
                Some(refusal) => refusal,
                None => chat::complete(request, script.unwrap_or(&self.built_in), index),
            },
            (&Method::POST, "/v1/embeddings") => embeddings::compute(request),
            (method, path) => {
                let message = format!("unknown endpoint {method} {path}");
                Reply::error(StatusCode::NOT_FOUND, "unknown_url", None, &message)
            }
        }
    }

    fn recording(&self, id: &str) -> Reply {
        match &self.recordings {
            Some(recordings) => recordings.reply(id),
            None => {
                let message = "there are no recordings; start the provider with --recordings";
                Reply::error(StatusCode::NOT_FOUND, "no_recording", None, message)
            }
        }
    }

    /// The answers that are sent as they stand.
    fn verbatim(&self, script: &Answer) -> Option<Reply> {
        let status = script
            .status
            .and_then(|status| StatusCode::from_u16(status).ok());
        if let Some(id) = &script.recording {
            return Some(self.recording(id));
        }
        if !script.raw.is_empty() {
            // Checked when the script was put.
            let writes = script
                .raw
                .iter()
                .filter_map(|write| raw(write).ok())
                .map(Write::mute)
                .collect();
            return Some(Reply::new(
                status.unwrap_or(StatusCode::OK),
                "text/event-stream",
                writes,
            ));
        }
        match &script.body {
            Some(Value::String(text)) => {
                let writes = vec![Write::mute(text.clone())];
                Some(Reply::new(
                    status.unwrap_or(StatusCode::OK),
                    "application/json",
                    writes,
                ))
            }
            Some(body) => Some(Reply::json(status.unwrap_or(StatusCode::OK), body)),
            None => {
                let status = status.filter(|status| !status.is_success())?;
                let message = status.canonical_reason().unwrap_or("as scripted");
                Some(Reply::error(status, "scripted", None, message))
            }
        }
    }
}

/// What the real API refuses first.
fn unsound(request: &Request) -> Option<Reply> {
    let refuse = |param, message| {
        Some(Reply::error(
            StatusCode::BAD_REQUEST,
            "invalid_value",
            param,
            message,
        ))
    };
    if !request.json.is_object() {
        return refuse(None, "the body is no JSON object");
    }
    if !request.json["messages"].is_array() {
        return refuse(Some("messages"), "`messages` must be a list");
    }
    None
}
