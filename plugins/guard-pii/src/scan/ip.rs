//! IP addresses: valid IPv6 text, with zone; IPv4 as a run of four groups.
//!
//! Four numbers with dots are an address unless they say that they are a version (`version 1.2.3.4`, `4.5.6.7-rc1`)
//! or are part of a longer dotted number.

use std::net::Ipv6Addr;

use super::context::mentions;
use super::number::{Gap, Run};
use super::{Ahead, Page, Seen};
use crate::kind::Kind;

const V6_BYTES_MAX: usize = 48;
const ZONE_BYTES_MAX: usize = 16;
/// Bound: address, `%`, zone, prefix length, and one byte to know that it ended.
pub(super) const BYTES_MAX: usize = V6_BYTES_MAX + 1 + ZONE_BYTES_MAX + 1 + 5;

const VERSION_WORDS: &[&str] = &[
    "version", "versions", "ver$", "v$", "build", "release", "revision", "rev$", "section",
    "chapter", "firmware", "upgrade", "update",
];

/// Whether a first group and a colon stand at `at`, or may come to: most words and numbers are told from addresses
/// here.
pub(super) fn may_begin_v6(page: Page<'_>, at: usize) -> bool {
    let group = page.bytes[at..]
        .iter()
        .take(5)
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    matches!(group, 1..=4) && matches!(page.ahead(at + group), Ahead::Byte(b':') | Ahead::Unknown)
}

/// An IPv6 address that begins at `at`.
pub(super) fn see_v6(page: Page<'_>, at: usize) -> Seen {
    if let Some(before) = page.before(at)
        && (before.is_ascii_alphanumeric() || matches!(before, b':' | b'.' | b'_'))
    {
        return Seen::Nothing;
    }
    if indexes(page, at) {
        return Seen::Nothing;
    }
    let mut end = at;
    let mut colons = 0;
    loop {
        match page.ahead(end) {
            Ahead::Byte(b':') => colons += 1,
            Ahead::Byte(byte) if byte.is_ascii_hexdigit() => {}
            Ahead::Byte(b'.') if colons >= 2 => {}
            Ahead::Unknown => return Seen::More((colons >= 3).then_some(Kind::Ip)),
            Ahead::Byte(_) | Ahead::End => break,
        }
        end += 1;
        if end - at > V6_BYTES_MAX {
            return Seen::Nothing;
        }
    }
    if colons < 2 {
        return Seen::Nothing;
    }
    if let Ahead::Byte(next) = page.ahead(end)
        && (next.is_ascii_alphanumeric() || next == b'_')
    {
        return Seen::Nothing;
    }
    let mut address = page.text[at..end].trim_end_matches('.');
    if address.ends_with(':') && !address.ends_with("::") {
        address = &address[..address.len() - 1];
    }
    if !is_v6(address) {
        return Seen::Nothing;
    }
    see_zone(page, at, at + address.len())
}

/// `a[1::2]` is a slice.
fn indexes(page: Page<'_>, at: usize) -> bool {
    page.before(at) == Some(b'[')
        && page
            .before(at - 1)
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b']' | b')'))
}

fn is_v6(address: &str) -> bool {
    if address.parse::<Ipv6Addr>().is_err() {
        return false;
    }
    // Compressed ones need substance: `dead::b33f` may be an address, `add::face` is more likely a path in code.
    let digits = address.bytes().filter(u8::is_ascii_digit).count();
    let hex = address.bytes().filter(u8::is_ascii_hexdigit).count();
    digits >= 1 && (!address.contains("::") || address == "::1" || hex >= 4)
}

fn see_zone(page: Page<'_>, at: usize, end: usize) -> Seen {
    let mut zone = end;
    loop {
        match page.ahead(zone) {
            Ahead::Unknown => return Seen::More(Some(Kind::Ip)),
            Ahead::Byte(b'%') if zone == end => {}
            Ahead::Byte(byte) if zone > end && byte.is_ascii_alphanumeric() => {}
            Ahead::Byte(_) | Ahead::End => break,
        }
        zone += 1;
        if zone - end > ZONE_BYTES_MAX {
            break;
        }
    }
    let end = if zone - end >= 2 { zone } else { end };
    match prefix_length(page, end) {
        Some(bytes) => Seen::Found(Kind::Ip, end + bytes - at),
        None => Seen::More(Some(Kind::Ip)),
    }
}

/// Bytes of `/64` at `at`; none where it cannot be known yet.
fn prefix_length(page: Page<'_>, at: usize) -> Option<usize> {
    match page.ahead(at) {
        Ahead::Byte(b'/') => {}
        Ahead::Unknown => return None,
        Ahead::Byte(_) | Ahead::End => return Some(0),
    }
    let digits = page.bytes[at + 1..]
        .iter()
        .take(4)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    match page.ahead(at + 1 + digits) {
        Ahead::Unknown if digits < 4 => None,
        _ if matches!(digits, 1..=3) => Some(1 + digits),
        _ => Some(0),
    }
}

/// Where the IPv4 address that the run begins with ends, a prefix length included.
pub(super) fn v4_end(page: Page<'_>, run: &Run<'_>) -> Option<usize> {
    let octets = run.count >= 4 && (0..4).all(|group| is_octet(run.digits(group)));
    if !octets
        || (0..3).any(|group| run.gap_after(group) != Gap::Dot)
        || run.gap_after(3) == Gap::Dot
    {
        return None;
    }
    // Part of a longer dotted number, or `$1.2.3.4`.
    if run.glued || run.plus || run.paren || run.joined == Some(Gap::Dot) {
        return None;
    }
    let network = run.count > 4 && run.gap_after(3) == Gap::Slash && run.size(4) <= 2;
    let end = run.end_of(if network { 4 } else { 3 });
    let goes_on = match &page.bytes[end..] {
        [b'-', next, ..] => next.is_ascii_alphabetic(),
        [next, ..] => next.is_ascii_alphanumeric() || *next == b'_',
        [] => false,
    };
    (!goes_on && !mentions(page.back(run.begin, 24), VERSION_WORDS)).then_some(end)
}

/// Whether the run begins as an address does: three octets.
pub(super) fn begins_v4(run: &Run<'_>) -> bool {
    run.count >= 3
        && (0..2).all(|group| run.gap_after(group) == Gap::Dot)
        && (0..3).all(|group| is_octet(run.digits(group)))
}

fn is_octet(digits: &[u8]) -> bool {
    matches!(
        digits,
        [_] | [b'1'..=b'9', _] | [b'1', _, _] | [b'2', b'0'..=b'4', _] | [b'2', b'5', b'0'..=b'5']
    )
}
