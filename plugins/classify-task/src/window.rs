//! The two ends of a long text: people write what they want before or after what they want it done to.

use std::borrow::Cow;

/// Bytes that are looked at from each end of a text.
const END_BYTES: usize = 3072;

/// The text, or its two ends where it is long.
pub(crate) fn ends(text: &str) -> Cow<'_, str> {
    if text.len() <= 2 * END_BYTES {
        return Cow::Borrowed(text);
    }
    let head = pointsman_sdk::border_below(text, END_BYTES);
    let tail = pointsman_sdk::border_above(text, text.len() - END_BYTES);
    Cow::Owned(format!("{}\n{}", &text[..head], &text[tail..]))
}

#[cfg(test)]
mod tests {
    use super::{END_BYTES, ends};

    #[test]
    fn a_short_text_is_whole_and_a_long_one_keeps_both_ends() {
        assert_eq!(ends("short"), "short");
        let long = format!("Summarise: {} Thanks", "é".repeat(10_000));
        let kept = ends(&long);
        assert!(kept.starts_with("Summarise: ") && kept.ends_with(" Thanks"));
        assert!(kept.len() <= 2 * END_BYTES + 1);
    }
}
