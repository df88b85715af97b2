//! One connection and its exchanges, straight on the socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Load;
use super::response::Head;

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;
/// As much of an event's beginning as tells what it is.
const BEGINNING_BYTES: usize = 16;

/// A connection that is kept alive.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Whether it can serve another request.
    pub(super) open: bool,
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

/// The request of a load, as it goes out.
pub(super) fn request(load: &Load) -> anyhow::Result<Vec<u8>> {
    let is_line = |text: &str| !text.bytes().any(|byte| byte < b' ' || byte == 0x7f);
    let sound = |(name, value): &(String, String)| {
        let is_name = !name.is_empty() && !name.contains([' ', ':']);
        is_name && is_line(name) && is_line(value)
    };
    ensure!(
        load.path.starts_with('/') && is_line(&load.path) && !load.path.contains(' '),
        "`{}` is no path",
        load.path
    );
    ensure!(
        load.headers.iter().all(sound),
        "a header is no `name: value`"
    );
    let mut head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        load.path,
        load.address,
        load.body.len()
    );
    for (name, value) in &load.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut request = head.into_bytes();
    request.extend_from_slice(&load.body);
    Ok(request)
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Self {
            stream,
            buffer: Vec::with_capacity(READ_BYTES),
            open: true,
        })
    }

    /// One request; none where the connection broke.
    pub(super) async fn whole(&mut self, request: &[u8]) -> Option<Whole> {
        let mut bytes = 0;
        let status = self
            .exchange(request, |data, _now| bytes += data.len() as u64)
            .await?;
        Some(Whole {
            ok: status == 200,
            bytes,
        })
    }

    /// One streamed request; none where the connection broke.
    pub(super) async fn stream(&mut self, request: &[u8]) -> Option<Streamed> {
        let began = Instant::now();
        let mut streamed = Streamed::default();
        let mut reader = EventCounter::default();
        let mut last = began;
        let status = self
            .exchange(request, |data, now| {
                streamed.bytes += data.len() as u64;
                let events = reader.count(data);
                if events == 0 {
                    return;
                }
                streamed.events += events;
                if streamed.first.is_none() {
                    streamed.first = Some(now - began);
                } else if now > last {
                    let gap = u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX);
                    streamed.gaps_ns.push(gap);
                }
                last = now;
            })
            .await?;
        streamed.ok = status == 200;
        streamed.done = reader.done;
        streamed.total = began.elapsed();
        Some(streamed)
    }

    /// Sends a request and hands on the content as it is read, with the time of its read; the status.
    async fn exchange(
        &mut self,
        request: &[u8],
        mut sink: impl FnMut(&[u8], Instant),
    ) -> Option<u16> {
        self.open = false;
        self.stream.write_all(request).await.ok()?;
        self.buffer.clear();
        let mut head = loop {
            self.read().await?;
            if let Some(head) = Head::parse(&self.buffer).ok()? {
                break head;
            }
        };
        let mut from = head.bytes;
        loop {
            let now = Instant::now();
            let ended = head
                .body
                .take(&self.buffer[from..], &mut |data| sink(data, now));
            if ended.ok()? {
                break;
            }
            self.buffer.clear();
            from = 0;
            self.read().await?;
        }
        self.open = head.keep_alive;
        Some(head.status)
    }

    async fn read(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.ok()?;
        (read > 0).then_some(())
    }
}

/// Counts events without keeping them; comments and `[DONE]` are none.
struct EventCounter {
    /// The beginning of the event under way.
    beginning: Vec<u8>,
    /// Whether nothing came since the last line's end.
    at_line_start: bool,
    done: bool,
}

impl Default for EventCounter {
    fn default() -> Self {
        Self {
            beginning: Vec::with_capacity(BEGINNING_BYTES),
            at_line_start: true,
            done: false,
        }
    }
}

impl EventCounter {
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let mut events = 0;
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            self.part(&bytes[..end]);
            if self.at_line_start && !self.beginning.is_empty() {
                events += u64::from(self.event());
            }
            self.at_line_start = true;
            bytes = &bytes[end + 1..];
        }
        self.part(bytes);
        events
    }

    /// Takes a part of a line.
    fn part(&mut self, part: &[u8]) {
        let part = part.strip_suffix(b"\r").unwrap_or(part);
        let room = BEGINNING_BYTES - self.beginning.len();
        self.beginning
            .extend_from_slice(&part[..part.len().min(room)]);
        self.at_line_start &= part.is_empty();
    }

    /// Ends an event; whether it counts.
    fn event(&mut self) -> bool {
        let is = |word: &[u8]| self.beginning.starts_with(word);
        let end = is(b"data: [DONE]") || is(b"data:[DONE]");
        let counts = !end && !is(b":");
        self.done |= end;
        self.beginning.clear();
        counts
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

    #[test]
    fn a_header_cannot_smuggle_another() {
        let mut load = Load {
            mode: super::super::Mode::Closed,
            address: ([127, 0, 0, 1], 9).into(),
            path: "/v1".to_owned(),
            headers: vec![("a".to_owned(), "1".to_owned())],
            body: "{}".into(),
            connections: 1,
            measured: Duration::ZERO,
            warm_up: Duration::ZERO,
        };
        let sent = request(&load).expect("sound");
        assert!(
            sent.starts_with(b"POST /v1 HTTP/1.1\r\n") && sent.ends_with(b"\r\na: 1\r\n\r\n{}")
        );
        load.headers[0].1 = "1\r\nb: 2".to_owned();
        assert!(request(&load).is_err());
    }
}
