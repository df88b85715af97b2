//! International bank account numbers: a country's length and the mod-97 checksum, grouped or not.

use super::{Page, Seen};
use crate::kind::Kind;

const LENGTH_MAX: usize = 33;
/// Bound: each character may be followed by one separator of at most 3 bytes, as `\u{a0}` is 2.
pub(super) const BYTES_MAX: usize = LENGTH_MAX * 4;
/// From here on a beginning tells too much to be released.
const TELLING_LENGTH: usize = 10;

/// ISO 13616 registry: country and length.
const LENGTHS: &[([u8; 2], u8)] = &[
    (*b"AD", 24),
    (*b"AE", 23),
    (*b"AL", 28),
    (*b"AT", 20),
    (*b"AZ", 28),
    (*b"BA", 20),
    (*b"BE", 16),
    (*b"BG", 22),
    (*b"BH", 22),
    (*b"BI", 27),
    (*b"BR", 29),
    (*b"BY", 28),
    (*b"CH", 21),
    (*b"CR", 22),
    (*b"CY", 28),
    (*b"CZ", 24),
    (*b"DE", 22),
    (*b"DJ", 27),
    (*b"DK", 18),
    (*b"DO", 28),
    (*b"EE", 20),
    (*b"EG", 29),
    (*b"ES", 24),
    (*b"FI", 18),
    (*b"FK", 18),
    (*b"FO", 18),
    (*b"FR", 27),
    (*b"GB", 22),
    (*b"GE", 22),
    (*b"GI", 23),
    (*b"GL", 18),
    (*b"GR", 27),
    (*b"GT", 28),
    (*b"HN", 28),
    (*b"HR", 21),
    (*b"HU", 28),
    (*b"IE", 22),
    (*b"IL", 23),
    (*b"IQ", 23),
    (*b"IS", 26),
    (*b"IT", 27),
    (*b"JO", 30),
    (*b"KW", 30),
    (*b"KZ", 20),
    (*b"LB", 28),
    (*b"LC", 32),
    (*b"LI", 21),
    (*b"LT", 20),
    (*b"LU", 20),
    (*b"LV", 21),
    (*b"LY", 25),
    (*b"MC", 27),
    (*b"MD", 24),
    (*b"ME", 22),
    (*b"MK", 19),
    (*b"MN", 20),
    (*b"MR", 27),
    (*b"MT", 31),
    (*b"MU", 30),
    (*b"NI", 28),
    (*b"NL", 18),
    (*b"NO", 15),
    (*b"OM", 23),
    (*b"PK", 24),
    (*b"PL", 28),
    (*b"PS", 29),
    (*b"PT", 25),
    (*b"QA", 29),
    (*b"RO", 24),
    (*b"RS", 22),
    (*b"RU", 33),
    (*b"SA", 24),
    (*b"SC", 31),
    (*b"SD", 18),
    (*b"SE", 24),
    (*b"SI", 19),
    (*b"SK", 24),
    (*b"SM", 27),
    (*b"SO", 23),
    (*b"ST", 25),
    (*b"SV", 28),
    (*b"TL", 23),
    (*b"TN", 24),
    (*b"TR", 26),
    (*b"UA", 29),
    (*b"VA", 22),
    (*b"VG", 24),
    (*b"XK", 20),
    (*b"YE", 30),
];

fn length_of(country: [u8; 2]) -> Option<usize> {
    LENGTHS
        .iter()
        .find(|(known, _)| *known == country)
        .map(|&(_, length)| usize::from(length))
}

/// A number that begins at `at`, which is the beginning of a word.
pub(super) fn see(page: Page<'_>, at: usize) -> Seen {
    let mut characters = [0_u8; LENGTH_MAX];
    let mut count = 0;
    let mut length = LENGTH_MAX;
    let mut place = at;
    while count < length {
        let Some(&byte) = page.bytes.get(place) else {
            if page.complete {
                return Seen::Nothing;
            }
            return Seen::More((count >= TELLING_LENGTH).then_some(Kind::Iban));
        };
        let fits = match count {
            0 | 1 => byte.is_ascii_alphabetic(),
            2 | 3 => byte.is_ascii_digit(),
            _ => byte.is_ascii_alphanumeric(),
        };
        if fits {
            characters[count] = byte.to_ascii_uppercase();
            count += 1;
            place += 1;
            // Few words have two digits after two letters, so the table is asked only then.
            if count == 4 {
                match length_of([characters[0], characters[1]]) {
                    Some(known) => length = known,
                    None => return Seen::Nothing,
                }
            }
            continue;
        }
        // One separator between characters; none before the check digits end.
        let gap = separator(&page.text[place..]);
        let after_character = page
            .before(place)
            .is_some_and(|before| before.is_ascii_alphanumeric());
        if gap == 0 || count < 4 || !after_character {
            return Seen::Nothing;
        }
        place += gap;
    }
    match page.bytes.get(place) {
        None if !page.complete => return Seen::More(Some(Kind::Iban)),
        Some(next) if next.is_ascii_alphanumeric() => return Seen::Nothing,
        Some(_) | None => {}
    }
    if holds(&characters[..length]) {
        Seen::Found(Kind::Iban, place - at)
    } else {
        Seen::Nothing
    }
}

fn separator(rest: &str) -> usize {
    match rest.chars().next() {
        Some(' ' | '-') => 1,
        Some(space @ ('\u{a0}' | '\u{202f}')) => space.len_utf8(),
        _ => 0,
    }
}

/// ISO 7064 mod 97-10.
fn holds(characters: &[u8]) -> bool {
    let remainder =
        characters[4..]
            .iter()
            .chain(&characters[..4])
            .fold(0_u32, |remainder, &character| {
                if character.is_ascii_digit() {
                    (remainder * 10 + u32::from(character - b'0')) % 97
                } else {
                    (remainder * 100 + u32::from(character - b'A') + 10) % 97
                }
            });
    remainder == 1
}
