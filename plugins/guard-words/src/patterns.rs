//! Regular expressions as one table: after each byte it says whether any of them may still match, which a stream has
//! to know. Of a place the longest match counts.

use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

use crate::found::Found;

/// Bytes of the finished table, and of the work of building it.
const TABLE_BYTES_MAX: usize = 4 << 20;
const BUILD_BYTES_MAX: usize = 16 << 20;

type Table = dense::DFA<Vec<u32>>;

/// Every pattern of every list.
pub(crate) struct Patterns {
    table: Table,
    /// Lists by pattern.
    lists: Vec<usize>,
    begins: [bool; 256],
}

impl Patterns {
    /// Builds the table of patterns with their lists.
    ///
    /// # Errors
    /// Why that cannot be done.
    pub(crate) fn new(patterns: &[(String, usize)]) -> Result<Self, String> {
        let texts: Vec<String> = patterns
            .iter()
            .map(|(pattern, _)| ascii_borders(pattern))
            .collect();
        for ((pattern, _), text) in patterns.iter().zip(&texts) {
            let alone = table(std::slice::from_ref(text))
                .map_err(|error| format!("pattern `{pattern}`: {error}"))?;
            if matches_nothing_at_all(&alone) {
                return Err(format!(
                    "pattern `{pattern}`: matches the empty text, so it would match everywhere"
                ));
            }
        }
        let table = table(&texts).map_err(|error| format!("patterns: {error}"))?;
        let mut begins = [false; 256];
        for before in [None, Some(b'a'), Some(b' '), Some(b'\n')] {
            let Some(state) = begin(&table, before) else {
                continue;
            };
            for (byte, begins) in (0_u8..=255).zip(&mut begins) {
                *begins |= !table.is_dead_state(table.next_state(state, byte));
            }
        }
        Ok(Self {
            table,
            lists: patterns.iter().map(|(_, list)| *list).collect(),
            begins,
        })
    }

    /// Whether a match may begin with this byte.
    pub(crate) fn may_begin(&self, byte: u8) -> bool {
        self.begins[usize::from(byte)]
    }

    /// The longest match that begins at `at`; `ends`: nothing follows `text`, or what follows is beyond the bound.
    pub(crate) fn see(&self, text: &str, at: usize, complete: bool, ends: bool) -> Found {
        let bytes = text.as_bytes();
        let Some(mut state) = begin(&self.table, at.checked_sub(1).map(|before| bytes[before]))
        else {
            return Found::Nothing;
        };
        let mut found = Found::Nothing;
        for (place, &byte) in bytes.iter().enumerate().skip(at) {
            state = self.table.next_state(state, byte);
            if self.table.is_special_state(state) {
                // The table tells of a match one byte late.
                found = self.matched(state, place - at).unwrap_or(found);
                if self.table.is_dead_state(state) || self.table.is_quit_state(state) {
                    return found;
                }
            }
        }
        if complete {
            let state = self.table.next_eoi_state(state);
            self.matched(state, bytes.len() - at).unwrap_or(found)
        } else if ends {
            found
        } else {
            Found::More
        }
    }

    fn matched(&self, state: StateID, bytes: usize) -> Option<Found> {
        if bytes == 0 || !self.table.is_match_state(state) {
            return None;
        }
        let patterns = 0..self.table.match_len(state);
        let lists =
            patterns.map(|index| self.lists[self.table.match_pattern(state, index).as_usize()]);
        Some(Found::Here {
            list: lists.min()?,
            bytes,
        })
    }
}

impl std::fmt::Debug for Patterns {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.table.memory_usage();
        formatter
            .debug_struct("Patterns")
            .field("lists", &self.lists)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

fn begin(table: &Table, before: Option<u8>) -> Option<StateID> {
    let config = start::Config::new()
        .look_behind(before)
        .anchored(Anchored::Yes);
    table.start_state(&config).ok()
}

fn matches_nothing_at_all(table: &Table) -> bool {
    begin(table, None).is_some_and(|state| table.is_match_state(table.next_eoi_state(state)))
}

fn table(patterns: &[String]) -> Result<Table, String> {
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Anchored)
        .dfa_size_limit(Some(TABLE_BYTES_MAX))
        .determinize_size_limit(Some(BUILD_BYTES_MAX));
    dense::Builder::new()
        .configure(config)
        .syntax(syntax::Config::new().nest_limit(50))
        .thompson(thompson::Config::new().nfa_size_limit(Some(BUILD_BYTES_MAX)))
        .build_many(patterns)
        .map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            format!("{cause}; bound its repetitions, write classes such as [0-9], or split it")
        })
}

/// `\b` and `\B` are those of ASCII: a table cannot hold Unicode's.
fn ascii_borders(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        match characters.next() {
            Some(border @ ('b' | 'B')) => {
                text.push_str("(?-u:\\");
                text.push(border);
                text.push(')');
            }
            Some(other) => {
                text.push('\\');
                text.push(other);
            }
            None => text.push('\\'),
        }
    }
    text
}
