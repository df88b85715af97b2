//! Which language a text is in: first its script, then, where a script serves several, frequent words, letters and
//! endings of each. ISO 639-1 codes; `und` where nothing tells.

mod profiles;
mod script;

use profiles::PROFILES;
use script::Script;

/// Words that are looked at; the first thousand tell all that the rest would.
const WORDS_MAX: usize = 1000;
/// What a letter or an ending counts, where a word that no other language has counts 1.
const HINT: f32 = 0.4;

/// A language and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Language {
    pub(crate) code: &'static str,
    pub(crate) score: f32,
}

/// One bit for each profile.
type Mask = u64;

/// All profiles, turned around: from a word, an ending or a letter to the languages that have it.
#[derive(Debug)]
pub(crate) struct Languages {
    words: Vec<(&'static str, Mask)>,
    endings: Vec<(&'static str, Mask)>,
    letters: Vec<(char, Mask)>,
}

impl Languages {
    pub(crate) fn new() -> Self {
        let split = |text: fn(&profiles::Profile) -> &'static str| {
            turn(
                PROFILES
                    .iter()
                    .map(|profile| text(profile).split_whitespace()),
            )
        };
        Self {
            words: split(|profile| profile.words),
            endings: split(|profile| profile.endings),
            letters: turn(PROFILES.iter().map(|profile| profile.letters.chars())),
        }
    }

    /// The language of the newest text, or where that says little, of what came before.
    pub(crate) fn find(&self, newest: &str, earlier: &str) -> Language {
        let found = self.of(newest);
        if found.score >= 0.5 || earlier.is_empty() {
            return found;
        }
        // What was said before is a weaker sign of what is said now.
        let before = self.of(earlier);
        if before.score * 0.8 > found.score {
            return Language {
                score: before.score * 0.8,
                ..before
            };
        }
        found
    }

    fn of(&self, text: &str) -> Language {
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

    fn evidence(&self, text: &str, script: Script) -> Vec<f32> {
        let mut evidence = vec![0.0_f32; PROFILES.len()];
        let mut add = |mask: Mask, weight: f32| {
            // What several languages share says less about each.
            let weight = weight / mask.count_ones().max(1) as f32;
            for (index, profile) in PROFILES.iter().enumerate() {
                if mask & (1 << index) != 0 && profile.script == script {
                    evidence[index] += weight;
                }
            }
        };
        let words = text
            .split(|letter: char| !script::is_letter(letter))
            .filter(|word| !word.is_empty());
        for word in words.take(WORDS_MAX) {
            if let Some(mask) = look_up(&self.words, word) {
                add(mask, 1.0);
                continue;
            }
            for letter in word.chars() {
                if let Ok(index) = self.letters.binary_search_by_key(&letter, |entry| entry.0) {
                    add(self.letters[index].1, HINT);
                }
            }
            let borders = word.char_indices().rev().skip(1).take(5);
            for (start, _) in borders.filter(|(start, _)| *start > 0) {
                if let Some(mask) = look_up(&self.endings, &word[start..]) {
                    add(mask, HINT);
                }
            }
        }
        evidence
    }
}

const UNKNOWN: Language = Language {
    code: "und",
    score: 0.0,
};

fn turn<K: Ord + Copy>(of_each: impl Iterator<Item = impl Iterator<Item = K>>) -> Vec<(K, Mask)> {
    let mut all: Vec<(K, Mask)> = of_each
        .enumerate()
        .flat_map(|(index, keys)| keys.map(move |key| (key, 1 << index)))
        .collect();
    all.sort_unstable();
    let mut turned: Vec<(K, Mask)> = Vec::with_capacity(all.len());
    for (key, mask) in all {
        match turned.last_mut() {
            Some((known, all)) if *known == key => *all |= mask,
            _ => turned.push((key, mask)),
        }
    }
    turned
}

fn look_up(table: &[(&'static str, Mask)], key: &str) -> Option<Mask> {
    let index = table.binary_search_by_key(&key, |entry| entry.0).ok()?;
    Some(table[index].1)
}

/// Prose alone: fenced code is English in every language.
fn without_code(text: &str) -> String {
    let pieces = text.split("```").step_by(2);
    pieces.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
