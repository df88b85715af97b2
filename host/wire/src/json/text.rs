//! The two spellings of a string: as it stands in JSON, and decoded.

use std::borrow::Cow;

/// What stands for half a surrogate pair, which no Rust string can hold.
const LONE: char = char::REPLACEMENT_CHARACTER;

/// Decodes the inside of a valid JSON string.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut at = 0;
    while let Some((piece, next)) = piece(raw, at) {
        match piece {
            Piece::Plain(plain) => text.push_str(plain),
            Piece::Escaped(decoded) => text.push(decoded),
        }
        at = next;
    }
    Cow::Owned(text)
}

enum Piece<'a> {
    Plain(&'a str),
    Escaped(char),
}

/// The run or escape at `at`, and where the next begins.
fn piece(raw: &str, at: usize) -> Option<(Piece<'_>, usize)> {
    let bytes = raw.as_bytes();
    match *bytes.get(at)? {
        b'\\' => {
            let (decoded, length) = escaped(&bytes[at..]);
            Some((Piece::Escaped(decoded), at + length))
        }
        _ => {
            let end = memchr::memchr(b'\\', &bytes[at..]).map_or(raw.len(), |found| at + found);
            Some((Piece::Plain(&raw[at..end]), end))
        }
    }
}

/// One escape: the character and how many bytes spell it.
fn escaped(bytes: &[u8]) -> (char, usize) {
    let decoded = match bytes.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => return unicode(bytes),
        Some(&plain) => char::from(plain),
        None => return (LONE, 1),
    };
    (decoded, 2)
}

fn unicode(bytes: &[u8]) -> (char, usize) {
    let Some(first) = hex(bytes, 2) else {
        return (LONE, bytes.len().min(6));
    };
    if let Some(plain) = char::from_u32(first) {
        return (plain, 6);
    }
    let second = (bytes.get(6..8) == Some(br"\u"))
        .then(|| hex(bytes, 8))
        .flatten();
    match second.and_then(|second| pair(first, second)) {
        Some(joined) => (joined, 12),
        None => (LONE, 6),
    }
}

/// A surrogate pair as a character.
pub(crate) fn pair(high: u32, low: u32) -> Option<char> {
    let is_pair = (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low);
    is_pair
        .then(|| char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)))
        .flatten()
}

fn hex(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = std::str::from_utf8(bytes.get(at..at + 4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// Spells a string for JSON, without quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    escape_into(&mut out, text);
    out
}

/// As `escape`, at the end of `out`.
pub(crate) fn escape_into(out: &mut String, text: &str) {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                out.push_str("\\u00");
                for digit in [control >> 4, control & 15] {
                    out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
                }
            }
        }
    }
    out.push_str(&text[plain..]);
}

/// Maps offsets of the decoded text to offsets of its spelling; ask with rising offsets.
#[derive(Debug)]
pub(crate) struct Borders<'a> {
    raw: &'a str,
    raw_at: usize,
    text_at: usize,
}

impl<'a> Borders<'a> {
    pub(crate) const fn new(raw: &'a str) -> Self {
        Self {
            raw,
            raw_at: 0,
            text_at: 0,
        }
    }

    /// Where the decoded `offset` stands in the spelling; none inside a character, past the end, or when asked
    /// backwards.
    pub(crate) fn raw_offset(&mut self, offset: usize) -> Option<usize> {
        while self.text_at < offset {
            let (piece, next) = piece(self.raw, self.raw_at)?;
            match piece {
                Piece::Plain(plain) => {
                    let wanted = offset - self.text_at;
                    if wanted <= plain.len() {
                        self.raw_at += wanted;
                        self.text_at = offset;
                        return self
                            .raw
                            .is_char_boundary(self.raw_at)
                            .then_some(self.raw_at);
                    }
                    self.text_at += plain.len();
                }
                Piece::Escaped(decoded) => self.text_at += decoded.len_utf8(),
            }
            self.raw_at = next;
        }
        (self.text_at == offset).then_some(self.raw_at)
    }
}
