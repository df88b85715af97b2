//! A small HTTP client: one connection a request, unless it is told to share one; nothing retried, nothing hidden.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::dial::{Dial, Sender};
use crate::event::{Event, Events, events};
use crate::raw::authority;
use crate::wait::PATIENCE;

/// Speaks to one server.
#[derive(Clone, Debug)]
pub struct Client {
    authority: String,
    headers: Vec<(String, String)>,
    dial: Dial,
}

/// Many requests on one HTTP/2 connection. Dropped, the connection closes.
#[derive(Debug)]
pub struct Multiplexed {
    client: Client,
    sender: Sender,
    connection: JoinHandle<()>,
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

/// An answer whose body still comes. Dropped, its connection closes, or its stream where the connection is shared.
#[derive(Debug)]
pub struct Streaming {
    /// The HTTP status.
    pub status: u16,
    /// All response headers.
    pub headers: HeaderMap,
    body: Incoming,
    events: Events,
    connection: Option<JoinHandle<()>>,
}

impl Client {
    /// For `http://host:port`; see `with_tls` for `https`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            authority: authority(url).to_owned(),
            headers: Vec::new(),
            dial: Dial::default(),
        }
    }

    /// Over TLS.
    #[must_use]
    pub fn with_tls(mut self, config: &Arc<ClientConfig>) -> Self {
        self.dial.tls = Some(Arc::clone(config));
        self
    }

    /// In HTTP/2: by ALPN over TLS, else by prior knowledge.
    #[must_use]
    pub fn with_http2(mut self) -> Self {
        self.dial.http2 = true;
        self
    }

    /// Lets the server send so many bytes ahead on one HTTP/2 stream.
    #[must_use]
    pub fn with_window(mut self, bytes: u32) -> Self {
        self.dial.window_bytes = Some(bytes);
        self
    }

    /// One HTTP/2 connection for many requests.
    ///
    /// # Errors
    /// Where there is none to be had.
    pub async fn multiplexed(&self) -> anyhow::Result<Multiplexed> {
        let client = self.clone().with_http2();
        let (sender, connection) = client.dial.open(&client.authority).await?;
        Ok(Multiplexed {
            client,
            sender,
            connection,
        })
    }

    /// The certificate, in DER form, that a new connection is shown.
    ///
    /// # Errors
    /// Where there is no TLS connection to be had.
    pub async fn shown_certificate(&self) -> anyhow::Result<Vec<u8>> {
        Ok(self.dial.shown(&self.authority).await?.to_vec())
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
        let opened = async {
            let (mut sender, connection) = self.dial.open(&self.authority).await?;
            let answered = self.exchange(&mut sender, method, path, body).await;
            match answered {
                Ok(mut streaming) => {
                    streaming.connection = Some(connection);
                    Ok(streaming)
                }
                Err(error) => {
                    connection.abort();
                    Err(error)
                }
            }
        };
        tokio::time::timeout(PATIENCE, opened)
            .await
            .with_context(|| format!("no headers from {} within {PATIENCE:?}", self.authority))?
    }

    async fn exchange(
        &self,
        sender: &mut Sender,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<Streaming> {
        let mut request = Request::builder().method(method);
        if self.dial.http2 {
            let scheme = self.dial.tls.as_ref().map_or("http", |_| "https");
            request = request.uri(format!("{scheme}://{}{path}", self.authority));
        } else {
            request = request.uri(path).header("host", &self.authority);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).context("no HTTP request")?;
        let answered = match sender {
            Sender::One(sender) => sender.send_request(request).await,
            Sender::Two(sender) => sender.send_request(request).await,
        };
        let response = answered.with_context(|| format!("no answer from {}", self.authority))?;
        let (parts, body) = response.into_parts();
        Ok(Streaming {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            events: Events::default(),
            connection: None,
        })
    }
}

impl Multiplexed {
    /// POST `/v1/chat/completions`.
    ///
    /// # Errors
    /// Where no whole answer comes.
    pub async fn chat(&self, body: &Value) -> anyhow::Result<Reply> {
        self.open_chat(body).await?.whole().await
    }

    /// POST `/v1/chat/completions`, the body still coming.
    ///
    /// # Errors
    /// Where no headers come.
    pub async fn open_chat(&self, body: &Value) -> anyhow::Result<Streaming> {
        let Sender::Two(sender) = &self.sender else {
            anyhow::bail!("an HTTP/1.1 connection is not shared");
        };
        let mut sender = Sender::Two(sender.clone());
        let path = "/v1/chat/completions";
        let body = body.to_string().into();
        let opened = self.client.exchange(&mut sender, Method::POST, path, body);
        tokio::time::timeout(PATIENCE, opened)
            .await
            .with_context(|| format!("no headers within {PATIENCE:?}"))?
    }

    /// Whether the server has closed it.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.connection.is_finished()
    }
}

impl Drop for Multiplexed {
    fn drop(&mut self) {
        self.connection.abort();
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
        if let Some(connection) = &self.connection {
            connection.abort();
        }
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
