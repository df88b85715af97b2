//! From text to features: hashed words and pairs of words, and tokens that tell the text's form.
//!
//! All of it in whole numbers, so that a text has the same features on every machine. It runs in every decision of the
//! plugin, so bytes of ASCII go through a table, and what was seen is marked in a bitmap instead of sorted.

/// Bytes of the newest text that are looked at.
pub const TEXT_BYTES_MAX: usize = 1536;
/// Slots of form tokens, behind those of words.
pub(crate) const FORM_SLOTS: usize = 1024;
/// What a form token weighs, where all words together weigh 1.
pub(crate) const FORM_WEIGHT: f64 = 0.3;

/// Words that tell how a question is put.
const CUES: [&str; 17] = [
    "which",
    "what",
    "how",
    "why",
    "who",
    "not",
    "except",
    "best",
    "most",
    "following",
    "true",
    "false",
    "if",
    "would",
    "should",
    "all",
    "none",
];
/// Letters from which on a word is long.
const LONG_WORD: u32 = 9;
const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01B3;
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// What a byte is, and the place where it is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Space,
    Line,
    Lower,
    Upper,
    Digit,
    Sign,
    Brace,
    Stop,
    Ask,
    Blank,
    Tick,
    Other,
    /// Part of a character beyond ASCII.
    Foreign,
}

const KINDS: usize = Kind::Foreign as usize + 1;
/// Kinds of bytes.
const KIND: [Kind; 256] = kinds();
/// Hashes of the cues.
const CUE_HASH: [u64; CUES.len()] = cue_hashes();
/// Which of 64 top bits cues have: most other words are none at a glance.
const CUE_TOPS: u64 = cue_tops();

/// A text's features: slots of words, each once, and slots of form tokens, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Below `1 << bits`, in the order of the text.
    pub(crate) words: Vec<u32>,
    /// Below `FORM_SLOTS`.
    pub(crate) form: Vec<u32>,
}

/// What is counted on the way through the text.
#[derive(Default)]
struct Counts {
    bytes: [u32; KINDS],
    chars: u32,
    capitals: u32,
    words: u32,
    letters: u32,
    long: u32,
    numbers: u32,
    tokens: u32,
    /// Tokens, each once.
    distinct: u32,
    /// Which cues were there, a bit each.
    cues: u32,
}

/// Tokens on their way into slots.
struct Slots {
    bits: u32,
    /// A bit for each slot.
    seen: Vec<u64>,
    words: Vec<u32>,
    last: Option<u64>,
}

