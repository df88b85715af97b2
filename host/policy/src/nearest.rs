//! "Did you mean …": the closest of some known words. Knows nothing of what the words mean.

/// Characters of a word that are compared; longer words are close to nothing.
const WORD_CHARS_MAX: usize = 64;

/// The known word closest to `word`, if one is close enough to be a slip of the finger.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = folded(word)?;
    let allowed = (word.len() / 3).max(1);
    known
        .into_iter()
        .filter_map(|candidate| Some((distance(&word, &folded(candidate)?), candidate)))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The same as help for people: ``did you mean `x`?``.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// The known words in order, or how many there are where listing them would bury the message.
pub(crate) fn listed<'a>(known: impl IntoIterator<Item = &'a str>, max: usize) -> Option<String> {
    let known: Vec<_> = known.into_iter().collect();
    (!known.is_empty() && known.len() <= max).then(|| known.join(", "))
}

/// Case and `_` against `-` are no difference that a person means.
fn folded(word: &str) -> Option<Vec<char>> {
    let folded: Vec<char> = word
        .chars()
        .take(WORD_CHARS_MAX + 1)
        .map(|c| {
            if c == '_' {
                '-'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    (folded.len() <= WORD_CHARS_MAX).then_some(folded)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(from != to))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                best = best.min(before_last[j - 1] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[track_caller]
    fn check(word: &str, known: &[&str], wanted: Option<&str>) {
        assert_eq!(nearest(word, known.iter().copied()), wanted);
    }

    #[test]
    fn slips_find_their_word() {
        check("endpont", &["endpoint", "model"], Some("endpoint"));
        check(
            "context_tokens",
            &["context-tokens"],
            Some("context-tokens"),
        );
        check("ulr", &["url", "uri"], Some("url"));
        check("Mask", &["mask", "deny"], Some("mask"));
    }

    #[test]
    fn strangers_find_nothing() {
        check("banana", &["endpoint", "model"], None);
        check("", &["ab"], None);
        check(&"x".repeat(1000), &["endpoint"], None);
    }
}
