//! Finds personal data from left to right, one step at a time.
//!
//! Promises: a step reads no more than `BACK_BYTES` before and `HOLD_BYTES` after its place, and what it decides on a
//! prefix of a text is what it decides on the whole text (else it asks for more). So scanning a stream in any pieces
//! equals scanning it whole, with a bounded hold-back; the guard and its property tests rest on this.
//! Refuses to know: what is done with a find, streams, the contract.
//!
//! Hand-written rather than the regex crate: automata cannot say "undecided, and this is what it looks like so far",
//! checksums and context come on top anyway, and a component without it is several times smaller.

mod card;
mod context;
mod email;
mod iban;
mod ip;
mod number;
mod phone;
mod skip;
mod ssn;

use pointsman_guard::{Act, Step, Tail};

use crate::kind::Kind;

/// How far a step looks back, for context words such as `phone`.
pub const BACK_BYTES: usize = 48;

/// Bound: how far a step looks ahead, so the most that a stream holds back.
pub const HOLD_BYTES: usize = 256;

const _: () = assert!(email::BYTES_MAX <= HOLD_BYTES);
const _: () = assert!(number::BYTES_MAX <= HOLD_BYTES);
const _: () = assert!(iban::BYTES_MAX <= HOLD_BYTES);
const _: () = assert!(ip::BYTES_MAX <= HOLD_BYTES);

/// What one detector says of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Found(Kind, usize),
    /// The bound was reached: treat it as found, with all that continues it.
    Overlong(Kind, usize),
    More(Option<Kind>),
}

impl Seen {
    fn step(self) -> Option<Step> {
        match self {
            Self::Nothing => None,
            Self::Found(kind, bytes) => Some(Step::Found {
                kind: kind.index(),
                bytes,
                goes_on: false,
            }),
            Self::Overlong(kind, bytes) => Some(Step::Found {
                kind: kind.index(),
                bytes,
                goes_on: true,
            }),
            Self::More(looks_like) => Some(Step::Undecided {
                looks_like: looks_like.map(Kind::index),
            }),
        }
    }
}

/// What several detectors say of one place, the first of them first.
struct Verdict(Seen);

impl Default for Verdict {
    fn default() -> Self {
        Self(Seen::Nothing)
    }
}

impl Verdict {
    /// Whether another opinion can matter: a find ends it; while it is undecided, others say what it looks like.
    const fn asks(&self) -> bool {
        matches!(self.0, Seen::Nothing | Seen::More(None))
    }

    fn hear(&mut self, seen: Seen) {
        self.0 = match (self.0, seen) {
            (Seen::More(_), Seen::Nothing) => self.0,
            (Seen::More(_), Seen::Found(kind, _) | Seen::Overlong(kind, _)) => {
                Seen::More(Some(kind))
            }
            (_, seen) => seen,
        };
    }
}

/// Text around a place, as far as it is known.
#[derive(Clone, Copy)]
struct Page<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Nothing follows.
    complete: bool,
    /// The last find ended here; what stands after it goes on from nothing.
    clear_from: usize,
}

/// A byte ahead.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ahead {
    Byte(u8),
    End,
    Unknown,
}

impl<'a> Page<'a> {
    fn ahead(&self, at: usize) -> Ahead {
        match self.bytes.get(at) {
            Some(&byte) => Ahead::Byte(byte),
            None if self.complete => Ahead::End,
            None => Ahead::Unknown,
        }
    }

    fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).map(|before| self.bytes[before])
    }

    /// The last `bytes_max` bytes before `at`, at most `BACK_BYTES`.
    fn back(&self, at: usize, bytes_max: usize) -> &'a [u8] {
        &self.bytes[at.saturating_sub(bytes_max.min(BACK_BYTES))..at]
    }
}

/// Which kinds are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Scanner {
    wanted: [bool; 6],
}

/// What earlier steps learnt of the text ahead, so that long words are not read once per letter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memo {
    /// No address begins before this place.
    no_email_before: usize,
    /// From some place below to here the text is a local part without an `@`.
    local_until: usize,
    /// No `@` stands between the place of the last look and here.
    no_sign_before: usize,
    /// The last find ended here.
    found_end: usize,
}

