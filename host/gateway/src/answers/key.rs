//! Keys of kept answers: a digest over everything that decides an answer, each part with its length, so that no two
//! different lists of parts read alike.

use pointsman_domain::Digest;
use sha2::{Digest as _, Sha256};

/// Collects the parts.
pub(crate) struct KeyWriter(Sha256);

impl KeyWriter {
    /// `tag` keeps keys of different uses apart.
    pub(crate) fn new(tag: &str) -> Self {
        let mut writer = Self(Sha256::new());
        writer.part(tag.as_bytes());
        writer
    }

    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    pub(crate) fn end(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// The canonical form of a checked JSON text: without white space between its tokens.
///
/// Keys keep their order and numbers their digits: providers answer a schema in the order in which it is written, and
/// two spellings that may mean the same are asked twice rather than taken for one.
pub(crate) fn tight(json: &[u8]) -> Vec<u8> {
    let mut tight = Vec::with_capacity(json.len());
    let (mut in_text, mut is_escaped) = (false, false);
    for &byte in json {
        if in_text {
            in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            continue;
        } else {
            in_text = byte == b'"';
        }
        tight.push(byte);
    }
    tight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_between_tokens_alone_does_not_count() {
        let loose = b"{ \"a b\" :\t[1.0,\r\n \"c \\\" d\\\\\" , {} ] }\n";
        assert_eq!(tight(loose), b"{\"a b\":[1.0,\"c \\\" d\\\\\",{}]}");
        for other in [r#"{"b":2,"a":1}"#, r#"{"a":1.0,"b":2}"#, r#"{"a":1,"b":2}"#] {
            assert_eq!(tight(other.as_bytes()), other.as_bytes());
        }
    }

    #[test]
    fn where_a_part_ends_counts() {
        let key = |tag: &str, parts: &[&str]| {
            let mut writer = KeyWriter::new(tag);
            for part in parts {
                writer.part(part.as_bytes());
            }
            writer.end()
        };
        let keys = [
            key("a", &["b", "c"]),
            key("a", &["bc"]),
            key("a", &["", "bc"]),
            key("a", &["b", "c", ""]),
            key("ab", &["c"]),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(one), "{index}");
        }
    }
}
