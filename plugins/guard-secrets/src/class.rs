//! Classes of bytes.

/// Some bytes of ASCII, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u128);

const fn range(first: u8, last: u8) -> u128 {
    let mut bits = 0;
    let mut byte = first;
    while byte <= last {
        bits |= 1 << byte;
        byte += 1;
    }
    bits
}

const fn of(bytes: &[u8]) -> u128 {
    let mut bits = 0;
    let mut index = 0;
    while index < bytes.len() {
        bits |= 1 << bytes[index];
        index += 1;
    }
    bits
}

const DIGIT: u128 = range(b'0', b'9');
const LOWER: u128 = range(b'a', b'z');
const UPPER: u128 = range(b'A', b'Z');

impl Class {
    /// What a token of unknown form is made of.
    pub(crate) const VALUE: Self = Self(DIGIT | LOWER | UPPER | of(b"_=.+/~-"));
    /// What a password may be made of besides.
    pub(crate) const PASSWORD: Self = Self(DIGIT | LOWER | UPPER | of(b"_=.+/~-!@#%^&*?"));
    /// What may continue a token without an end.
    pub(crate) const TAIL: Self = Self(DIGIT | LOWER | UPPER | of(b"_=+/.-"));

    /// By its letter in patterns.
    pub(crate) const fn named(letter: u8) -> Option<Self> {
        Some(Self(match letter {
            b'd' => DIGIT,
            b'x' => DIGIT | range(b'a', b'f'),
            b'X' => DIGIT | range(b'a', b'f') | range(b'A', b'F'),
            b'l' => DIGIT | LOWER,
            b'U' => DIGIT | UPPER,
            b't' => UPPER | range(b'2', b'7'),
            b'a' => DIGIT | LOWER | UPPER,
            b'w' => DIGIT | LOWER | UPPER | of(b"_-"),
            b'b' => DIGIT | LOWER | UPPER | of(b"+/="),
            b'n' => DIGIT | LOWER | UPPER | of(b"_-="),
            b'e' => DIGIT | LOWER | UPPER | of(b"_-=."),
            b'z' => DIGIT | LOWER | UPPER | of(b"_~.-"),
            _ => return None,
        }))
    }

    /// Whether a byte is in it.
    pub(crate) const fn has(self, byte: u8) -> bool {
        byte < 128 && self.0 & (1 << byte) != 0
    }
}

/// Whether a byte goes on with a word.
pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
