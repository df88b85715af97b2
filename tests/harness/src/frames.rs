//! HTTP/2 frame by frame, as no client library would send them.

use crate::raw::Raw;

/// Frame types.
pub const DATA: u8 = 0;
/// A request's head, or the beginning of one.
pub const HEADERS: u8 = 1;
/// Ends a stream.
pub const RST_STREAM: u8 = 3;
/// Settings, or their acknowledgement.
pub const SETTINGS: u8 = 4;
/// Asks for an echo.
pub const PING: u8 = 6;
/// Ends a connection.
pub const GOAWAY: u8 = 7;
/// More of a head.
pub const CONTINUATION: u8 = 9;

/// The flags of `HEADERS` and `DATA`.
pub const END_STREAM: u8 = 1;
/// The head is complete.
pub const END_HEADERS: u8 = 4;

/// Reasons of `RST_STREAM` and `GOAWAY`.
pub const PROTOCOL_ERROR: u32 = 1;
/// The peer sends too much of something.
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0: the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The reason that a `RST_STREAM` or a `GOAWAY` gives.
    #[must_use]
    pub fn reason(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let bytes = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// An HTTP/2 connection without a library. It answers nothing by itself, no ping and no settings.
#[derive(Debug)]
pub struct Frames {
    raw: Raw,
    unread: Vec<u8>,
}

impl Frames {
    /// Connects, by prior knowledge, and sends the preface.
    ///
    /// # Errors
    /// Where nobody listens.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let mut raw = Raw::connect(url).await?;
        raw.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        raw.write(&encoded(SETTINGS, 0, 0, &[])).await?;
        let unread = Vec::new();
        Ok(Self { raw, unread })
    }

    /// Sends bytes as they are, such as several [`encoded`] frames.
    ///
    /// # Errors
    /// Where the server has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.raw.write(bytes).await
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// Where the server has closed.
    pub async fn send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> anyhow::Result<()> {
        self.write(&encoded(kind, flags, stream, payload)).await
    }

    /// The next frame; none once the server has closed.
    ///
    /// # Errors
    /// Where nothing comes in time.
    pub async fn next(&mut self) -> anyhow::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.complete() {
                return Ok(Some(frame));
            }
            match self.raw.read().await {
                Ok(read) if read.is_empty() => return Ok(None),
                Ok(read) => self.unread.extend(read),
                // Closed while something of ours was unread.
                Err(error) if error.downcast_ref::<std::io::Error>().is_some() => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next frame of one of these types, of any stream.
    ///
    /// # Errors
    /// Where nothing comes in time.
    pub async fn next_of(&mut self, kinds: &[u8]) -> anyhow::Result<Option<Frame>> {
        loop {
            match self.next().await? {
                Some(frame) if !kinds.contains(&frame.kind) => {}
                found => return Ok(found),
            }
        }
    }

    fn complete(&mut self) -> Option<Frame> {
        let head = self.unread.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]),
            payload: self.unread.get(9..9 + length)?.to_vec(),
        };
        self.unread.drain(..9 + length);
        Some(frame)
    }
}

/// A frame's bytes.
#[must_use]
pub fn encoded(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A head's bytes, nothing compressed and nothing checked.
#[must_use]
pub fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        // Literal, not indexed, new name.
        bytes.push(0);
        for text in [name, value] {
            length(text.len(), &mut bytes);
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// An integer with a prefix of seven bits.
fn length(mut value: usize, bytes: &mut Vec<u8>) {
    if value < 0x7f {
        bytes.push(value.to_le_bytes()[0]);
        return;
    }
    bytes.push(0x7f);
    value -= 0x7f;
    while value >= 0x80 {
        bytes.push((value % 0x80).to_le_bytes()[0] | 0x80);
        value /= 0x80;
    }
    bytes.push(value.to_le_bytes()[0]);
}
