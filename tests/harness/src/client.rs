//! A small HTTP client: one connection a request, nothing retried, nothing hidden.

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::event::{Event, Events, events};
use crate::raw::authority;
use crate::wait::PATIENCE;

/// Speaks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    authority: String,
    headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// All response headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// An answer whose body still comes. Dropped, its connection closes.
#[derive(Debug)]
pub struct Streaming {
    /// The HTTP status.
    pub status: u16,
    /// All response headers.
    pub headers: HeaderMap,
    body: Incoming,
    events: Events,
    connection: JoinHandle<()>,
}

impl Client {
    /// For `http://host:port`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            authority: authority(url).to_owned(),
            headers: Vec::new(),
        }
    }

    /// Sends `Authorization: Bearer KEY` with every request.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {key}"))
    }

    /// Sends a header with every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// GET.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub async fn get(&self, path: &str) -> anyhow::Result<Reply> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// POST with a JSON body.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    /// POST `/v1/chat/completions`.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub async fn chat(&self, body: &Value) -> anyhow::Result<Reply> {
        self.post("/v1/chat/completions", body).await
    }

    /// POST `/v1/chat/completions`, the body still coming.
    ///
    /// # Errors
    /// Where no headers come.
    pub async fn open_chat(&self, body: &Value) -> anyhow::Result<Streaming> {
        self.open(
            Method::POST,
            "/v1/chat/completions",
            body.to_string().into(),
        )
        .await
    }

    /// Any request; its whole answer.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Reply> {
        self.open(method, path, body).await?.whole().await
    }

    /// Any request; its answer as soon as its headers are there.
    ///
    /// # Errors
    /// Where no headers come.
    pub async fn open(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Streaming> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.authority);
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).context("no HTTP request")?;
        tokio::time::timeout(PATIENCE, self.exchange(request))
            .await
            .with_context(|| format!("no headers from {} within {PATIENCE:?}", self.authority))?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Streaming> {
        let stream = TcpStream::connect(&self.authority)
            .await
            .with_context(|| format!("cannot connect to {}", self.authority))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        let (mut sender, connection) = handshake(TokioIo::new(stream))
            .await
            .context("no HTTP connection")?;
        let connection = tokio::spawn(async move {
            // How the connection ends is seen at its body.
            drop(connection.await);
        });
        let response = match sender.send_request(request).await {
            Ok(response) => response,
            Err(error) => {
                connection.abort();
                return Err(error).with_context(|| format!("no answer from {}", self.authority));
            }
        };
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        Ok(Streaming {
            status,
            headers: parts.headers,
            body,
            events: Events::default(),
            connection,
        })
    }
}

impl Streaming {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// Where the body breaks off, or nothing comes in time.
    pub async fn chunk(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let frame =
                frame.with_context(|| format!("nothing further came within {PATIENCE:?}"))?;
            match frame {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.context("the body breaks off")?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The next event; none at the end.
    ///
    /// # Errors
    /// Where the body breaks off, or nothing comes in time.
    pub async fn event(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(event) = self.events.next_event() {
                return Ok(Some(event));
            }
            match self.chunk().await? {
                Some(chunk) => self.events.push(&chunk),
                None => return Ok(None),
            }
        }
    }

    /// What is left of the body, and the head.
    ///
    /// # Errors
    /// Where the body breaks off, or nothing comes in time.
    pub async fn whole(mut self) -> anyhow::Result<Reply> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok(Reply {
            status: self.status,
            headers: std::mem::take(&mut self.headers),
            body: body.into(),
        })
    }

    /// A response header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Reply {
    /// The body as JSON; null where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A response header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The events of the body.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        events(&self.body)
    }

    /// The first choice's text: of a whole answer, or of all deltas of a stream.
    #[must_use]
    pub fn content(&self) -> String {
        let whole = self.json();
        if let Some(text) = whole["choices"][0]["message"]["content"].as_str() {
            return text.to_owned();
        }
        let chunks = crate::event::data_of(&self.events());
        let first = chunks
            .iter()
            .map(|chunk| &chunk["choices"][0])
            .filter(|choice| choice["index"] == 0);
        first
            .filter_map(|choice| choice["delta"]["content"].as_str())
            .collect()
    }
}
