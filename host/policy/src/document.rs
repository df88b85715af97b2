//! Reads TOML and JSON documents into typed values, and says what is wrong with file, line, column and help.
//!
//! Promises: an unknown key is refused with the nearest known one; no text makes it panic; what stands where a secret
//! belongs is never repeated. Refuses to know: what the documents are about.

mod conceal;
mod error;
mod place;

use serde::de::DeserializeOwned;

pub use error::DocumentError;
pub use place::place;

/// Bytes of a document.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;

/// Reads a TOML document; `name` is what errors call it.
///
/// # Errors
/// Syntax, wrong types, unknown keys: the first that is found.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, DocumentError> {
    bounded(name, text)?;
    toml::from_str(text)
        .map_err(|error| DocumentError::new(name, text, error.span(), error.message()))
}

/// Reads the same schema written as JSON.
///
/// # Errors
/// As `parse`.
pub fn parse_json<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, DocumentError> {
    bounded(name, text)?;
    serde_json::from_str(text).map_err(|error| json_error(name, text, 0, &error))
}

/// Reads one JSON value a line, skipping empty lines; gives each with its line number, from 1.
///
/// # Errors
/// As `parse`, at the line in question.
pub fn parse_lines<T: DeserializeOwned>(
    name: &str,
    text: &str,
) -> Result<Vec<(usize, T)>, DocumentError> {
    bounded(name, text)?;
    let mut values = Vec::new();
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if !line.trim().is_empty() {
            let json = line.trim_end_matches(['\n', '\r']);
            let value = serde_json::from_str(json)
                .map_err(|error| json_error(name, text, start, &error))?;
            values.push((index + 1, value));
        }
        start += line.len();
    }
    Ok(values)
}

fn bounded(name: &str, text: &str) -> Result<(), DocumentError> {
    if text.len() <= DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "{} bytes are more than a document may have ({DOCUMENT_BYTES_MAX})",
        text.len()
    );
    Err(DocumentError::new(name, "", None, &message))
}

/// `base` is the byte at which the JSON text starts within `text`.
fn json_error(name: &str, text: &str, base: usize, error: &serde_json::Error) -> DocumentError {
    let message = error.to_string();
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&suffix).unwrap_or(&message);
    if error.line() == 0 {
        return DocumentError::new(name, text, None, message);
    }
    let before: usize = text[base..]
        .split_inclusive('\n')
        .take(error.line() - 1)
        .map(str::len)
        .sum();
    let line_start = base + before;
    let line_len = text[line_start..]
        .find('\n')
        .unwrap_or(text.len() - line_start);
    // serde_json counts the bytes that it has read: the culprit ends there.
    let mut end = line_start + error.column().min(line_len);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let start = culprit(&text[line_start..end], message).map_or(end, |at| line_start + at);
    DocumentError::new(name, text, Some(start..end), message)
}

/// Where the word that the message names starts, if it stands at the end of what was read.
fn culprit(read: &str, message: &str) -> Option<usize> {
    let word = message.split('`').nth(1).filter(|word| !word.is_empty())?;
    let at = read.rfind(word)?;
    (read.len() - at <= word.len() + 2).then_some(at)
}

#[cfg(test)]
mod tests;
