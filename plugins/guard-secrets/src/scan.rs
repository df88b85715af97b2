//! Finds secrets from left to right, one step at a time; `pointsman_guard` makes both directions of a guard of it.
//!
//! Hand-written rather than with the regex crate: automata cannot say "undecided, and this is what it looks like so
//! far", entropy and context come on top anyway, and a component without it is several times smaller.

use pointsman_guard::{Act, Scan, Step, Tail};
use pointsman_sdk::{Reason, border_below};

use crate::class::{Class, is_word};
use crate::context::{self, BACK_BYTES, Place};
use crate::format::Formats;
use crate::pem;
use crate::seen::Seen;
use crate::settings::{Kind, Settings};

/// Bound: how far a step looks ahead, so the most that a stream holds back.
pub(crate) const HOLD_BYTES: usize = 512;

/// Finds the kinds that are not off.
#[derive(Debug)]
pub struct Scanner {
    formats: Formats,
    settings: Settings,
}

impl Scanner {
    pub(crate) const fn new(formats: Formats, settings: Settings) -> Self {
        Self { formats, settings }
    }

    fn see(&self, bytes: &[u8], at: usize, complete: bool) -> (Seen, Kind) {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        if bytes[at] == b'-' && before != Some(b'-') && self.wants(Kind::PrivateKey) {
            let seen = pem::see(bytes, at, complete);
            if seen != Seen::Nothing {
                return (seen, Kind::PrivateKey);
            }
        }
        if before.is_some_and(is_word) || !begins(bytes[at]) {
            return (Seen::Nothing, Kind::Key);
        }
        let key = if self.wants(Kind::Key) {
            self.formats.see(bytes, at, complete)
        } else {
            Seen::Nothing
        };
        if matches!(key, Seen::Found { .. }) {
            return (key, Kind::Key);
        }
        let (value, place) = context::see(bytes, at, complete);
        let kind = match place {
            Place::Assigned => Kind::Assigned,
            Place::Url | Place::User | Place::Scheme => Kind::Login,
        };
        match (key, value) {
            (_, Seen::Nothing) => (key, Kind::Key),
            (_, value) if !self.wants(kind) => (
                if matches!(value, Seen::More { .. }) {
                    key
                } else {
                    Seen::Nothing
                },
                Kind::Key,
            ),
            (Seen::More { tells: true }, Seen::Found { .. } | Seen::More { .. }) => {
                (key, Kind::Key)
            }
            // Which of the two it is, is not known yet.
            (Seen::More { .. }, Seen::Found { .. }) => (Seen::More { tells: true }, kind),
            (_, value) => (value, kind),
        }
    }

    fn wants(&self, kind: Kind) -> bool {
        self.settings.act(kind as usize) != Act::Off
    }

    fn is_allowed(&self, find: &str) -> bool {
        self.settings
            .allowed()
            .iter()
            .any(|allowed| allowed == find)
    }
}

/// Whether a secret may begin with this byte.
const fn begins(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'.' | b'~' | b'-' | b'+' | b'/')
}

/// The next place where something may begin.
fn next(bytes: &[u8], at: usize) -> usize {
    let mut place = at;
    if is_word(bytes[place]) {
        while place < bytes.len() && is_word(bytes[place]) {
            place += 1;
        }
    } else {
        place += 1;
    }
    while place < bytes.len() && !begins(bytes[place]) {
        place += 1;
    }
    place
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
        // The window makes the bounds hold by construction: what lies beyond it cannot change a decision.
        let edge = at + HOLD_BYTES;
        let beyond = text.len() > edge;
        let end = if beyond {
            border_below(text, edge)
        } else {
            text.len()
        };
        let start = at.saturating_sub(BACK_BYTES);
        let bytes = &text.as_bytes()[start..end];
        let place = at - start;
        let (seen, kind) = self.see(bytes, place, complete || beyond);
        match seen {
            Seen::Nothing => Step::Clean(next(bytes, place) - place),
            Seen::More { tells } => Step::Undecided {
                looks_like: tells.then_some(kind as usize),
            },
            Seen::Found { bytes, .. } if self.is_allowed(&text[at..at + bytes]) => {
                Step::Clean(bytes)
            }
            Seen::Found { bytes, goes_on } => Step::Found {
                kind: kind as usize,
                bytes,
                goes_on,
            },
        }
    }

    fn tail(&self, kind: usize, text: &str, at: usize, complete: bool) -> Tail {
        let rest = &text.as_bytes()[at..];
        if kind == Kind::PrivateKey as usize {
            return pem::tail(rest, complete);
        }
        let bytes = Class::VALUE.run(rest, usize::MAX);
        Tail {
            bytes,
            ended: bytes < rest.len() || complete,
        }
    }

    fn topic(&self) -> &'static str {
        "secrets"
    }

    fn kinds(&self) -> usize {
        Kind::ALL.len()
    }

    fn name(&self, kind: usize) -> &str {
        Kind::ALL[kind].name()
    }

    fn act(&self, kind: usize) -> Act {
        self.settings.act(kind)
    }

    fn placeholder(&self, kind: usize) -> &str {
        self.settings.placeholder(kind)
    }

    fn reason(&self, kind: usize, carrier: &str) -> Reason {
        let phrase = Kind::ALL[kind].phrase();
        Reason::new(self.code(kind), format!("the {carrier} holds {phrase}"))
    }
}
