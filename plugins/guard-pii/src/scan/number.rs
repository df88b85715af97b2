//! Runs of digit groups, which cards, phones, IPv4 addresses and social security numbers are made of.
//!
//! A run is read once and shown to each detector in order of how sure it can be: address form, checksum, fixed
//! groups, and phones last, because anything of that length may be one.

use super::{Ahead, Page, Scanner, Seen, card, ip, phone, ssn};
use crate::kind::Kind;

/// A group with more digits than this is part of nothing.
const GROUP_DIGITS_MAX: usize = 19;
const GROUPS_MAX: usize = 20;
/// A run is cut here; the longest find, a card of 19 single digits, takes 73 bytes with the widest spaces.
const RUN_BYTES_MAX: usize = 100;
/// What a detector reads after the run: a phone's extension, then a word such as `office`.
const AFTER_BYTES_MAX: usize = 40;
/// Bound of everything here.
pub(super) const BYTES_MAX: usize = RUN_BYTES_MAX + GROUP_DIGITS_MAX + AFTER_BYTES_MAX;
/// From so many digits on, what may become a card is not released in doubt.
const TELLING_CARD_DIGITS: usize = 9;

/// What stands between two groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// A space, also a no-break one.
    Space,
    /// A hyphen or dash.
    Dash,
    /// A full stop.
    Dot,
    /// A slash.
    Slash,
    /// An opening bracket, with or without a separator before it.
    Open,
    /// A closing bracket, with or without a separator after it.
    Close,
    /// Nothing that belongs to the run.
    Nothing,
}

/// Digit groups with one gap between each.
pub(super) struct Run<'a> {
    page: Page<'a>,
    /// Where it begins, its `+` or bracket included.
    pub(super) begin: usize,
    groups: [(usize, usize); GROUPS_MAX],
    gaps: [Gap; GROUPS_MAX],
    /// How many digits lie before each group, and at last before the end.
    totals: [usize; GROUPS_MAX + 1],
    /// How many groups.
    pub(super) count: usize,
    /// It begins with a plus sign.
    pub(super) plus: bool,
    /// It begins with a bracket.
    pub(super) paren: bool,
    /// A letter, digit, underscore or currency sign stands right before it.
    pub(super) glued: bool,
    /// A digit and this one separator stand before it: it goes on from another number.
    pub(super) joined: Option<Gap>,
    /// What follows is known not to belong to it.
    pub(super) ended: bool,
}

impl<'a> Run<'a> {
    /// The run that begins at `at`; `Err(true)` where that cannot be known yet, `Err(false)` where none does.
    fn read(page: Page<'a>, at: usize) -> Result<Self, bool> {
        let mut run = Self {
            page,
            begin: at,
            groups: [(0, 0); GROUPS_MAX],
            gaps: [Gap::Nothing; GROUPS_MAX],
            totals: [0; GROUPS_MAX + 1],
            count: 0,
            plus: page.bytes[at] == b'+',
            paren: page.bytes[at] == b'(',
            glued: is_glued(page, at),
            joined: joined(page, at),
            ended: true,
        };
        let mut place = at;
        if run.plus {
            place += 1;
        }
        if page.bytes.get(place) == Some(&b'(') {
            run.paren = true;
            place += 1;
        }
        match page.ahead(place) {
            Ahead::Byte(byte) if byte.is_ascii_digit() => {}
            Ahead::Unknown => return Err(true),
            Ahead::Byte(_) | Ahead::End => return Err(false),
        }
        // No find has more digits than the longest group, so a row of numbers is not read to its end.
        while run.count < GROUPS_MAX
            && run.total(run.count) <= GROUP_DIGITS_MAX
            && place - at < RUN_BYTES_MAX
        {
            let digits = page.bytes[place..]
                .iter()
                .take(GROUP_DIGITS_MAX + 1)
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            if digits > GROUP_DIGITS_MAX {
                return if run.count == 0 { Err(false) } else { Ok(run) };
            }
            let end = place + digits;
            run.groups[run.count] = (place, end);
            run.totals[run.count + 1] = run.totals[run.count] + digits;
            run.count += 1;
            match gap(page, end) {
                Read::Gap(gap, next) => {
                    run.gaps[run.count - 1] = gap;
                    place = next;
                }
                Read::Nothing => return Ok(run),
                Read::Unknown => {
                    run.ended = false;
                    return Ok(run);
                }
            }
        }
        Ok(run)
    }

    /// The digits of a group.
    pub(super) fn digits(&self, group: usize) -> &'a [u8] {
        let (start, end) = self.groups[group];
        &self.page.bytes[start..end]
    }

    /// How many digits a group has.
    pub(super) const fn size(&self, group: usize) -> usize {
        let (start, end) = self.groups[group];
        end - start
    }

    /// How many digits the first `count` groups have.
    pub(super) const fn total(&self, count: usize) -> usize {
        self.totals[count]
    }

    /// What follows a group.
    pub(super) const fn gap_after(&self, group: usize) -> Gap {
        self.gaps[group]
    }

    /// Where a group ends.
    pub(super) const fn end_of(&self, group: usize) -> usize {
        self.groups[group].1
    }
}

