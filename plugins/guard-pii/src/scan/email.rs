//! E-mail addresses: `local@domain.tld`, Latin, Greek and Cyrillic letters included.
//!
//! The local part is at most 64 bytes (RFC 5321). Of a longer word in front of an `@` the last 64 bytes count, so a
//! flood of letters can neither outgrow the bound nor smuggle an address through. A domain longer than the bound
//! counts as one, with all that continues it.

use super::{Memo, Page, Seen};
use crate::kind::Kind;

pub(super) const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 186;

/// Bound: the two parts, the `@`, and one character to know that it ended.
pub(super) const BYTES_MAX: usize = LOCAL_BYTES_MAX + 1 + DOMAIN_BYTES_MAX + 4;

/// What only looks like a top-level domain: `logo@2x.png`.
const FILE_ENDINGS: &[&str] = &[
    "png", "jpg", "jpeg", "gif", "svg", "webp", "bmp", "ico", "pdf", "css", "scss", "js", "jsx",
    "ts", "tsx", "json", "yaml", "yml", "html", "htm", "txt", "csv", "xml", "gz", "tgz", "whl",
    "jar",
];

/// Letters of scripts that addresses use; others, such as Han, stand beside an address without a space.
fn is_letter(character: char) -> bool {
    character.is_ascii_alphanumeric() || (character < '\u{590}' && character.is_alphanumeric())
}

fn in_local(character: char) -> bool {
    is_letter(character) || matches!(character, '.' | '_' | '%' | '+' | '-' | '\'')
}

/// Whether a domain name goes on here.
pub(super) fn in_domain(character: char) -> bool {
    is_letter(character) || matches!(character, '.' | '-')
}

/// An address that begins at `at`.
pub(super) fn see(page: Page<'_>, at: usize, memo: &mut Memo) -> Seen {
    // Earlier steps read up to `local_until` without meeting an `@`; each byte is read once, however long the word.
    let mut end = memo.local_until.clamp(at, page.bytes.len());
    let sign = loop {
        let Some(character) = page.text[end..].chars().next() else {
            memo.local_until = end;
            if page.complete && end - at <= LOCAL_BYTES_MAX {
                memo.no_email_before = end.max(at + 1);
                return Seen::Nothing;
            }
            return if end - at > LOCAL_BYTES_MAX {
                Seen::Nothing
            } else {
                Seen::More(None)
            };
        };
        if character == '@' {
            break end;
        }
        if character.is_ascii_alphanumeric() {
            end += 1;
            if end - at <= LOCAL_BYTES_MAX {
                continue;
            }
            memo.local_until = end;
            return Seen::Nothing;
        }
        if !in_local(character) {
            memo.no_email_before = end + character.len_utf8();
            memo.local_until = 0;
            return Seen::Nothing;
        }
        end += character.len_utf8();
        if end - at > LOCAL_BYTES_MAX {
            // Too long to be a local part from here; its later letters may still be one.
            memo.local_until = end;
            return Seen::Nothing;
        }
    };
    memo.local_until = sign;
    let begins_well = page.text[at..]
        .chars()
        .next()
        .is_some_and(|first| is_letter(first) || first == '_');
    if sign == at || sign - at > LOCAL_BYTES_MAX || !begins_well {
        return Seen::Nothing;
    }
    see_domain(page, at, sign, memo)
}

fn see_domain(page: Page<'_>, at: usize, sign: usize, memo: &mut Memo) -> Seen {
    let begin = sign + 1;
    let mut end = begin;
    for character in page.text[begin..].chars() {
        if !in_domain(character) {
            break;
        }
        end += character.len_utf8();
        if end - begin > DOMAIN_BYTES_MAX {
            return Seen::Overlong(Kind::Email, end - at);
        }
    }
    if end == page.bytes.len() && !page.complete {
        return Seen::More(Some(Kind::Email));
    }
    match domain_bytes(&page.text[begin..end]) {
        // `git@host:path` names a repository, not a person.
        Some(bytes) if &page.bytes[at..sign] != b"git" => {
            Seen::Found(Kind::Email, begin + bytes - at)
        }
        _ => {
            // No letter of this local part can do better.
            memo.no_email_before = begin;
            Seen::Nothing
        }
    }
}

/// How much of a run of domain characters is a name with a plausible end: of `b.io.` it is `b.io`.
fn domain_bytes(run: &str) -> Option<usize> {
    let mut name = run.trim_end_matches(['.', '-']);
    if name.starts_with(['.', '-']) {
        return None;
    }
    // `pkg@1.2.3-beta.rc` is a version.
    let mut labels = name.split('.');
    let is_number = |label: Option<&str>| {
        label.is_some_and(|label| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    if is_number(labels.next()) && is_number(labels.next()) {
        return None;
    }
    // `b.io..c9` and `b.io.42`: the longest beginning that ends well.
    while let Some((front, last)) = name.rsplit_once('.') {
        if !front.is_empty() && !front.ends_with('.') && ends_well(last) {
            return Some(name.len());
        }
        name = front;
    }
    None
}

fn ends_well(last: &str) -> bool {
    let letters = last
        .chars()
        .all(|character| is_letter(character) && !character.is_ascii_digit());
    let international = last
        .as_bytes()
        .first_chunk::<4>()
        .is_some_and(|begin| begin.eq_ignore_ascii_case(b"xn--") && last.len() > 4);
    (international || (letters && last.chars().nth(1).is_some()))
        && !FILE_ENDINGS
            .iter()
            .any(|ending| last.eq_ignore_ascii_case(ending))
}
