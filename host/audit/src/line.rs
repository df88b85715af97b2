//! One line of the log: written, taken apart, and told from a torn one. Knows bytes, not records.

use sha2::{Digest as _, Sha256};

/// Longest line, so that no reader's buffer is unbounded.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Hex digits of a checksum.
const CRC_DIGITS: usize = 8;
/// Hex digits of a hash.
const HASH_DIGITS: usize = 64;
/// `<TAB>crc<TAB>prev`, without the line's end.
const TRAILER_BYTES: usize = 1 + CRC_DIGITS + 1 + HASH_DIGITS;
/// What a line adds to its JSON.
pub(crate) const OVERHEAD_BYTES: usize = TRAILER_BYTES + 1;

/// How the JSON of a record begins: serde writes the tag first, then the fields in their order.
const RECORD: &[u8] = br#"{"record":""#;
/// How it goes on for the two that carry an id.
const OPENED: &[u8] = br#"opened","id":""#;
const CLOSED: &[u8] = br#"closed","id":""#;
/// How the JSON of a seal begins.
const SEAL: &[u8] = br#"{"seal":"#;

/// The hash of a line, or of what stands before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(pub(crate) [u8; 32]);

impl Hash {
    /// What the first line of a chain carries.
    pub(crate) fn genesis(chain: &str) -> Self {
        Self(
            Sha256::new()
                .chain_update(b"pointsman:")
                .chain_update(chain)
                .finalize()
                .into(),
        )
    }

    fn next(&self, json: &[u8]) -> Self {
        Self(
            Sha256::new()
                .chain_update(self.0)
                .chain_update(json)
                .finalize()
                .into(),
        )
    }
}

/// Makes a line of the JSON in `buffer`; returns the line's hash.
pub(crate) fn finish(buffer: &mut Vec<u8>, prev: &Hash) -> Hash {
    let hash = prev.next(buffer);
    let crc = crc32fast::hash(buffer).to_be_bytes();
    let mut trailer = [b'\t'; TRAILER_BYTES];
    hex_into(&crc, &mut trailer[1..=CRC_DIGITS]);
    hex_into(&prev.0, &mut trailer[CRC_DIGITS + 2..]);
    buffer.extend_from_slice(&trailer);
    buffer.push(b'\n');
    hash
}

fn hex_into(bytes: &[u8], digits: &mut [u8]) {
    hex::encode_to_slice(bytes, digits).expect("two digits a byte");
}

/// A line whose checksum holds.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) json: &'a [u8],
    pub(crate) prev: Hash,
}

impl<'a> Line<'a> {
    /// Takes a line apart, `line` being without its end; what is wrong otherwise.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, &'static str> {
        let Some(at) = line.len().checked_sub(TRAILER_BYTES) else {
            return Err("the line is shorter than its checksum and hash");
        };
        let (json, trailer) = line.split_at(at);
        let (crc, prev) = trailer.split_at(1 + CRC_DIGITS);
        let crc =
            digits::<4>(crc).ok_or("the checksum is not `<tab>` and 8 lowercase hex digits")?;
        let prev = digits::<32>(prev)
            .ok_or("the hash of the line before is not `<tab>` and 64 lowercase hex digits")?;
        if crc != crc32fast::hash(json).to_be_bytes() {
            return Err("the checksum does not match");
        }
        Ok(Self {
            json,
            prev: Hash(prev),
        })
    }

    /// This line's own hash.
    pub(crate) fn hash(&self) -> Hash {
        self.prev.next(self.json)
    }

    /// The seal, if this is one.
    pub(crate) fn seal(&self) -> Option<Seal> {
        if !self.json.starts_with(SEAL) {
            return None;
        }
        let Sealed { seal } = serde_json::from_slice(self.json).ok()?;
        Some(seal)
    }

    /// Kind and id of a request's record, without parsing it.
    pub(crate) fn id(&self) -> Option<(Kind, &'a str)> {
        let rest = self.json.strip_prefix(RECORD)?;
        let (kind, rest) = match rest.strip_prefix(OPENED) {
            Some(rest) => (Kind::Opened, rest),
            None => (Kind::Closed, rest.strip_prefix(CLOSED)?),
        };
        let end = memchr::memchr(b'"', rest)?;
        Some((kind, std::str::from_utf8(&rest[..end]).ok()?))
    }
}

