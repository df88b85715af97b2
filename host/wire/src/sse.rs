//! Server-sent events: bytes in, events out, whatever the splits and line endings.
//!
//! Promises: an event is the same however its bytes arrived; `raw` of all events, joined, is the stream as it came
//! (a BOM and an unfinished last event aside); memory is bounded by one event.
//! Refuses to know: what the data means.

use bytes::{Buf as _, Bytes, BytesMut};

/// One block of the stream, up to and with its blank line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The `event:` field.
    pub name: Option<String>,
    /// The `data:` lines joined by newlines; none where the block has no data (comments, keep-alives).
    pub data: Option<Bytes>,
    /// The block as it came.
    pub raw: Bytes,
    /// Whether the block holds anything but data and a name: comments, ids, unknown fields.
    pub has_extras: bool,
}

impl Event {
    /// An event with this data, framed the plain way.
    #[must_use]
    pub fn from_data(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        Self {
            name: None,
            raw: frame(None, &data),
            data: Some(data),
            has_extras: false,
        }
    }
}

/// Why a stream cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is larger than the bound.
    #[error("a stream event is larger than {0} bytes")]
    EventTooLarge(usize),
}

/// Frames data as an event; data of several lines becomes several `data:` lines.
#[must_use]
pub fn frame(name: Option<&str>, data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 8);
    if let Some(name) = name {
        out.extend_from_slice(b"event: ");
        out.extend(name.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
        out.push(b'\n');
    }
    let mut rest = data;
    loop {
        out.extend_from_slice(b"data: ");
        let Some(end) = memchr::memchr2(b'\r', b'\n', rest) else {
            out.extend_from_slice(rest);
            break;
        };
        out.extend_from_slice(&rest[..end]);
        out.push(b'\n');
        let skip = if rest[end..].starts_with(b"\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + skip..];
    }
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

/// Splits a stream into events.
#[derive(Debug)]
pub struct Decoder {
    event_bytes_max: usize,
    buffer: BytesMut,
    /// Bytes of `buffer` already searched: they hold whole lines of the current block.
    line_start: usize,
    /// Where the search for the current line's end goes on.
    scanned: usize,
    block: Block,
    began: bool,
    /// The line before ended in CR at the very end of the buffer; an LF right after it belongs to it.
    after_cr: bool,
}

/// What the lines of the current block said so far.
#[derive(Debug, Default)]
struct Block {
    name: Option<String>,
    data: Vec<u8>,
    has_data: bool,
    has_extras: bool,
}

impl Decoder {
    /// A decoder that refuses events above `event_bytes_max` bytes.
    #[must_use]
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            event_bytes_max,
            buffer: BytesMut::new(),
            line_start: 0,
            scanned: 0,
            block: Block::default(),
            began: false,
            after_cr: false,
        }
    }

    /// Takes bytes as they arrive.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event.
    ///
    /// # Errors
    /// When an event is larger than the bound; the stream cannot be read on.
    pub fn next_event(&mut self) -> Result<Option<Event>, SseError> {
        if !self.skip_bom() {
            return Ok(None);
        }
        while let Some((end, next)) = self.line() {
            let line = self.line_start..end;
            self.line_start = next;
            self.scanned = next;
            if line.is_empty() {
                if self.after_cr && next == line.start + 1 && self.buffer[line.start] == b'\n' {
                    // The second half of a CRLF that was split over two pushes: no line of its own.
                    self.after_cr = false;
                    continue;
                }
                self.after_cr = next == self.buffer.len() && self.buffer[next - 1] == b'\r';
                return Ok(Some(self.take(next)?));
            }
            self.after_cr = next == self.buffer.len() && self.buffer[next - 1] == b'\r';
            let field = self.buffer[line].to_vec();
            self.block.field(&field);
        }
        if self.buffer.len() > self.event_bytes_max {
            return Err(SseError::EventTooLarge(self.event_bytes_max));
        }
        Ok(None)
    }

    /// A byte order mark may open the stream; false while that cannot be told yet.
    fn skip_bom(&mut self) -> bool {
        const BOM: &[u8] = b"\xef\xbb\xbf";
        if !self.began {
            if self.buffer.len() < BOM.len() && BOM.starts_with(&self.buffer) {
                return false;
            }
            if self.buffer.starts_with(BOM) {
                self.buffer.advance(BOM.len());
            }
            self.began = true;
        }
        true
    }

    /// The end of the current line and the start of the next.
    fn line(&mut self) -> Option<(usize, usize)> {
        let found = memchr::memchr2(b'\r', b'\n', &self.buffer[self.scanned..]);
        let Some(end) = found.map(|found| self.scanned + found) else {
            self.scanned = self.buffer.len();
            return None;
        };
        let is_pair = self.buffer[end..].starts_with(b"\r\n");
        Some((end, end + if is_pair { 2 } else { 1 }))
    }

    fn take(&mut self, length: usize) -> Result<Event, SseError> {
        if length > self.event_bytes_max {
            return Err(SseError::EventTooLarge(self.event_bytes_max));
        }
        let raw = self.buffer.split_to(length).freeze();
        self.line_start = 0;
        self.scanned = 0;
        let block = std::mem::take(&mut self.block);
        Ok(Event {
            name: block.name,
            data: block.has_data.then(|| Bytes::from(block.data)),
            raw,
            has_extras: block.has_extras,
        })
    }
}

impl Block {
    fn field(&mut self, line: &[u8]) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            b"event" => self.name = Some(String::from_utf8_lossy(value).into_owned()),
            _ => self.has_extras = true,
        }
    }
}
