//! JSON out of an answer that is nearly JSON: fences and prose around it, commas before a closing bracket, line breaks
//! inside of strings. Nothing is added, completed or guessed.

use serde_json::Value;

/// The JSON in a text, with its value.
pub(crate) fn repaired(text: &str) -> Option<(String, Value)> {
    let begin = text.find(['{', '['])?;
    let end = end_of(&text[begin..]).map(|bytes| begin + bytes)?;
    // Of two documents none can be said to be the answer.
    if text[end..].contains(['{', '[']) {
        return None;
    }
    let found = &text[begin..end];
    if let Ok(value) = serde_json::from_str(found) {
        return Some((found.to_owned(), value));
    }
    let mended = mended(found);
    let value = serde_json::from_str(&mended).ok()?;
    Some((mended, value))
}

/// Bytes to the bracket that closes the first one.
fn end_of(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(place + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn mended(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for character in text.chars() {
        if in_string {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                '\n' => {
                    mended.push_str("\\n");
                    continue;
                }
                '\r' => {
                    mended.push_str("\\r");
                    continue;
                }
                '\t' => {
                    mended.push_str("\\t");
                    continue;
                }
                _ => {}
            }
        } else if character == '"' {
            in_string = true;
        } else if matches!(character, '}' | ']') {
            let kept = mended.trim_end();
            if kept.ends_with(',') {
                mended.truncate(kept.len() - 1);
            }
        }
        mended.push(character);
    }
    mended
}
