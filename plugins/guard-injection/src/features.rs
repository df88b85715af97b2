//! What the model sees of a text: groups of words, ordered pairs of groups close to each other, and hashed words.
//!
//! Promises: the same text gives the same features natively and in a component; time is linear in the text, memory
//! does not grow with it. Refuses to know: weights, thresholds.

use crate::lexicon::{GROUPS, INTENTS, SIGNALS, WITHIN};

/// Groups of words.
const GROUP_COUNT: usize = GROUPS.len();
/// Hashed words and pairs of neighbours.
const SLOTS: usize = 1 << 14;
const PAIRS_AT: usize = GROUP_COUNT;
const SIGNALS_AT: usize = PAIRS_AT + GROUP_COUNT * GROUP_COUNT;
const WORDS_AT: usize = SIGNALS_AT + 1;
/// Length of a vector of features.
pub const FEATURES: usize = WORDS_AT + SLOTS;

/// Words of one window; a longer text is judged by its worst window, so that an injection does not drown in it.
pub const WINDOW_WORDS: usize = 512;

/// Weights of the three parts against each other, found by leaving sources out.
const COUNT_SCALE: f32 = 0.5;
const SIGNAL_SCALE: f32 = 2.0;
const WORD_SCALE: f32 = 0.9;
/// More signals than this say no more.
const SIGNALS_MAX: usize = 3;

/// Places of the table of words; a power of two, at least twice the words.
const TABLE: usize = 2048;

const _: () = assert!(GROUP_COUNT <= 64);

/// Which groups a word is in.
#[derive(Debug)]
pub struct Lexicon {
    /// Hash of the word (0: empty) and its groups as bits, open addressing.
    table: Vec<(u64, u64)>,
    /// `SIGNALS` by the numbers of their groups.
    signals: Vec<(usize, usize)>,
    /// Values of counts.
    logs: Vec<f32>,
}

impl Default for Lexicon {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexicon {
    /// Builds the table.
    #[must_use]
    pub fn new() -> Self {
        let mut table = vec![(0, 0); TABLE];
        for (group, (_, words)) in GROUPS.iter().enumerate() {
            for word in words.split_ascii_whitespace() {
                let hash = word.bytes().fold(HASH_START, hashed);
                let slot = slot_of(&table, hash);
                table[slot] = (hash, table[slot].1 | 1 << group);
            }
        }
        let number = |name| GROUPS.iter().position(|(group, _)| *group == name);
        let signals = SIGNALS
            .iter()
            .filter_map(|(first, second, _)| Some((number(*first)?, number(*second)?)))
            .collect();
        let logs = (0..=WINDOW_WORDS)
            .map(|count| COUNT_SCALE * (1.0 + small(count)).ln())
            .collect();
        Self {
            table,
            signals,
            logs,
        }
    }

    fn groups(&self, hash: u64) -> u64 {
        self.table[slot_of(&self.table, hash)].1
    }
}

fn slot_of(table: &[(u64, u64)], hash: u64) -> usize {
    let mut slot = folded(hash) % TABLE;
    while table[slot].0 != 0 && table[slot].0 != hash {
        slot = (slot + 1) % TABLE;
    }
    slot
}

/// What a byte is in a text: a letter or digit in lowercase, or one of these.
const BORDER: u8 = 0;
const BEYOND: u8 = 1;
const APOSTROPHE: u8 = 2;

static LETTERS: [u8; 256] = letters();

const fn letters() -> [u8; 256] {
    let mut letters = [BORDER; 256];
    let mut byte = 0_u8;
    loop {
        letters[byte as usize] = match byte {
            b'\'' => APOSTROPHE,
            0x80.. => BEYOND,
            _ if byte.is_ascii_alphanumeric() => byte.to_ascii_lowercase(),
            _ => BORDER,
        };
        if byte == u8::MAX {
            return letters;
        }
        byte += 1;
    }
}

const HASH_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, one byte.
const fn hashed(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

/// A character beyond ASCII, in lowercase; an apostrophe adds nothing.
fn hashed_lower(hash: u64, character: char) -> u64 {
    if character == '\u{2019}' {
        return hash;
    }
    let mut buffer = [0; 4];
    character.to_lowercase().fold(hash, |hash, lower| {
        let bytes = lower.encode_utf8(&mut buffer).bytes();
        bytes.fold(hash, hashed)
    })
}

/// The upper half mixed into the lower.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a hash is cut to what indexes a table"
)]
const fn folded(hash: u64) -> usize {
    ((hash >> 32) ^ (hash & 0xffff_ffff)) as u32 as usize
}

/// The features of one window while it is read, and the words before.
#[derive(Debug)]
pub struct Sheet<'a> {
    lexicon: &'a Lexicon,
    /// Groups, then ordered pairs of groups; and which of them are not zero.
    counts: Vec<u16>,
    counted: Vec<u16>,
    seen: Vec<u64>,
    slots: Vec<u16>,
    words: usize,
    /// Groups of the last words, in turn.
    recent: [u64; WITHIN],
    last_hash: u64,
}

impl<'a> Sheet<'a> {
    /// An empty one.
    #[must_use]
    pub fn new(lexicon: &'a Lexicon) -> Self {
        Self {
            lexicon,
            counts: vec![0; SIGNALS_AT],
            counted: Vec::new(),
            seen: vec![0; SLOTS / 64],
            slots: Vec::new(),
            words: 0,
            recent: [0; WITHIN],
            last_hash: 0,
        }
    }

