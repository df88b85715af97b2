//! Finds weighted phrases in lower-case text, all in one pass, at word borders where the script has them.

use aho_corasick::{AhoCorasick, MatchKind};

/// A set of phrases, each of a group.
#[derive(Debug)]
pub(crate) struct Phrases {
    automaton: AhoCorasick,
    /// By pattern.
    phrases: Vec<Phrase>,
}

/// What a phrase is a sign of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    /// A task, by its place among all.
    Task(usize),
    /// Work that takes thought.
    Thought,
    /// A condition that the answer has to meet.
    Constraint,
    /// Work that takes little.
    Little,
    /// A question for an amount.
    Amount,
    /// A number written as a word.
    Numeral,
}

#[derive(Debug)]
struct Phrase {
    group: Group,
    weight: f32,
    /// A letter may not stand before it.
    border_before: bool,
    /// A letter may not stand after it.
    border_after: bool,
}

/// A phrase that was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub(crate) group: Group,
    pub(crate) weight: f32,
    /// Its first byte.
    pub(crate) start: usize,
}

impl Phrases {
    /// From `(group, weight, phrase)`; a trailing `*` matches any ending of the word.
    pub(crate) fn new<'a>(
        phrases: impl IntoIterator<Item = (Group, f32, &'a str)>,
    ) -> Result<Self, String> {
        let mut texts = Vec::new();
        let mut made = Vec::new();
        for (group, weight, phrase) in phrases {
            let (text, open) = match phrase.strip_suffix('*') {
                Some(stem) => (stem, true),
                None => (phrase, false),
            };
            let text = text.to_lowercase();
            made.push(Phrase {
                group,
                weight,
                border_before: text.chars().next().is_some_and(has_borders),
                border_after: !open && text.chars().next_back().is_some_and(has_borders),
            });
            texts.push(text);
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&texts)
            .map_err(|error| format!("phrases: {error}"))?;
        Ok(Self {
            automaton,
            phrases: made,
        })
    }

    /// Every phrase that stands in the text, once, at its first place.
    pub(crate) fn find(&self, text: &str) -> Vec<Hit> {
        let mut seen = vec![false; self.phrases.len()];
        let mut hits = Vec::new();
        for found in self.automaton.find_overlapping_iter(text) {
            let index = found.pattern().as_usize();
            let phrase = &self.phrases[index];
            let before = text[..found.start()].chars().next_back();
            let after = text[found.end()..].chars().next();
            let inside = |border: bool, next: Option<char>| {
                border && next.is_some_and(char::is_alphanumeric)
            };
            if seen[index]
                || inside(phrase.border_before, before)
                || inside(phrase.border_after, after)
            {
                continue;
            }
            seen[index] = true;
            hits.push(Hit {
                group: phrase.group,
                weight: phrase.weight,
                start: found.start(),
            });
        }
        hits
    }
}

/// Whether words of this letter's script are set apart by spaces and carry no joined particles: Latin, Greek, Cyrillic,
/// Armenian. Others are matched anywhere.
fn has_borders(letter: char) -> bool {
    letter.is_alphanumeric() && (letter < '\u{590}' || ('\u{1e00}'..'\u{2000}').contains(&letter))
}

#[cfg(test)]
mod tests {
    use super::{Group, Phrases};

    #[track_caller]
    fn check(phrase: &str, text: &str, found: bool) {
        let phrases = Phrases::new([(Group::Thought, 1.0, phrase)]).expect("phrases");
        assert_eq!(
            phrases.find(text).len(),
            usize::from(found),
            "{phrase} in {text}"
        );
    }

    #[test]
    fn words_are_found_whole() {
        check("sum", "the sum of", true);
        check("sum", "a summary", false);
        check("sum", "consum", false);
        check("sum*", "a summary", true);
        check("Résumé", "un résumé.", true);
        check("c++", "in c++17", true);
        check("def ", "\ndef f():", true);
    }

    #[test]
    fn scripts_without_spaces_are_found_anywhere() {
        check("翻译", "请翻译这段", true);
        check("요약", "이 글을 요약해", true);
    }

    #[test]
    fn a_phrase_counts_once() {
        check("sum", "sum sum sum", true);
    }
}
