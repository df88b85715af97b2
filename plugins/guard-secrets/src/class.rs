//! Classes of bytes.

/// Some bytes of ASCII: a bit of `TABLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class(u16);

/// The classes of each byte, in the order of `MEMBERS`.
static TABLE: [u16; 256] = table();

const ALNUM: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Letters of patterns with their bytes, in two parts; the last three have no letter in patterns.
const MEMBERS: [(u8, &[u8], &[u8]); 15] = [
    (b'd', b"0123456789", b""),
    (b'x', b"0123456789abcdef", b""),
    (b'X', b"0123456789abcdefABCDEF", b""),
    (b'l', b"0123456789abcdefghijklmnopqrstuvwxyz", b""),
    (b'U', b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", b""),
    (b't', b"234567ABCDEFGHIJKLMNOPQRSTUVWXYZ", b""),
    (b'a', ALNUM, b""),
    (b'w', ALNUM, b"_-"),
    (b'b', ALNUM, b"+/="),
    (b'n', ALNUM, b"_-="),
    (b'e', ALNUM, b"_-=."),
    (b'z', ALNUM, b"_~.-"),
    // A value of unknown form, a password, and whatever any token is made of.
    (b'v', ALNUM, b"_=.+/~-"),
    (b'p', ALNUM, b"_=.+/~-!@#%^&*?"),
    (b'k', ALNUM, b"_=.+/~-|:"),
];

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut class = 0;
    while class < MEMBERS.len() {
        let parts = [MEMBERS[class].1, MEMBERS[class].2];
        let mut part = 0;
        while part < parts.len() {
            let mut index = 0;
            while index < parts[part].len() {
                table[parts[part][index] as usize] |= 1 << class;
                index += 1;
            }
            part += 1;
        }
        class += 1;
    }
    table
}

impl Class {
    /// What a value of unknown form is made of.
    pub(crate) const VALUE: Self = Self(1 << 12);
    /// What a password may be made of.
    pub(crate) const PASSWORD: Self = Self(1 << 13);
    /// What tokens of every form are made of.
    pub(crate) const TOKEN: Self = Self(1 << 14);

    /// By its letter in patterns.
    pub(crate) fn named(letter: u8) -> Option<Self> {
        let class = MEMBERS
            .iter()
            .take(12)
            .position(|(named, ..)| *named == letter)?;
        Some(Self(1 << class))
    }

    /// Whether a byte is in it.
    pub(crate) fn has(self, byte: u8) -> bool {
        TABLE[usize::from(byte)] & self.0 != 0
    }

    /// How many bytes from the first on are in it, at most `max`.
    pub(crate) fn run(self, bytes: &[u8], max: usize) -> usize {
        let bytes = &bytes[..bytes.len().min(max)];
        bytes
            .iter()
            .position(|byte| !self.has(*byte))
            .unwrap_or(bytes.len())
    }
}

/// Whether a byte goes on with a word.
pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
