//! What a caller's headers say of a change: under which condition (RFC 9110, section 13), and under which idempotency
//! key. What cannot be read is refused, never ignored: it stood for a protection.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName};

use crate::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::plane::Condition;
use crate::problem::Problem;

/// Makes a change happen once, however often it is sent.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The condition of a request for a thing that has entity tags.
pub(crate) fn condition(headers: &HeaderMap) -> Result<Option<Condition>, Problem> {
    match (list(headers, &IF_MATCH), list(headers, &IF_NONE_MATCH)) {
        (None, None) => Ok(None),
        (Some(text), None) if text.trim_ascii() == b"*" => Ok(Some(Condition::Exists)),
        (Some(text), None) => Ok(Some(Condition::Tag(tags(&text).ok_or_else(garbled)?))),
        (None, Some(text)) if text.trim_ascii() == b"*" => Ok(Some(Condition::Absent)),
        (_, Some(_)) => Err(Problem::bad_header(
            "If-None-Match takes `*` alone here, and not beside If-Match",
            "send `If-None-Match: *` to make what is not there, or If-Match with the entity tag to change what is",
        )),
    }
}

/// Refuses conditions on things without entity tags.
pub(crate) fn no_condition(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH) {
        return Err(Problem::bad_header(
            "what this changes has no entity tag",
            "leave If-Match and If-None-Match out; Idempotency-Key keeps a repeated request from doing it twice",
        ));
    }
    Ok(())
}

/// The caller's idempotency key.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (first, more) = (values.next(), values.next());
    let Some(value) = first else { return Ok(None) };
    let bytes = value.as_bytes();
    let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_graphic)
        && more.is_none();
    match std::str::from_utf8(bytes) {
        Ok(key) if fits => Ok(Some(key.to_owned())),
        _ => Err(Problem::bad_header(
            "Idempotency-Key cannot be read",
            format!(
                "send one, of 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters, such as a UUID"
            ),
        )),
    }
}

/// All values of a list header as one.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect();
    (!values.is_empty()).then(|| values.join(&b','))
}

/// The strong tags of a list; none where it is no list of entity tags. Weak ones match nothing (section 13.1.1).
fn tags(text: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut seen = 0_u32;
    let mut rest = text;
    loop {
        rest = skip(rest, |byte| matches!(byte, b' ' | b'\t' | b','));
        if rest.is_empty() {
            return (seen > 0).then_some(found);
        }
        let (weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let inside = quoted.strip_prefix(b"\"")?;
        let end = inside
            .iter()
            .position(|byte| !matches!(byte, 0x21 | 0x23..=0x7e | 0x80..))?;
        let after = inside[end..].strip_prefix(b"\"")?;
        let after = skip(after, |byte| matches!(byte, b' ' | b'\t'));
        if !after.is_empty() && !after.starts_with(b",") {
            return None;
        }
        if !weak {
            found.push(String::from_utf8_lossy(&inside[..end]).into_owned());
        }
        seen += 1;
        rest = after;
    }
}

fn skip(bytes: &[u8], over: impl Fn(&u8) -> bool) -> &[u8] {
    let kept = bytes.iter().position(|byte| !over(byte));
    &bytes[kept.unwrap_or(bytes.len())..]
}

fn garbled() -> Problem {
    Problem::bad_header(
        "If-Match is no list of entity tags",
        "send the value of an answer's header ETag as it is, quotes included: If-Match: \"7\"",
    )
}

#[cfg(test)]
mod tests {
    use super::tags;

    #[test]
    fn entity_tags_are_read_as_rfc_9110_writes_them() {
        for (text, wanted) in [
            (r#""7""#, Some(vec!["7"])),
            (r#"  "7" , "8""#, Some(vec!["7", "8"])),
            (r#""a,b""#, Some(vec!["a,b"])),
            (r#""""#, Some(vec![""])),
            (r#",, "7",,"#, Some(vec!["7"])),
            (r#"W/"7""#, Some(vec![])),
            (r#"W/"7", "8""#, Some(vec!["8"])),
            ("", None),
            (",", None),
            ("7", None),
            ("*", None),
            (r#""7"#, None),
            (r#""7" "8""#, None),
            (r#""7", *"#, None),
            (r#"w/"7""#, None),
            ("\"a b\"", None),
        ] {
            let found = tags(text.as_bytes());
            let wanted = wanted
                .map(|tags: Vec<&str>| tags.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(found, wanted, "{text}");
        }
    }
}
