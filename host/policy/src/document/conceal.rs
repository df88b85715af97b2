//! Masks what may be a secret before a document's text is kept for error messages.
//!
//! Whoever writes a plain key where a `secret://` reference belongs is told so, and must not find the key in a log.

/// Keys whose values are references to secrets.
const SECRET_KEYS: [&str; 3] = ["value", "token", "pepper"];
/// A table whose values are references to secrets, whatever their keys.
const SECRET_TABLE: &str = "headers";
const REFERENCE: &str = "secret://";

/// The same text, of the same length, with the values of `SECRET_KEYS` and of `SECRET_TABLE` masked unless they are
/// references.
pub(super) fn conceal(text: &str) -> String {
    let mut masked = text.as_bytes().to_vec();
    for key in SECRET_KEYS {
        for (at, _) in text.match_indices(key) {
            let before = text[..at].chars().next_back();
            let inside_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
            if before.is_some_and(inside_word) {
                continue;
            }
            mask(text, at + key.len(), &mut masked);
        }
    }
    let (mut offset, mut inside) = (0, false);
    for line in text.split_inclusive('\n') {
        if let Some(name) = line.trim_start().strip_prefix('[') {
            inside = is_of_table(name.split(']').next().unwrap_or_default());
        } else if let Some(equals) = line.find('=')
            && (inside || is_of_table(&line[..equals]))
        {
            mask(text, offset + equals, &mut masked);
        }
        offset += line.len();
    }
    String::from_utf8(masked).unwrap_or_default()
}

/// Whether a dotted key or the name of a table leads into `SECRET_TABLE`.
fn is_of_table(key: &str) -> bool {
    let blank = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '[');
    key.split('.')
        .any(|part| part.trim_matches(blank) == SECRET_TABLE)
}

/// Masks the value that belongs to a key that ends in `after`.
fn mask(text: &str, after: usize, masked: &mut [u8]) {
    if let Some(start) = value_start(text, after) {
        for byte in &mut masked[start..value_end(text, start)] {
            if *byte != b'\n' {
                *byte = b'*';
            }
        }
    }
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
    fn headers_are_masked_whatever_they_are_called() {
        for text in [
            "[telemetry.headers]\nauthorization = \"sk-1\"\nx-key = 'sk-2'\n",
            "[ telemetry . \"headers\" ] # for it\n\"x.y\" = \"sk-1\"\n",
            "telemetry.headers.authorization = \"sk-1\"\n",
            "[telemetry]\nheaders = { authorization = \"sk-1\" }\nheaders.x = \"sk-2\"\n",
        ] {
            let masked = conceal(text);
            assert_eq!(masked.len(), text.len());
            assert!(!masked.contains("sk-"), "{masked}");
        }
        let text =
            "[telemetry.headers]\nauthorization = \"secret://env/A\"\n\n[data]\nlisten = \"x\"\n";
        assert_eq!(conceal(text), text);
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
