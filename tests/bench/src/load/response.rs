//! As much of an HTTP/1.1 response as is needed to know its status and where it ends: a generator that costs more than
//! the gateway measures itself.

/// Longest head that is taken, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Longest line with a chunk's size.
const SIZE_LINE_BYTES_MAX: usize = 256;

/// What comes is no HTTP/1.1 response of a kind that is understood here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Status, and how the body goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Its length, the empty line included.
    pub(super) bytes: usize,
    /// Whether the connection may serve again.
    pub(super) keep_alive: bool,
    pub(super) body: Body,
}

impl Head {
    /// None where its end has not come.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX {
                Err(Malformed)
            } else {
                Ok(None)
            };
        };
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_error| Malformed)?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| {
            let rest = line.strip_prefix("HTTP/1.1 ")?;
            rest.get(..3)?.parse().ok()
        });
        let (mut body, mut keep_alive) = (None, true);
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(Malformed)?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                body = Some(Body::Length(value.parse().map_err(|_error| Malformed)?));
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                body = Some(Body::Chunked(Chunk::Size(Vec::new())));
            } else if name.eq_ignore_ascii_case("connection") {
                keep_alive = !value.eq_ignore_ascii_case("close");
            }
        }
        Ok(Some(Self {
            status: status.ok_or(Malformed)?,
            bytes: end + 4,
            keep_alive,
            body: body.ok_or(Malformed)?,
        }))
    }
}

/// What of the body is still to come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Length(u64),
    /// Chunks, up to the empty one.
    Chunked(Chunk),
}

/// Where in a chunked body the bytes stand.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the line with the size; what came of it.
    Size(Vec<u8>),
    /// In the data: so many bytes are left.
    Data(u64),
    /// In the line's end after the data: so many bytes are left.
    End(u8),
    /// In the line after the empty chunk; trailers are not understood.
    Last(u8),
}

impl Body {
    /// Takes the bytes that came and hands on those of the content; whether this is the end.
    pub(super) fn take(
        &mut self,
        mut bytes: &[u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<bool, Malformed> {
        let state = match self {
            Self::Length(left) => {
                hand_on(&mut bytes, left, sink);
                return if bytes.is_empty() {
                    Ok(*left == 0)
                } else {
                    Err(Malformed)
                };
            }
            Self::Chunked(state) => state,
        };
        while !bytes.is_empty() {
            match state {
                Chunk::Size(line) => {
                    let end = memchr::memchr(b'\n', bytes);
                    line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
                    bytes = &bytes[end.map_or(bytes.len(), |end| end + 1)..];
                    if line.len() > SIZE_LINE_BYTES_MAX {
                        return Err(Malformed);
                    }
                    if end.is_some() {
                        *state = match size(line)? {
                            0 => Chunk::Last(2),
                            size => Chunk::Data(size),
                        };
                    }
                }
                Chunk::Data(left) => {
                    hand_on(&mut bytes, left, sink);
                    if *left == 0 {
                        *state = Chunk::End(2);
                    }
                }
                Chunk::End(left) => {
                    line_end(&mut bytes, left)?;
                    if *left == 0 {
                        *state = Chunk::Size(Vec::new());
                    }
                }
                Chunk::Last(left) => {
                    line_end(&mut bytes, left)?;
                    if *left == 0 {
                        return if bytes.is_empty() {
                            Ok(true)
                        } else {
                            Err(Malformed)
                        };
                    }
                }
            }
        }
        Ok(false)
    }
}

/// Hands on at most `left` bytes.
fn hand_on(bytes: &mut &[u8], left: &mut u64, sink: &mut impl FnMut(&[u8])) {
    let length = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    let (data, rest) = bytes.split_at(length);
    if !data.is_empty() {
        sink(data);
    }
    *left -= data.len() as u64;
    *bytes = rest;
}

/// Takes one byte of a `\r\n`.
fn line_end(bytes: &mut &[u8], left: &mut u8) -> Result<(), Malformed> {
    let wanted = if *left == 2 { b'\r' } else { b'\n' };
    let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
    if byte != wanted {
        return Err(Malformed);
    }
    *left -= 1;
    *bytes = rest;
    Ok(())
}

/// The size in a chunk's first line; extensions are passed over.
fn size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.split(|&byte| byte == b';').next().unwrap_or_default();
    let text = std::str::from_utf8(digits).map_err(|_error| Malformed)?;
    u64::from_str_radix(text.trim(), 16).map_err(|_error| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Head and content of a response that comes in two pieces, cut anywhere.
    fn read(response: &[u8], cut: usize) -> (Head, Vec<u8>, bool) {
        let seen = if cut < response.len() {
            cut
        } else {
            response.len()
        };
        let head = match Head::parse(&response[..seen]).expect("sound") {
            Some(head) => head,
            None => Head::parse(response)
                .expect("sound")
                .expect("its end is there"),
        };
        let (mut content, mut ended) = (Vec::new(), false);
        let body = &response[head.bytes..];
        let cut = cut.saturating_sub(head.bytes).min(body.len());
        let mut head = head;
        for piece in [&body[..cut], &body[cut..]] {
            ended = head
                .body
                .take(piece, &mut |data| content.extend_from_slice(data))
                .expect("sound");
        }
        (head, content, ended)
    }

    #[test]
    fn content_is_the_same_wherever_it_is_cut() {
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".as_slice();
        let chunked = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=1\r\nllo\r\n0\r\n\r\n".as_slice();
        for (response, keep_alive) in [(counted, true), (chunked, false)] {
            for cut in 0..response.len() {
                let (head, content, ended) = read(response, cut);
                assert_eq!((head.status, head.keep_alive), (200, keep_alive));
                assert_eq!((content.as_slice(), ended), (b"hello".as_slice(), true));
            }
        }
    }

    #[test]
    fn what_is_no_response_is_said() {
        let malformed = [
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        ];
        for response in malformed {
            assert_eq!(
                Head::parse(response.as_bytes()),
                Err(Malformed),
                "{response}"
            );
        }
        let mut body = Body::Chunked(Chunk::Size(Vec::new()));
        assert_eq!(body.take(b"2\r\nhey", &mut |_data| {}), Err(Malformed));
    }
}
