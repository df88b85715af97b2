//! Masks, denies or labels words, topics and patterns in requests and in answers, streamed ones across delta borders.
//!
//! Promises: both directions find the same in the same text, with at most `HOLD_BYTES` of a channel held back; labels
//! and reasons hold names of lists and counts, never the text. Refuses to know: languages, meanings.
#![forbid(unsafe_code)]

mod found;
mod patterns;
mod settings;
mod words;

use pointsman_guard::{Act, Scan, Step, Stream, check, finds};
use pointsman_sdk::{
    Checked, Coverage, Plugin, PluginError, Reason, RequestGuard, ResponseGuard, View, border_below,
};

use found::Found;
use patterns::Patterns;
pub use settings::Config;
use settings::{List, Settings};
use words::Words;

/// Bound: how far a step looks ahead, so the most that a stream holds back.
const HOLD_BYTES: usize = 256;
/// How far it looks back: one character.
const BACK_BYTES: usize = 4;
/// Longest time that a byte of an answer is held, in milliseconds.
const HOLD_BACK_MS: u32 = 2_000;

/// What finds the lists' words and patterns.
#[derive(Debug)]
pub struct Scanner {
    lists: Vec<List>,
    words: Words,
    patterns: Option<Patterns>,
    /// What may begin with a byte: `WORD`, `PATTERN`.
    begins: [u8; 256],
}

const WORD: u8 = 1;
const PATTERN: u8 = 2;

/// The configured guard.
#[derive(Debug)]
pub struct GuardWords {
    scanner: Scanner,
}

impl Plugin for GuardWords {
    type Config = Config;
    const CONFIG_SCHEMA: &'static str = include_str!("../config.schema.json");

    fn configure(config: Config) -> Result<Self, String> {
        let settings = Settings::new(config)?;
        let mut words = Words::new();
        for (word, list) in &settings.words {
            words.add(word, *list);
        }
        let patterns = if settings.patterns.is_empty() {
            None
        } else {
            Some(Patterns::new(&settings.patterns)?)
        };
        let scanner = Scanner::new(settings.lists, words, patterns);
        // A mask that is masked again by the next guard tells nothing, and one that holds the word hides nothing.
        for list in &scanner.lists {
            if list.act == Act::Mask && !finds(&scanner, &list.placeholder).is_empty() {
                return Err(format!(
                    "list `{}`: its placeholder holds what is looked for",
                    list.name
                ));
            }
        }
        Ok(Self { scanner })
    }
}

impl Scanner {
    fn new(lists: Vec<List>, words: Words, patterns: Option<Patterns>) -> Self {
        let mut begins = [0; 256];
        for (byte, begins) in (0_u8..=255).zip(&mut begins) {
            if words.may_begin(byte) {
                *begins |= WORD;
            }
            if patterns
                .as_ref()
                .is_some_and(|patterns| patterns.may_begin(byte))
            {
                *begins |= PATTERN;
            }
        }
        Self {
            lists,
            words,
            patterns,
            begins,
        }
    }

    /// What may begin at a place; in the middle of a word of ASCII no word does.
    fn may_begin(&self, bytes: &[u8], at: usize) -> u8 {
        let begins = self.begins[usize::from(bytes[at])];
        if begins & WORD == 0 || !goes_on(bytes[at]) {
            return begins;
        }
        match at.checked_sub(1) {
            Some(before) if goes_on(bytes[before]) => begins & !WORD,
            _ => begins,
        }
    }
}

/// Whether a byte of ASCII goes on with a word.
const fn goes_on(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Scan for Scanner {
    type Memo = ();

    fn back_bytes(&self) -> usize {
        BACK_BYTES
    }

    fn hold_bytes(&self) -> usize {
        HOLD_BYTES
    }

    fn step(&self, text: &str, at: usize, complete: bool, _memo: &mut ()) -> Step {
        let bytes = text.as_bytes();
        let clean = |from: usize| {
            let begins =
                |place: &usize| self.may_begin(bytes, *place) != 0 && text.is_char_boundary(*place);
            Step::Clean((from..bytes.len()).find(begins).unwrap_or(bytes.len()) - at)
        };
        let begins = self.may_begin(bytes, at);
        if begins == 0 {
            return clean(at + 1);
        }
        // The window makes the bound hold by construction: what lies beyond it cannot change a decision.
        let edge = at + HOLD_BYTES;
        let beyond = bytes.len() > edge;
        let window = if beyond {
            &text[..border_below(text, edge)]
        } else {
            text
        };
        let mut found = Found::Nothing;
        if begins & WORD != 0 {
            found = self.words.see(window, at, complete || beyond);
        }
        if let Some(patterns) = self.patterns.as_ref().filter(|_| begins & PATTERN != 0) {
            found = found.or(patterns.see(window, at, complete && !beyond, complete || beyond));
        }
        match found {
            Found::Nothing => clean(at + 1),
            Found::Here { list, bytes } => Step::Found {
                kind: list,
                bytes,
                goes_on: false,
            },
            Found::More => Step::Undecided { looks_like: None },
        }
    }

    fn topic(&self) -> &'static str {
        "words"
    }

    fn kinds(&self) -> usize {
        self.lists.len()
    }

    fn name(&self, kind: usize) -> &str {
        &self.lists[kind].name
    }

    fn act(&self, kind: usize) -> Act {
        self.lists[kind].act
    }

    fn at_least(&self, kind: usize) -> u32 {
        self.lists[kind].at_least
    }

    fn placeholder(&self, kind: usize) -> &str {
        &self.lists[kind].placeholder
    }

    fn reason(&self, kind: usize, carrier: &str) -> Reason {
        let detail = format!(
            "the {carrier} holds words of the list `{}`",
            self.name(kind)
        );
        Reason::new(self.code(kind), detail)
    }
}

impl RequestGuard for GuardWords {
    fn check(&self, request: &dyn View) -> Result<Checked, PluginError> {
        Ok(check(&self.scanner, request))
    }
}

impl ResponseGuard for GuardWords {
    type Stream = Stream<Scanner>;

    fn covers(&self) -> Coverage {
        Stream::covers(&self.scanner, HOLD_BACK_MS)
    }

    fn start(&'static self, _request: &dyn View) -> Self::Stream {
        Stream::new(&self.scanner)
    }
}

pointsman_sdk::export_plugin!(GuardWords: request_guard, response_guard);

#[cfg(test)]
mod tests;
