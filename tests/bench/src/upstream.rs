//! The mock upstream: OpenAI and Anthropic answers from constants.
//!
//! Settings can be changed while it runs, so that no gateway has to pass private headers on. With no pause between
//! chunks each is still written on its own: the body yields in between.

mod answers;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, Sleep};

use answers::{Dialect, MODELS, UNKNOWN};

/// How fast it answers, and how often it has.
#[derive(Debug)]
pub struct Pace {
    chunks: AtomicU64,
    chunk_us: AtomicU64,
    initial_us: AtomicU64,
    requests: AtomicU64,
    /// Chunks of streams that it has sent.
    chunks_sent: AtomicU64,
}

impl Pace {
    /// Content chunks of a stream; microseconds between them; microseconds before an answer.
    #[must_use]
    pub fn new(chunks: u64, chunk_us: u64, initial_us: u64) -> Self {
        Self {
            chunks: chunks.into(),
            chunk_us: chunk_us.into(),
            initial_us: initial_us.into(),
            requests: AtomicU64::new(0),
            chunks_sent: AtomicU64::new(0),
        }
    }

    /// From the next answer on: content chunks of a stream, microseconds between them.
    pub fn set(&self, chunks: u64, chunk_us: u64) {
        self.chunks.store(chunks, Relaxed);
        self.chunk_us.store(chunk_us, Relaxed);
    }

    /// How many requests it has answered.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// How many chunks of streams it has sent.
    pub fn chunks_sent(&self) -> u64 {
        self.chunks_sent.load(Relaxed)
    }

    fn change(&self, query: &str) {
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let Ok(value) = value.parse() else { continue };
            match name {
                "chunks" => self.chunks.store(value, Relaxed),
                "chunk_us" => self.chunk_us.store(value, Relaxed),
                "initial_us" => self.initial_us.store(value, Relaxed),
                _ => {}
            }
        }
    }

    fn shown(&self) -> Bytes {
        let shown = json!({
            "requests": self.requests.load(Relaxed), "chunks": self.chunks.load(Relaxed),
            "chunk_us": self.chunk_us.load(Relaxed), "initial_us": self.initial_us.load(Relaxed),
        });
        shown.to_string().into()
    }
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, pace: Arc<Pace>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let pace = Arc::clone(&pace);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&pace)));
            let mut server = http1::Builder::new();
            // A client that leaves ends its connection, nothing else.
            drop(
                server
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

type Answer = Response<Either<Full<Bytes>, Chunks>>;

async fn answer(request: Request<Incoming>, pace: Arc<Pace>) -> Result<Answer, Infallible> {
    let (parts, mut body) = request.into_parts();
    let path = parts.uri.path();
    if parts.method == Method::GET {
        if path.ends_with("/models") {
            return Ok(whole(StatusCode::OK, Bytes::from_static(MODELS)));
        }
        if path == "/ctl" {
            pace.change(parts.uri.query().unwrap_or_default());
        }
        return Ok(whole(StatusCode::OK, pace.shown()));
    }
    let mut bytes = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    pace.requests.fetch_add(1, Relaxed);
    let Some(dialect) = Dialect::of(path) else {
        return Ok(whole(StatusCode::NOT_FOUND, Bytes::from_static(UNKNOWN)));
    };
    let initial_us = pace.initial_us.load(Relaxed);
    if initial_us > 0 {
        tokio::time::sleep(Duration::from_micros(initial_us)).await;
    }
    if !wants_stream(&bytes) {
        return Ok(whole(StatusCode::OK, dialect.whole()));
    }
    let step = Duration::from_micros(pace.chunk_us.load(Relaxed));
    let chunks = Chunks {
        pace: Arc::clone(&pace),
        dialect,
        index: 0,
        count: pace.chunks.load(Relaxed),
        step,
        due: Instant::now() + step,
        sleep: None,
        yielded: false,
    };
    let mut response = Response::new(Either::Right(chunks));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    Ok(response)
}

/// Cheap also for a body of hundreds of KiB.
fn wants_stream(body: &[u8]) -> bool {
    let holds = |text: &[u8]| memchr::memmem::find(body, text).is_some();
    holds(b"\"stream\":true") || holds(b"\"stream\": true")
}

fn whole(status: StatusCode, body: Bytes) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The body of a stream; paces by due times, so that pauses do not add up their lateness.
struct Chunks {
    pace: Arc<Pace>,
    dialect: Dialect,
    index: u64,
    count: u64,
    step: Duration,
    due: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    yielded: bool,
}

impl Chunks {
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The role's chunk and the first text come together, as providers send them; each is written on its own.
        if self.index == 0 {
            return Poll::Ready(());
        }
        if self.step.is_zero() || self.index == 1 {
            self.yielded = !self.yielded;
            if self.yielded {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(());
        }
        let due = self.due;
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.due += self.step;
        sleep.as_mut().reset(self.due);
        Poll::Ready(())
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.poll_pause(cx).is_pending() {
            return Poll::Pending;
        }
        let chunk = self.dialect.chunk(self.index, self.count);
        self.index += 1;
        let sent = u64::from(chunk.is_some());
        self.pace.chunks_sent.fetch_add(sent, Relaxed);
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}