/// The last `TEXT_BYTES_MAX` bytes, begun on a character.
#[must_use]
pub fn tail(text: &str) -> &str {
    let mut start = text.len().saturating_sub(TEXT_BYTES_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

impl Features {
    /// Those of the newest part of a text.
    pub(crate) fn of(text: &str, bits: u32) -> Self {
        let mut counts = Counts::default();
        let mut slots = Slots::new(bits);
        counts.read(tail(text), &mut slots);
        Self {
            words: slots.words,
            form: counts.form(),
        }
    }

    /// What each word weighs: all together have length 1.
    pub(crate) fn word_weight(&self) -> f64 {
        match self.words.len() {
            0 => 0.0,
            words => 1.0 / f64::from(count(words)).sqrt(),
        }
    }
}

impl Slots {
    fn new(bits: u32) -> Self {
        Self {
            bits,
            seen: vec![0; 1 << (bits - 6)],
            words: Vec::with_capacity(TEXT_BYTES_MAX / 2),
            last: None,
        }
    }

    /// Takes a token, and the pair that it ends; says whether the token is new.
    fn take(&mut self, token: u64) -> bool {
        let new = self.mark(token);
        if let Some(last) = self.last.replace(token) {
            self.mark(last.rotate_left(29).wrapping_mul(FNV_PRIME) ^ token);
        }
        new
    }

    fn mark(&mut self, hash: u64) -> bool {
        // Multiplied once more, the highest bits depend on all others.
        let slot = hash.wrapping_mul(GOLDEN) >> (u64::BITS - self.bits);
        let slot = u32::try_from(slot).unwrap_or(0);
        let (place, bit) = ((slot / 64) as usize, 1_u64 << (slot % 64));
        let new = self.seen[place] & bit == 0;
        if new {
            self.seen[place] |= bit;
            self.words.push(slot);
        }
        new
    }
}

impl Counts {
    fn read(&mut self, text: &str, slots: &mut Slots) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match KIND[bytes[at] as usize] {
                Kind::Lower | Kind::Upper => at = self.word(text, at, slots),
                Kind::Digit => {
                    let from = at;
                    while at < bytes.len() && bytes[at].is_ascii_digit() {
                        at += 1;
                    }
                    let digits = count(at - from);
                    self.bytes[Kind::Digit as usize] += digits;
                    self.chars += digits;
                    self.numbers += 1;
                    // One number is as good as another.
                    self.token(step(FNV_OFFSET, u32::from(b'0')), slots);
                }
                Kind::Foreign => match text[at..].chars().next() {
                    Some(char) if char.is_alphabetic() => at = self.word(text, at, slots),
                    Some(char) => {
                        self.bytes[Kind::Foreign as usize] += 1;
                        self.chars += 1;
                        at += char.len_utf8();
                        if !char.is_whitespace() {
                            self.token(step(FNV_OFFSET, u32::from(char)), slots);
                        }
                    }
                    None => break,
                },
                kind => {
                    self.bytes[kind as usize] += 1;
                    self.chars += 1;
                    if !matches!(kind, Kind::Space | Kind::Line) {
                        self.token(step(FNV_OFFSET, u32::from(bytes[at])), slots);
                    }
                    at += 1;
                }
            }
        }
    }

    /// Reads the word that begins here and returns its end.
    fn word(&mut self, text: &str, from: usize, slots: &mut Slots) -> usize {
        let bytes = text.as_bytes();
        let (mut at, mut letters, mut capitals) = (from, 0, 0);
        let mut hash = FNV_OFFSET;
        while at < bytes.len() {
            let byte = bytes[at];
            match KIND[byte as usize] {
                Kind::Lower => {
                    hash = step(hash, u32::from(byte));
                    at += 1;
                }
                Kind::Upper => {
                    hash = step(hash, u32::from(byte | 0x20));
                    capitals += 1;
                    at += 1;
                }
                Kind::Foreign => {
                    let char = text[at..].chars().next();
                    let Some(char) = char.filter(|char| char.is_alphabetic()) else {
                        break;
                    };
                    for lower in char.to_lowercase() {
                        hash = step(hash, u32::from(lower));
                    }
                    capitals += u32::from(char.is_uppercase());
                    self.bytes[Kind::Foreign as usize] += 1;
                    at += char.len_utf8();
                }
                _ => break,
            }
            letters += 1;
        }
        self.chars += letters;
        self.capitals += capitals;
        self.words += 1;
        self.letters += letters;
        self.long += u32::from(letters >= LONG_WORD);
        if CUE_TOPS >> (hash >> 58) & 1 == 1
            && let Some(cue) = CUE_HASH.iter().position(|known| *known == hash)
        {
            self.cues |= 1 << cue;
        }
        self.token(hash, slots);
        at
    }

    fn token(&mut self, hash: u64, slots: &mut Slots) {
        self.tokens += 1;
        self.distinct += u32::from(slots.take(hash));
    }

    fn form(&self) -> Vec<u32> {
        let of = |kind: Kind| self.bytes[kind as usize];
        let chars = self.chars + 1;
        let words = self.words.max(1);
        let some = |count: u32| u32::from(count > 0);
        let traits = [
            ("length", half_octave(chars)),
            ("word-length", self.letters * 2 / words),
            ("long", share(self.long, words)),
            ("numbers", half_octave(self.numbers)),
            ("lines", half_octave(of(Kind::Line))),
            ("signs", share(of(Kind::Sign) + of(Kind::Brace), chars)),
            ("stops", share(of(Kind::Stop), chars)),
            ("capitals", share(self.capitals, chars)),
            ("distinct", self.distinct * 10 / (self.tokens + 1)),
            ("asks", some(of(Kind::Ask))),
            ("blank", some(of(Kind::Blank))),
            ("foreign", some(of(Kind::Foreign))),
            ("code", some(of(Kind::Tick) + of(Kind::Brace))),
        ];
        let held = (0..count(CUES.len())).filter(|cue| self.cues >> cue & 1 == 1);
        let mut form: Vec<u32> = traits
            .into_iter()
            .map(|(name, bucket)| form_slot(name, bucket))
            .chain(held.map(|cue| form_slot("cue", cue)))
            .collect();
        form.sort_unstable();
        form.dedup();
        form
    }
}

/// Two buckets for each doubling.
const fn half_octave(n: u32) -> u32 {
    let bits = u32::BITS - n.leading_zeros();
    if bits < 2 {
        return 2 * bits;
    }
    2 * bits + ((n >> (bits - 2)) & 1)
}