/// The two records that carry an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Opened,
    Closed,
}

/// How the line of a request's record begins, where its id begins with `id`.
pub(crate) fn opening(kind: Kind, id: &str) -> Vec<u8> {
    let word = match kind {
        Kind::Opened => OPENED,
        Kind::Closed => CLOSED,
    };
    [RECORD, word, id.as_bytes()].concat()
}

/// `<TAB>` and exactly the lowercase hex digits of `N` bytes.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digits = text.strip_prefix(b"\t")?;
    if !digits.iter().all(|&digit| is_digit(digit)) {
        return None;
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

/// Uppercase is refused: the same number in other bytes would be a change that nothing finds.
fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The last line of a complete segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Seal {
    /// Records in the segment.
    pub(crate) records: u64,
    /// Requests that are opened and not closed, in the whole chain.
    pub(crate) open: u64,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Sealed {
    seal: Seal,
}

impl Seal {
    pub(crate) fn json(self) -> Vec<u8> {
        serde_json::to_vec(&Sealed { seal: self }).expect("two numbers are JSON")
    }
}

/// Whether `tail`, bytes after the last line's end, is what an append leaves when it is killed half-way: the beginning
/// of one line. Anything else is damage.
pub(crate) fn torn(tail: &[u8]) -> bool {
    let begins = |word: &[u8]| {
        let len = word.len().min(tail.len());
        tail[..len] == word[..len]
    };
    if !begins(RECORD) && !begins(SEAL) {
        return false;
    }
    let Some(tab) = memchr::memchr(b'\t', tail) else {
        return !tail.iter().any(u8::is_ascii_control);
    };
    let (json, rest) = (&tail[..tab], &tail[tab + 1..]);
    if rest.len() <= CRC_DIGITS {
        return rest.iter().all(|&byte| is_digit(byte));
    }
    let (crc, prev) = rest.split_at(CRC_DIGITS);
    crc == hex::encode(crc32fast::hash(json).to_be_bytes()).as_bytes()
        && prev[0] == b'\t'
        && prev.len() <= 1 + HASH_DIGITS
        && prev[1..].iter().all(|&byte| is_digit(byte))
}

#[cfg(test)]
mod tests {
    use super::{Hash, Line, OVERHEAD_BYTES, finish, torn};

    fn line() -> Vec<u8> {
        let mut buffer = br#"{"record":"opened","id":"abc","at-ms":1}"#.to_vec();
        finish(&mut buffer, &Hash::genesis("worker-0"));
        buffer
    }

    #[test]
    fn a_line_is_taken_apart_again() {
        let bytes = line();
        let parsed = Line::parse(&bytes[..bytes.len() - 1]).expect("holds");
        assert_eq!(parsed.json.len() + OVERHEAD_BYTES, bytes.len());
        assert_eq!(parsed.prev, Hash::genesis("worker-0"));
        assert_eq!(parsed.id().map(|(_, id)| id), Some("abc"));
        assert_eq!(parsed.hash(), Hash::genesis("worker-0").next(parsed.json));
    }

    #[test]
    fn every_beginning_of_a_line_is_torn_and_the_whole_line_is_not() {
        let bytes = line();
        for cut in 0..bytes.len() {
            assert!(torn(&bytes[..cut]), "cut at {cut}");
        }
        assert!(!torn(&bytes));
    }

    #[test]
    fn a_whole_line_with_another_end_is_damage() {
        let mut bytes = line();
        for end in 0..=u8::MAX {
            *bytes.last_mut().expect("not empty") = end;
            assert!(!torn(&bytes), "ends with {end:#x}");
        }
    }

    #[test]
    fn uppercase_digits_are_refused() {
        let bytes = line();
        let text = String::from_utf8(bytes).expect("ascii");
        let (json, trailer) = text.trim_end().split_once('\t').expect("a tab");
        let shouted = format!("{json}\t{}", trailer.to_uppercase());
        assert!(Line::parse(shouted.as_bytes()).is_err());
    }
}
