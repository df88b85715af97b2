//! Private keys between `-----BEGIN … PRIVATE KEY-----` and `-----END …-----`.

use pointsman_guard::Tail;

use crate::seen::Seen;

const BEGIN: &[u8] = b"-----BEGIN";
const END: &[u8] = b"-----END";
const DASHES: &[u8] = b"-----";
/// Between `BEGIN` and the dashes behind it.
const TITLE_BYTES_MAX: usize = 100;
/// Shorter ones are examples.
const BODY_BYTES_MIN: usize = 64;
/// Between `END` and the dashes behind it.
const END_TITLE_BYTES_MAX: usize = 100;

/// What stands at `at`, where dashes begin.
pub(crate) fn see(bytes: &[u8], at: usize, complete: bool) -> Seen {
    let rest = &bytes[at..];
    if rest.len() < BEGIN.len() {
        return undecided(BEGIN.starts_with(rest) && !complete, false);
    }
    if !rest.starts_with(BEGIN) {
        return Seen::Nothing;
    }
    let in_title = |byte: &&u8| matches!(byte, b' ' | b'_' | b'0'..=b'9' | b'A'..=b'Z');
    let after = &rest[BEGIN.len()..];
    let title = after
        .iter()
        .take(TITLE_BYTES_MAX)
        .take_while(in_title)
        .count();
    let behind = &after[title..];
    let is_private = find(&after[..title], b"PRIVATE KEY").is_some();
    if behind.len() < DASHES.len() {
        return undecided(DASHES.starts_with(behind) && !complete, is_private);
    }
    if !behind.starts_with(DASHES) || !is_private {
        return Seen::Nothing;
    }
    let head = BEGIN.len() + title + DASHES.len();
    let body = &rest[head..];
    let looked = &body[..body.len().min(BODY_BYTES_MIN + END.len())];
    if find(looked, END).is_some_and(|end| end < BODY_BYTES_MIN) {
        return Seen::Nothing;
    }
    if body.len() < BODY_BYTES_MIN + END.len() {
        return undecided(!complete, true);
    }
    Seen::Found {
        bytes: head,
        goes_on: true,
    }
}

const fn undecided(is: bool, tells: bool) -> Seen {
    if is {
        Seen::More { tells }
    } else {
        Seen::Nothing
    }
}

/// How much of `bytes` still belongs to a key. Without an end, all of it does: better too much than half a key.
pub(crate) fn tail(bytes: &[u8], complete: bool) -> Tail {
    let Some(end) = find(bytes, END) else {
        // Dashes at the end may become the end.
        let beginning = (1..END.len())
            .rev()
            .find(|count| bytes.ends_with(&END[..*count]));
        let kept = if complete { 0 } else { beginning.unwrap_or(0) };
        return Tail {
            bytes: bytes.len() - kept,
            ended: false,
        };
    };
    let after = end + END.len();
    let window = &bytes[after..bytes.len().min(after + END_TITLE_BYTES_MAX)];
    match find(window, DASHES) {
        Some(dashes) => Tail {
            bytes: after + dashes + DASHES.len(),
            ended: true,
        },
        None if complete || window.len() == END_TITLE_BYTES_MAX => Tail {
            bytes: after,
            ended: true,
        },
        None => Tail {
            bytes: end,
            ended: false,
        },
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}
