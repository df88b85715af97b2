//! From text to features: hashed words and pairs of words, and tokens that tell the text's form.
//!
//! All of it in whole numbers, so that a text has the same features on every machine.

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

/// A text's features: slots of words, each once, and slots of form tokens, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Below `1 << bits`, rising.
    pub(crate) words: Vec<u32>,
    /// Below `FORM_SLOTS`, rising.
    pub(crate) form: Vec<u32>,
}

/// What is counted on the way through the text.
#[derive(Default)]
struct Counts {
    words: u32,
    letters: u32,
    long: u32,
    numbers: u32,
    tokens: u32,
    lines: u32,
    signs: u32,
    stops: u32,
    capitals: u32,
    chars: u32,
    asks: bool,
    blank: bool,
    foreign: bool,
    code: bool,
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
        let mut tokens: Vec<u64> = Vec::new();
        let mut cues = [false; CUES.len()];
        let mut word = Word::default();
        for char in tail(text).chars() {
            counts.see(char);
            if word.takes(char) {
                continue;
            }
            word.end(&mut tokens, &mut counts, &mut cues);
            if !word.takes(char) && !char.is_whitespace() {
                tokens.push(char_hash(FNV_OFFSET, char));
            }
        }
        word.end(&mut tokens, &mut counts, &mut cues);
        counts.tokens = count(tokens.len());
        let mask = (1_u64 << bits) - 1;
        let slot = |hash: u64| u32::try_from(mixed(hash) & mask).unwrap_or(0);
        let pairs = tokens
            .windows(2)
            .map(|two| slot(two[0].rotate_left(29).wrapping_mul(FNV_PRIME) ^ two[1]));
        let mut words: Vec<u32> = tokens.iter().map(|hash| slot(*hash)).chain(pairs).collect();
        words.sort_unstable();
        words.dedup();
        tokens.sort_unstable();
        tokens.dedup();
        let mut form = counts.form(count(tokens.len()));
        let held = cues.iter().enumerate().filter(|(_, held)| **held);
        form.extend(held.map(|(cue, _)| form_slot("cue", count(cue))));
        form.sort_unstable();
        form.dedup();
        Self { words, form }
    }

    /// What each word weighs: all together have length 1.
    pub(crate) fn word_weight(&self) -> f64 {
        match self.words.len() {
            0 => 0.0,
            words => 1.0 / f64::from(count(words)).sqrt(),
        }
    }
}

/// A run of letters, or of digits, as far as it was read.
#[derive(Default)]
struct Word {
    hash: u64,
    letters: u32,
    digits: u32,
    /// Its first letters, to tell cues; longer words are none.
    start: String,
}

impl Word {
    /// Takes a character that goes on with the run; of an empty run, any letter or digit.
    fn takes(&mut self, char: char) -> bool {
        if char.is_alphabetic() && self.digits == 0 {
            if self.letters == 0 {
                self.hash = FNV_OFFSET;
            }
            self.letters += 1;
            for lower in char.to_lowercase() {
                self.hash = char_hash(self.hash, lower);
                if self.start.len() <= LONG_WORD as usize {
                    self.start.push(lower);
                }
            }
            true
        } else if char.is_ascii_digit() && self.letters == 0 {
            self.digits += 1;
            true
        } else {
            false
        }
    }

    fn end(&mut self, tokens: &mut Vec<u64>, counts: &mut Counts, cues: &mut [bool]) {
        if self.letters > 0 {
            counts.words += 1;
            counts.letters += self.letters;
            counts.long += u32::from(self.letters >= LONG_WORD);
            let cue = CUES.iter().position(|cue| *cue == self.start);
            if let Some(cue) = cue {
                cues[cue] = true;
            }
            tokens.push(self.hash);
        } else if self.digits > 0 {
            // One number is as good as another.
            counts.numbers += 1;
            tokens.push(char_hash(FNV_OFFSET, '0'));
        }
        self.letters = 0;
        self.digits = 0;
        self.start.clear();
    }
}

impl Counts {
    fn see(&mut self, char: char) {
        self.chars += 1;
        match char {
            '\n' => self.lines += 1,
            '+' | '-' | '*' | '/' | '=' | '^' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}'
            | '$' => self.signs += 1,
            '.' | ',' | ';' | ':' => self.stops += 1,
            _ => {}
        }
        self.capitals += u32::from(char.is_uppercase());
        self.asks |= char == '?';
        self.blank |= char == '_';
        self.foreign |= !char.is_ascii();
        self.code |= matches!(char, '`' | '{');
    }

    fn form(&self, distinct: u32) -> Vec<u32> {
        let chars = self.chars + 1;
        let words = self.words.max(1);
        [
            ("length", half_octave(chars)),
            ("word-length", self.letters * 2 / words),
            ("long", share(self.long, words)),
            ("numbers", half_octave(self.numbers)),
            ("lines", half_octave(self.lines)),
            ("signs", share(self.signs, chars)),
            ("stops", share(self.stops, chars)),
            ("capitals", share(self.capitals, chars)),
            ("distinct", distinct * 10 / (self.tokens + 1)),
            ("asks", u32::from(self.asks)),
            ("blank", u32::from(self.blank)),
            ("foreign", u32::from(self.foreign)),
            ("code", u32::from(self.code)),
        ]
        .into_iter()
        .map(|(name, bucket)| form_slot(name, bucket))
        .collect()
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
    let hash = name.chars().fold(FNV_OFFSET, char_hash);
    let hash = mixed(hash ^ u64::from(bucket + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    u32::try_from(hash % FORM_SLOTS as u64).unwrap_or(0)
}

fn char_hash(hash: u64, char: char) -> u64 {
    (hash ^ u64::from(u32::from(char))).wrapping_mul(FNV_PRIME)
}

/// So that every bit of the hash counts in the lowest ones.
const fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ (hash >> 33)
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
    fn only_the_newest_part_counts() {
        let newest = "y ".repeat(TEXT_BYTES_MAX / 2);
        let whole = format!("something else before {newest}");
        assert_eq!(Features::of(&whole, 12), Features::of(&newest, 12));
    }

    proptest! {
        #[test]
        fn slots_are_within_bounds_and_each_once(text in ".{0,300}", bits in 8_u32..20) {
            let features = Features::of(&text, bits);
            prop_assert!(features.words.windows(2).all(|two| two[0] < two[1]));
            prop_assert!(features.words.iter().all(|slot| *slot < 1 << bits));
            prop_assert!(features.form.iter().all(|slot| (*slot as usize) < FORM_SLOTS));
            let length = features.word_weight().powi(2) * features.words.len() as f64;
            prop_assert!(features.words.is_empty() || (length - 1.0).abs() < 1e-9);
        }
    }
}
