//! One connection and its exchanges.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Load;

/// A connection that is kept alive.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

/// A whole answer.
pub(super) struct Whole {
    pub(super) ok: bool,
    pub(super) bytes: u64,
}

/// A streamed answer.
#[derive(Default)]
pub(super) struct Streamed {
    pub(super) ok: bool,
    /// Whether `[DONE]` came.
    pub(super) done: bool,
    pub(super) first: Option<Duration>,
    pub(super) total: Duration,
    /// Between events that came in different reads, in nanoseconds.
    pub(super) gaps_ns: Vec<u64>,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// The request of a load.
pub(super) fn request(load: &Load) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&load.path)
        .header("host", load.address.to_string())
        .header("content-type", "application/json");
    for (name, value) in &load.headers {
        request = request.header(name, value);
    }
    request
        .body(Full::new(load.body.clone()))
        .context("this is no HTTP request")
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
        tokio::task::spawn_local(async move {
            // Its end is seen at the next request.
            drop(connection.await);
        });
        Some(Self { sender })
    }

    /// One request; none where the connection broke.
    pub(super) async fn whole(&mut self, load: &Load) -> Option<Whole> {
        self.sender.ready().await.ok()?;
        let response = self.sender.send_request(request(load).ok()?).await.ok()?;
        let ok = response.status() == 200;
        let body = response.into_body().collect().await.ok()?;
        Some(Whole {
            ok,
            bytes: body.to_bytes().len() as u64,
        })
    }

    /// One streamed request; none where the connection broke.
    pub(super) async fn stream(&mut self, load: &Load) -> Option<Streamed> {
        self.sender.ready().await.ok()?;
        let began = Instant::now();
        let mut response = self.sender.send_request(request(load).ok()?).await.ok()?;
        let mut streamed = Streamed {
            ok: response.status() == 200,
            ..Streamed::default()
        };
        let mut reader = EventCounter::default();
        let mut last = began;
        while let Some(frame) = response.frame().await {
            let Ok(data) = frame.ok()?.into_data() else {
                continue;
            };
            let now = Instant::now();
            streamed.bytes += data.len() as u64;
            let events = reader.count(&data);
            if events == 0 {
                continue;
            }
            if streamed.first.is_none() {
                streamed.first = Some(now - began);
            } else {
                streamed
                    .gaps_ns
                    .push(u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX));
            }
            last = now;
            streamed.events += events;
        }
        streamed.done = reader.done;
        streamed.total = began.elapsed();
        Some(streamed)
    }
}

/// Counts events without keeping them; comments and `[DONE]` are none.
#[derive(Default)]
struct EventCounter {
    /// The bytes since the last event's end.
    tail: Vec<u8>,
    done: bool,
}

impl EventCounter {
    fn count(&mut self, bytes: &[u8]) -> u64 {
        let mut events = 0;
        for &byte in bytes {
            match byte {
                b'\n' if self.tail.last() == Some(&b'\n') => {
                    let end = self.tail.starts_with(b"data: [DONE]")
                        || self.tail.starts_with(b"data:[DONE]");
                    self.done |= end;
                    events += u64::from(!end && self.tail.first() != Some(&b':'));
                    self.tail.clear();
                }
                b'\n' if self.tail.is_empty() => {}
                b'\r' => {}
                _ => self.tail.push(byte),
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_wherever_they_are_cut() {
        let body = b": hello\n\ndata: 1\n\nevent: a\r\ndata: 2\r\n\r\ndata: [DONE]\n\n";
        for cut in 0..body.len() {
            let mut counter = EventCounter::default();
            let events = counter.count(&body[..cut]) + counter.count(&body[cut..]);
            assert_eq!((events, counter.done), (2, true), "cut at {cut}");
        }
    }
}