/// 0 for none, then a step for each thirty-second, 7 at most.
const fn share(part: u32, whole: u32) -> u32 {
    if part == 0 {
        return 0;
    }
    let steps = 1 + part * 32 / whole;
    if steps > 7 { 7 } else { steps }
}

fn form_slot(name: &str, bucket: u32) -> u32 {
    let hash = name
        .bytes()
        .fold(FNV_OFFSET, |hash, byte| step(hash, u32::from(byte)));
    let hash = (hash ^ u64::from(bucket + 1).wrapping_mul(GOLDEN)).wrapping_mul(FNV_PRIME);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(GOLDEN);
    u32::try_from(hash >> (u64::BITS - FORM_SLOTS.ilog2())).unwrap_or(0)
}

const fn step(hash: u64, what: u32) -> u64 {
    (hash ^ what as u64).wrapping_mul(FNV_PRIME)
}

const fn kinds() -> [Kind; 256] {
    let mut kinds = [Kind::Foreign; 256];
    let mut byte = 0;
    while byte < 128 {
        kinds[byte as usize] = match byte {
            b'\n' => Kind::Line,
            b' ' | b'\t' | b'\r' | 0x0B | 0x0C => Kind::Space,
            b'a'..=b'z' => Kind::Lower,
            b'A'..=b'Z' => Kind::Upper,
            b'0'..=b'9' => Kind::Digit,
            b'{' => Kind::Brace,
            b'+' | b'-' | b'*' | b'/' | b'=' | b'^' | b'<' | b'>' | b'(' | b')' | b'[' | b']'
            | b'}' | b'$' => Kind::Sign,
            b'.' | b',' | b';' | b':' => Kind::Stop,
            b'?' => Kind::Ask,
            b'_' => Kind::Blank,
            b'`' => Kind::Tick,
            _ => Kind::Other,
        };
        byte += 1;
    }
    kinds
}

const fn cue_hashes() -> [u64; CUES.len()] {
    let mut hashes = [FNV_OFFSET; CUES.len()];
    let mut cue = 0;
    while cue < CUES.len() {
        let bytes = CUES[cue].as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            hashes[cue] = step(hashes[cue], bytes[at] as u32);
            at += 1;
        }
        cue += 1;
    }
    hashes
}

const fn cue_tops() -> u64 {
    let mut tops = 0;
    let mut cue = 0;
    while cue < CUE_HASH.len() {
        tops |= 1 << (CUE_HASH[cue] >> 58);
        cue += 1;
    }
    tops
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<u32> {
        Features::of(text, 16).words
    }

    #[test]
    fn case_spaces_and_the_value_of_numbers_do_not_matter() {
        assert_eq!(words("Add 12  and\n7"), words("add 3 AND 456"));
        assert_ne!(words("add 12 and 7"), words("and 12 add 7"), "order does");
    }

    #[test]
    fn letters_and_digits_are_words_apart() {
        assert_eq!(words("x2"), words("x 2"));
        assert_eq!(words("2x"), words("2 x"));
    }

    #[test]
    fn words_of_other_scripts_are_words() {
        assert_eq!(words("Größe  ÄNDERN"), words("größe ändern"));
        assert_eq!(words("Größe").len(), 1, "not cut where ASCII ends");
        assert_ne!(words("größe"), words("grosse"));
        assert_eq!(words("«да»").len(), 5, "three tokens and two pairs");
    }

    #[test]
    fn only_the_newest_part_counts() {
        let newest = "y ".repeat(TEXT_BYTES_MAX / 2);
        let whole = format!("something else before {newest}");
        assert_eq!(Features::of(&whole, 12), Features::of(&newest, 12));
    }

    proptest! {
        #[test]
        fn slots_are_within_bounds_and_each_once(text in ".{0,300}", bits in 8_u32..20) {
            let features = Features::of(&text, bits);
            let mut words = features.words.clone();
            words.sort_unstable();
            prop_assert!(words.windows(2).all(|two| two[0] < two[1]));
            prop_assert!(features.words.iter().all(|slot| *slot < 1 << bits));
            prop_assert!(features.form.iter().all(|slot| (*slot as usize) < FORM_SLOTS));
            let length = features.word_weight().powi(2) * features.words.len() as f64;
            prop_assert!(features.words.is_empty() || (length - 1.0).abs() < 1e-9);
        }
    }
}
