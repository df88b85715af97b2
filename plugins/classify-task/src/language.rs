//! Which language a text is in: first its script, then, where a script serves several, frequent words, letters and
//! endings of each. ISO 639-1 codes; `und` where nothing tells.

mod profiles;
mod script;
mod table;

use std::borrow::Cow;

use profiles::PROFILES;
use script::Script;
use table::{Mask, Table};

/// Words that are looked at; the rest would say the same.
const WORDS_MAX: usize = 200;
/// Characters of the longest ending.
const ENDING_CHARACTERS: usize = 5;
/// A score below this is worth a look at what came before.
const SCORE_STRONG: f32 = 0.5;
/// What a letter or an ending counts, where a word that no other language has counts 1.
const HINT: f32 = 0.4;

/// What the language of earlier messages counts.
const EARLIER_FACTOR: f32 = 0.8;

/// A language and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Language {
    pub(crate) code: &'static str,
    pub(crate) score: f32,
}

/// All profiles, turned around: from a word, an ending or a letter to the languages that have it.
#[derive(Debug)]
pub(crate) struct Languages {
    words: Table,
    endings: Table,
    letters: Vec<(char, Mask)>,
    /// The profiles of each script.
    scripts: Vec<(Script, Mask)>,
}

impl Languages {
    pub(crate) fn new() -> Self {
        let each = || (0_u32..).zip(&PROFILES);
        let words = each().flat_map(|(bit, profile)| {
            let words = profile.words.split_whitespace();
            words.map(move |word| (word, 1 << bit))
        });
        let endings = each().flat_map(|(bit, profile)| {
            let endings = profile.endings.split_whitespace();
            endings.map(move |ending| (ending, 1 << bit))
        });
        let letters = each().flat_map(|(bit, profile)| {
            profile
                .letters
                .chars()
                .map(move |letter| (letter, 1 << bit))
        });
        Self {
            words: Table::new(words),
            endings: Table::new(endings),
            letters: table::merge(letters),
            scripts: table::merge(each().map(|(bit, profile)| (profile.script, 1 << bit))),
        }
    }

    /// The language of a text in lower case.
    pub(crate) fn of(&self, text: &str) -> Language {
        let prose = without_code(text);
        let Some((script, share)) = script::of(&prose) else {
            return UNKNOWN;
        };
        if let Some(code) = script.only_language() {
            return Language {
                code,
                score: 0.95 * share,
            };
        }
        let evidence = self.evidence(&prose, script);
        let mut first = (0.0_f32, None);
        let mut second = 0.0_f32;
        for (profile, evidence) in PROFILES.iter().zip(evidence) {
            if evidence > first.0 {
                second = first.0;
                first = (evidence, Some(profile.code));
            } else if evidence > second {
                second = evidence;
            }
        }
        let (first, Some(code)) = first else {
            return script
                .likeliest_language()
                .map_or(UNKNOWN, |code| Language {
                    code,
                    score: 0.4 * share,
                });
        };
        // How far it is ahead, times how much there is to go by.
        let ahead = first / (first + second);
        Language {
            code,
            score: ahead * (first / (first + 0.75)) * share,
        }
    }

    fn evidence(&self, text: &str, script: Script) -> [f32; PROFILES.len()] {
        let mut evidence = [0.0_f32; PROFILES.len()];
        let of_script = self
            .scripts
            .iter()
            .find(|(known, _)| *known == script)
            .map_or(0, |(_, mask)| *mask);
        let mut add = |mask: Mask, weight: f32| {
            // What several languages share says less about each.
            let weight = weight / mask.count_ones().max(1) as f32;
            let mut left = mask & of_script;
            while left != 0 {
                evidence[left.trailing_zeros() as usize] += weight;
                left &= left - 1;
            }
        };
        let words = text
            .split(|letter: char| !script::is_letter(letter))
            .filter(|word| !word.is_empty());
        for word in words.take(WORDS_MAX) {
            if let Some(mask) = self.words.get(word) {
                add(mask, 1.0);
                continue;
            }
            // No letter that tells is ASCII.
            for letter in word.chars().filter(|letter| !letter.is_ascii()) {
                if let Ok(index) = self.letters.binary_search_by_key(&letter, |entry| entry.0) {
                    add(self.letters[index].1, HINT);
                }
            }
            self.endings
                .each_ending(word, ENDING_CHARACTERS, |mask| add(mask, HINT));
        }
        evidence
    }
}

impl Language {
    /// Whether what came before might say more.
    pub(crate) fn is_weak(self) -> bool {
        self.score < SCORE_STRONG
    }

    /// This, or where it says less, the language of what came before: a weaker sign of what is said now.
    pub(crate) fn or_earlier(self, earlier: Self) -> Self {
        let score = earlier.score * EARLIER_FACTOR;
        if score > self.score {
            return Self { score, ..earlier };
        }
        self
    }
}

const UNKNOWN: Language = Language {
    code: "und",
    score: 0.0,
};

/// Prose alone: fenced code is English in every language.
fn without_code(text: &str) -> Cow<'_, str> {
    if !text.as_bytes().contains(&b'`') {
        return Cow::Borrowed(text);
    }
    let pieces = text.split("```").step_by(2);
    Cow::Owned(pieces.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
