//! Masks what may be a secret before a document's text is kept for error messages.
//!
//! Whoever writes a plain key where a `secret://` reference belongs is told so, and must not find the key in a log.

/// Keys whose values are references to secrets.
const SECRET_KEYS: [&str; 3] = ["value", "token", "pepper"];
const REFERENCE: &str = "secret://";

/// The same text, of the same length, with the values of `SECRET_KEYS` masked unless they are references.
pub(super) fn conceal(text: &str) -> String {
    let mut masked = text.as_bytes().to_vec();
    for key in SECRET_KEYS {
        for (at, _) in text.match_indices(key) {
            let before = text[..at].chars().next_back();
            let inside_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
            if before.is_some_and(inside_word) {
                continue;
            }
            if let Some(start) = value_start(text, at + key.len()) {
                for byte in &mut masked[start..value_end(text, start)] {
                    if *byte != b'\n' {
                        *byte = b'*';
                    }
                }
            }
        }
    }
    String::from_utf8(masked).unwrap_or_default()
}

/// Where the value of a key ends in `after`, if an `=` or `:` follows and the value is no reference.
fn value_start(text: &str, after: usize) -> Option<usize> {
    let blank = [' ', '\t'];
    let rest = text[after..]
        .trim_start_matches(['"', '\''])
        .trim_start_matches(blank);
    let rest = rest.strip_prefix(['=', ':'])?.trim_start_matches(blank);
    (!rest.trim_start_matches(['"', '\'']).starts_with(REFERENCE)).then(|| text.len() - rest.len())
}

/// The end of the line; of the string where it has several lines.
fn value_end(text: &str, start: usize) -> usize {
    let rest = &text[start..];
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inside) = rest.strip_prefix(quotes) {
            return inside
                .find(quotes)
                .map_or(text.len(), |at| start + quotes.len() + at);
        }
    }
    rest.find('\n').map_or(text.len(), |at| start + at)
}

#[cfg(test)]
mod tests {
    use super::conceal;

    #[test]
    fn plain_secrets_are_masked_and_references_are_not() {
        let text = "token = \"sk-1\"\nvalue=sk-2 # x\npepper = 'secret://env/P'\n[[credential]]\nvalues = 3\n";
        let masked = conceal(text);
        assert_eq!(masked.len(), text.len());
        assert!(!masked.contains("sk-"), "{masked}");
        assert!(masked.contains("secret://env/P") && masked.contains("values = 3"));
    }

    #[test]
    fn inline_tables_and_long_strings_are_masked_too() {
        let masked = conceal(
            "credential = [{ name = 'a', value = 'sk-1' }]\ntoken = \"\"\"\nsk-2\nsk-3\"\"\"\nx = 1\n",
        );
        assert!(!masked.contains("sk-"), "{masked}");
        assert!(masked.contains("x = 1") && masked.contains("name = 'a'"));
    }
}
