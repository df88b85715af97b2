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
const _: () = assert!(RUN_BYTES_MAX + GROUP_DIGITS_MAX < 256);
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
    /// First byte and byte after the last, from `begin` on.
    groups: [(u8, u8); GROUPS_MAX],
    gaps: [Gap; GROUPS_MAX],
    /// How many digits lie before each group, and at last before the end.
    totals: [u8; GROUPS_MAX + 1],
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
    fn new(page: Page<'a>, at: usize) -> Self {
        Self {
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
        }
    }

    /// Reads what follows; without a group at last, none begins here, or none can be known to.
    fn read(&mut self) {
        let bytes = self.page.bytes;
        let mut place = self.begin + usize::from(self.plus || self.paren);
        if self.plus && bytes.get(place) == Some(&b'(') {
            self.paren = true;
            place += 1;
        }
        if let Ahead::Unknown = self.page.ahead(place) {
            self.ended = false;
        }
        // No find has more digits than the longest group, so a row of numbers is not read to its end.
        while self.count < GROUPS_MAX
            && self.total(self.count) <= GROUP_DIGITS_MAX
            && place - self.begin < RUN_BYTES_MAX
        {
            let mut end = place;
            while end - place <= GROUP_DIGITS_MAX && bytes.get(end).is_some_and(u8::is_ascii_digit)
            {
                end += 1;
            }
            let digits = end - place;
            if !(1..=GROUP_DIGITS_MAX).contains(&digits) {
                return;
            }
            self.push(place, end);
            match gap(self.page, end) {
                Read::Gap(gap, next) => {
                    self.gaps[self.count - 1] = gap;
                    place = next;
                }
                Read::Nothing => return,
                Read::Unknown => {
                    self.ended = false;
                    return;
                }
            }
        }
    }

    fn push(&mut self, start: usize, end: usize) {
        let near = |place: usize| u8::try_from(place - self.begin).unwrap_or(u8::MAX);
        self.groups[self.count] = (near(start), near(end));
        self.totals[self.count + 1] = self.totals[self.count] + near(end) - near(start);
        self.count += 1;
    }

    /// The digits of a group.
    pub(super) fn digits(&self, group: usize) -> &'a [u8] {
        let (start, end) = self.groups[group];
        &self.page.bytes[self.begin + usize::from(start)..self.begin + usize::from(end)]
    }

    /// How many digits a group has.
    pub(super) const fn size(&self, group: usize) -> usize {
        let (start, end) = self.groups[group];
        (end - start) as usize
    }

    /// How many digits the first `count` groups have.
    pub(super) const fn total(&self, count: usize) -> usize {
        self.totals[count] as usize
    }

    /// What follows a group.
    pub(super) const fn gap_after(&self, group: usize) -> Gap {
        self.gaps[group]
    }

    /// Where a group ends.
    pub(super) const fn end_of(&self, group: usize) -> usize {
        self.begin + self.groups[group].1 as usize
    }
}

/// What the run at `at` is.
pub(super) fn see(scanner: &Scanner, page: Page<'_>, at: usize) -> Seen {
    if page.bytes[at].is_ascii_digit() && is_idle(page.bytes, at, page.complete, page.clear_from) {
        return Seen::Nothing;
    }
    let mut run = Run::new(page, at);
    run.read();
    if run.count == 0 {
        return if run.ended {
            Seen::Nothing
        } else {
            Seen::More(None)
        };
    }
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

/// Whether digits at `at` are seen at once to begin nothing, whatever follows the known bytes. Most numbers are.
pub(super) fn is_idle(bytes: &[u8], at: usize, complete: bool, clear_from: usize) -> bool {
    let in_a_row =
        at >= 2 && bytes[at - 1] == b' ' && bytes[at - 2].is_ascii_digit() && at - 1 != clear_from;
    is_short(bytes, at, complete) || (in_a_row && is_idle_in_a_row(bytes, at))
}

/// Fewer than six digits, or four with three dots.
fn is_short(bytes: &[u8], at: usize, complete: bool) -> bool {
    let (mut digits, mut dots) = (0, 0);
    let mut place = at;
    while let Some(&byte) = bytes.get(place) {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' => dots += 1,
            b' ' | b'-' | b'/' | b'(' | b')' => {}
            // The dashes and spaces that are not ASCII.
            0x80.. => return false,
            _ => return true,
        }
        if digits >= 6 || dots >= 3 {
            return false;
        }
        place += 1;
    }
    complete
}

/// A number within a row of numbers begins nothing but an address or number with dots, the groups of a card (four
/// digits and more), a social security number (3, 2, 4) or a North American phone (3, 3, 4).
fn is_idle_in_a_row(bytes: &[u8], at: usize) -> bool {
    let group = |from: usize| {
        let mut end = from;
        while end - from < 5 && bytes.get(end).is_some_and(u8::is_ascii_digit) {
            end += 1;
        }
        end
    };
    let first = group(at);
    match (first - at, bytes.get(first)) {
        // Not known yet, or dotted.
        (_, None | Some(b'.')) => false,
        (1 | 2, Some(_)) => true,
        (3, Some(b' ' | b'-')) => {
            let second = group(first + 1);
            let third = group(second + 1);
            let sizes = (second - first - 1, third.saturating_sub(second + 1));
            third < bytes.len() && !matches!(sizes, (2 | 3, 4))
        }
        _ => false,
    }
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
    match page.before(at) {
        Some(0x80..) => matches!(
            page.text[..at].chars().next_back(),
            Some('€' | '£' | '¥' | '₹')
        ),
        Some(byte) => byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'_'),
        None => false,
    }
}

/// Whether a digit and one separator stand before, and are not the end of a find.
fn joined(page: Page<'_>, at: usize) -> Option<Gap> {
    let before = &page.bytes[..at];
    let gap = match before {
        [.., b'0'..=b'9', b' '] => Gap::Space,
        [.., b'0'..=b'9', b'-'] => Gap::Dash,
        [.., b'0'..=b'9', b'.'] => Gap::Dot,
        [.., 0x80..=0xff] => {
            let (start, _) = page.text[..at].char_indices().next_back()?;
            let (gap, _) = separator(&page.text[start..at])?;
            let digit = page.before(start).is_some_and(|byte| byte.is_ascii_digit());
            return (digit && start != page.clear_from).then_some(gap);
        }
        [.., b'0'..=b'9', b'/'] => Gap::Slash,
        _ => return None,
    };
    (at - 1 != page.clear_from).then_some(gap)
}