/// What the run at `at` is.
pub(super) fn see(scanner: &Scanner, page: Page<'_>, at: usize) -> Seen {
    // A lone digit within a row of numbers begins nothing, unless an address.
    if let [b'0'..=b'9', next, ..] = &page.bytes[at..]
        && !next.is_ascii_digit()
        && *next != b'.'
        && joined(page, at) == Some(Gap::Space)
    {
        return Seen::Nothing;
    }
    let run = match Run::read(page, at) {
        Ok(run) => run,
        Err(true) => return Seen::More(None),
        Err(false) => return Seen::Nothing,
    };
    if run.ended {
        return detect(scanner, page, &run);
    }
    // The digits may go on. What it would be if they did not, or is about to be, is not to be told in doubt.
    let ending = Page {
        complete: true,
        ..page
    };
    let looks_like = match detect(scanner, ending, &run) {
        Seen::Found(kind, _) => Some(kind),
        Seen::Nothing | Seen::Overlong(..) | Seen::More(_) => begins_like(scanner, &run),
    };
    Seen::More(looks_like)
}

fn detect(scanner: &Scanner, page: Page<'_>, run: &Run<'_>) -> Seen {
    let begin = run.begin;
    if scanner.wants(Kind::Ip)
        && let Some(end) = ip::v4_end(page, run)
    {
        return Seen::Found(Kind::Ip, end - begin);
    }
    if scanner.wants(Kind::Card)
        && let Some(count) = card::groups(page, run)
    {
        return Seen::Found(Kind::Card, run.end_of(count - 1) - begin);
    }
    if scanner.wants(Kind::UsSsn)
        && let Some(count) = ssn::groups(page, run)
    {
        return Seen::Found(Kind::UsSsn, run.end_of(count - 1) - begin);
    }
    if scanner.wants(Kind::Phone) {
        return phone::see(page, run);
    }
    Seen::Nothing
}

/// What an unfinished run is about to be.
fn begins_like(scanner: &Scanner, run: &Run<'_>) -> Option<Kind> {
    let total = run.total(run.count);
    if scanner.wants(Kind::Card) && total >= TELLING_CARD_DIGITS && card::may_begin(run) {
        Some(Kind::Card)
    } else if scanner.wants(Kind::Ip) && ip::begins_v4(run) {
        Some(Kind::Ip)
    } else if scanner.wants(Kind::UsSsn) && ssn::begins(run) {
        Some(Kind::UsSsn)
    } else if scanner.wants(Kind::Phone) && run.plus && total >= phone::DIGITS_MIN {
        Some(Kind::Phone)
    } else {
        None
    }
}

enum Read {
    Gap(Gap, usize),
    Nothing,
    Unknown,
}

/// One gap and the digit after it.
fn gap(page: Page<'_>, at: usize) -> Read {
    // The usual ones.
    if let [separator @ (b' ' | b'-' | b'.'), b'0'..=b'9', ..] = &page.bytes[at..] {
        let gap = match separator {
            b' ' => Gap::Space,
            b'-' => Gap::Dash,
            _ => Gap::Dot,
        };
        return Read::Gap(gap, at + 1);
    }
    let mut place = at;
    let mut gap = Gap::Nothing;
    let mut separators = 0;
    loop {
        match page.ahead(place) {
            Ahead::End => return Read::Nothing,
            Ahead::Unknown => return Read::Unknown,
            Ahead::Byte(byte) if byte.is_ascii_digit() => {
                return if gap == Gap::Nothing {
                    Read::Nothing
                } else {
                    Read::Gap(gap, place)
                };
            }
            Ahead::Byte(b'(') if matches!(gap, Gap::Nothing | Gap::Space | Gap::Dash) => {
                gap = Gap::Open;
                place += 1;
                // Only a digit may follow an opening bracket.
                separators = 1;
            }
            Ahead::Byte(b')') if gap == Gap::Nothing => {
                gap = Gap::Close;
                place += 1;
            }
            Ahead::Byte(_) if separators == 0 => {
                let Some((separator, bytes)) = separator(&page.text[place..]) else {
                    return Read::Nothing;
                };
                if gap == Gap::Nothing {
                    gap = separator;
                }
                separators = 1;
                place += bytes;
            }
            Ahead::Byte(_) => return Read::Nothing,
        }
    }
}

fn separator(rest: &str) -> Option<(Gap, usize)> {
    let first = rest.chars().next()?;
    let gap = match first {
        ' ' | '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' => Gap::Space,
        '-' | '\u{2010}'..='\u{2014}' | '\u{2212}' => Gap::Dash,
        '.' | '\u{b7}' => Gap::Dot,
        '/' => Gap::Slash,
        _ => return None,
    };
    Some((gap, first.len_utf8()))
}

fn is_glued(page: Page<'_>, at: usize) -> bool {
    match page.text[..at].chars().next_back() {
        Some('$' | '€' | '£' | '¥' | '₹' | '_') => true,
        Some(character) => character.is_ascii_alphanumeric(),
        None => false,
    }
}

/// Whether a digit and one separator stand before.
fn joined(page: Page<'_>, at: usize) -> Option<Gap> {
    let mut back = page.text[..at].char_indices().rev();
    let (start, _) = back.next()?;
    let (_, digit) = back.next()?;
    let (gap, _) = separator(&page.text[start..at])?;
    digit.is_ascii_digit().then_some(gap)
}