impl pointsman_guard::Memo for Memo {
    fn shift(&mut self, bytes: usize) {
        self.no_email_before = self.no_email_before.saturating_sub(bytes);
        self.local_until = self.local_until.saturating_sub(bytes);
        self.no_sign_before = self.no_sign_before.saturating_sub(bytes);
        self.found_end = self.found_end.saturating_sub(bytes);
    }

    fn forget_ahead(&mut self) {
        *self = Self {
            found_end: self.found_end,
            ..Self::default()
        };
    }
}

/// How much of `text` from `at` continues a find whose bound ended it: more of a domain name.
pub(crate) fn tail(text: &str, at: usize, complete: bool) -> Tail {
    let rest = &text[at..];
    let end = rest
        .char_indices()
        .find(|&(_, character)| !email::in_domain(character));
    Tail {
        bytes: end.map_or(rest.len(), |(end, _)| end),
        ended: end.is_some() || complete,
    }
}

impl Scanner {
    /// Looks for the kinds whose act is not off; acts by `Kind::index`.
    #[must_use]
    pub fn new(acts: [Act; 6]) -> Self {
        Self {
            wanted: acts.map(|act| act != Act::Off),
        }
    }

    const fn wants(&self, kind: Kind) -> bool {
        self.wanted[kind.index()]
    }

    const fn wants_numbers(&self) -> bool {
        self.wants(Kind::Phone)
            || self.wants(Kind::Card)
            || self.wants(Kind::Ip)
            || self.wants(Kind::UsSsn)
    }

    /// Decides about the text at `at`; `complete` says that nothing follows `text`.
    #[must_use]
    pub fn step(&self, text: &str, at: usize, complete: bool, memo: &mut Memo) -> Step {
        let begins = self.skip(text, at, complete, memo);
        if begins > at {
            return Step::Clean(begins - at);
        }
        self.decide(text, at, complete, memo)
    }

    fn decide(&self, text: &str, at: usize, complete: bool, memo: &mut Memo) -> Step {
        // The window makes the bound hold by construction: what lies beyond it cannot change a decision.
        let edge = at + HOLD_BYTES;
        let beyond = text.len() > edge;
        let text = if beyond {
            &text[..pointsman_sdk::border_below(text, edge)]
        } else {
            text
        };
        let page = Page {
            text,
            bytes: text.as_bytes(),
            complete: complete || beyond,
            clear_from: memo.found_end,
        };
        let seen = match page.bytes[at] {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(page, at, memo),
            0x80.. => self.email(page, at, memo),
            b'+' | b'(' if self.wants_numbers() => number::see(self, page, at),
            b':' if self.wants(Kind::Ip) => ip::see_v6(page, at),
            _ => Seen::Nothing,
        };
        let step = seen
            .step()
            .unwrap_or_else(|| Step::Clean(next_border(text, at) - at));
        if let Step::Found { bytes, .. } = step {
            memo.found_end = at + bytes;
        }
        step
    }

    fn email(&self, page: Page<'_>, at: usize, memo: &mut Memo) -> Seen {
        if self.wants(Kind::Email) && at >= memo.no_email_before {
            email::see(page, at, memo)
        } else {
            Seen::Nothing
        }
    }

    fn word(&self, page: Page<'_>, at: usize, memo: &mut Memo) -> Seen {
        let first = page.bytes[at];
        let before = page.before(at);
        let inside = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let begins_digits = first.is_ascii_digit() && !before.is_some_and(|b| b.is_ascii_digit());
        let mut verdict = Verdict::default();
        verdict.hear(self.email(page, at, memo));
        if verdict.asks() && !inside && self.wants(Kind::Ip) && ip::may_begin_v6(page, at) {
            verdict.hear(ip::see_v6(page, at));
        }
        if verdict.asks() && !inside && self.wants(Kind::Iban) && first.is_ascii_alphabetic() {
            verdict.hear(iban::see(page, at));
        }
        if verdict.asks() && begins_digits && self.wants_numbers() {
            verdict.hear(number::see(self, page, at));
        }
        verdict.0
    }
}

fn next_border(text: &str, at: usize) -> usize {
    pointsman_sdk::border_above(text, at + 1)
}

#[cfg(test)]
mod tests;