    /// Reads `text` and shows every window, the last one too, however short.
    pub fn read(&mut self, text: &str, mut window: impl FnMut(&Self)) {
        self.clear();
        let bytes = text.as_bytes();
        let (mut place, mut hash, mut inside) = (0, HASH_START, false);
        while let Some(&byte) = bytes.get(place) {
            place += 1;
            let letter = LETTERS[usize::from(byte)];
            if letter > APOSTROPHE {
                hash = hashed(hash, letter);
                inside = true;
                continue;
            }
            let mut ends = letter == BORDER;
            let mut alone = false;
            if letter == BEYOND {
                let character = text[place - 1..].chars().next().unwrap_or(' ');
                place += character.len_utf8() - 1;
                alone = stands_alone(character);
                ends = alone || (!character.is_alphanumeric() && character != '\u{2019}');
                if !ends {
                    hash = hashed_lower(hash, character);
                    inside |= character.is_alphanumeric();
                } else if alone {
                    self.end_word(&mut hash, &mut inside, &mut window);
                    hash = hashed_lower(hash, character);
                    inside = true;
                }
            }
            if ends || alone {
                self.end_word(&mut hash, &mut inside, &mut window);
            }
        }
        self.end_word(&mut hash, &mut inside, &mut window);
        if self.words > 0 {
            window(self);
        }
    }

    fn end_word(&mut self, hash: &mut u64, inside: &mut bool, window: &mut impl FnMut(&Self)) {
        if std::mem::take(inside) {
            self.word(*hash);
            if self.words == WINDOW_WORDS {
                window(self);
                self.clear();
            }
        }
        *hash = HASH_START;
    }

    fn clear(&mut self) {
        if self.words == 0 {
            return;
        }
        for place in self.counted.drain(..) {
            self.counts[usize::from(place)] = 0;
        }
        for slot in self.slots.drain(..) {
            self.seen[usize::from(slot) / 64] = 0;
        }
        self.words = 0;
        self.recent = [0; WITHIN];
        self.last_hash = 0;
    }

    fn word(&mut self, hash: u64) {
        self.slot(hash);
        if self.words > 0 {
            self.slot(self.last_hash.rotate_left(17) ^ hash.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
        self.last_hash = hash;
        let groups = self.lexicon.groups(hash);
        if groups != 0 {
            let before = self.recent.iter().fold(0, |all, groups| all | groups);
            for second in bits(groups) {
                self.bump(second);
                for first in bits(before & !(1 << second)) {
                    self.bump(PAIRS_AT + first * GROUP_COUNT + second);
                }
            }
        }
        self.recent[self.words % WITHIN] = groups;
        self.words += 1;
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a place is below SIGNALS_AT"
    )]
    fn bump(&mut self, place: usize) {
        let count = &mut self.counts[place];
        if *count == 0 {
            self.counted.push(place as u16);
        }
        *count = count.saturating_add(1);
    }

    #[expect(clippy::cast_possible_truncation, reason = "a slot is below SLOTS")]
    fn slot(&mut self, hash: u64) {
        let slot = folded(hash) % SLOTS;
        let bit = 1 << (slot % 64);
        if self.seen[slot / 64] & bit == 0 {
            self.seen[slot / 64] |= bit;
            self.slots.push(slot as u16);
        }
    }

    fn signals(&self) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let pairs = self.lexicon.signals.iter().enumerate();
        pairs
            .filter(|&(_, &(first, second))| {
                self.counts[PAIRS_AT + first * GROUP_COUNT + second] > 0
            })
            .map(|(signal, _)| signal)
    }

    /// What the signals speak for, as bits by `INTENTS`.
    #[must_use]
    pub fn intents(&self) -> u8 {
        let intent = |signal: usize| {
            let name = SIGNALS[signal].2;
            INTENTS.iter().position(|intent| *intent == name)
        };
        let intents = self.signals().filter_map(intent);
        intents.fold(0, |bits, intent| bits | 1 << intent)
    }

    /// Every feature that is not zero, by its place below `FEATURES`.
    pub fn features(&self) -> impl Iterator<Item = (usize, f32)> + use<'_, 'a> {
        let counts = self.counted.iter().map(|&place| {
            let count = usize::from(self.counts[usize::from(place)]);
            let logs = &self.lexicon.logs;
            (usize::from(place), logs[count.min(logs.len() - 1)])
        });
        let signals = self.signals().take(SIGNALS_MAX).count();
        let signals = (signals > 0).then_some((SIGNALS_AT, SIGNAL_SCALE * small(signals)));
        let value = WORD_SCALE / small(self.slots.len().max(1)).sqrt();
        let words = self
            .slots
            .iter()
            .map(move |&slot| (WORDS_AT + usize::from(slot), value));
        counts.chain(signals).chain(words)
    }
}

/// Scripts that write without spaces are read by the character.
const fn stands_alone(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}')
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts within a window are far below 2^24"
)]
const fn small(count: usize) -> f32 {
    count as f32
}

fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        if set == 0 {
            return None;
        }
        let bit = set.trailing_zeros() as usize;
        set &= set - 1;
        Some(bit)
    })
}
