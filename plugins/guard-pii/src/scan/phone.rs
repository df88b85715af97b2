//! Telephone numbers: international ones by their form, national ones by form or by what is said around them.
//!
//! Without a plus sign nothing but habit tells a phone from an order number, so form alone counts only where it is
//! a phone's own (`(020) 7946 0018`, `201-555-0123`, `01 42 68 53 00`); else a word must say so, and a word that
//! says otherwise (`order`, `version`) counts against it.

use super::context::{self, Context};
use super::number::{Gap, Run};
use super::{Page, Seen};
use crate::kind::Kind;

/// The fewest digits of one.
pub(super) const DIGITS_MIN: usize = 6;
/// E.164.
const DIGITS_MAX: usize = 15;
/// With `001` in front.
const PREFIXED_DIGITS_MAX: usize = 17;
/// Digits of an extension.
const EXTENSION_DIGITS_MAX: usize = 6;

/// A phone at the run's beginning.
pub(super) fn see(page: Page<'_>, run: &Run<'_>) -> Seen {
    // `3-555` goes on from another number, `3 555-0123` need not.
    let separate = matches!(run.joined, None | Some(Gap::Space));
    if run.glued || !separate || run.total(run.count) < DIGITS_MIN || is_date(run) {
        return Seen::Nothing;
    }
    // Of a row of numbers only what is a phone by its form is one.
    let in_a_row = run.joined.is_some() && !run.plus && !run.paren;
    let mut context = None;
    for count in (1..=run.count).rev() {
        if in_a_row && !is_unmistakable(run, count) {
            continue;
        }
        if !is_possible(run, count) || !is_balanced(run, count) {
            continue;
        }
        let context = *context
            .get_or_insert_with(|| context::before(page.back(run.begin, super::BACK_BYTES)));
        let end = run.end_of(count - 1);
        let extension = extension(page, end);
        let Some(found) = is_phone(page, run, count, context, extension) else {
            return Seen::More(None);
        };
        if found {
            return match extension {
                Some(bytes) => Seen::Found(Kind::Phone, end + bytes - run.begin),
                None => Seen::More(Some(Kind::Phone)),
            };
        }
    }
    Seen::Nothing
}

/// Brackets opened are closed.
fn is_balanced(run: &Run<'_>, count: usize) -> bool {
    let mut open = run.paren;
    for group in 0..count - 1 {
        match (run.gap_after(group), open) {
            (Gap::Open, false) => open = true,
            (Gap::Close, true) => open = false,
            (Gap::Open, true) | (Gap::Close, false) => return false,
            _ => {}
        }
    }
    !open
}

/// Whether so many groups can be one number, by length and by where it would end.
fn is_possible(run: &Run<'_>, count: usize) -> bool {
    let total = run.total(count);
    let prefixed = run.digits(0).starts_with(b"00") && !run.plus;
    let most = if prefixed {
        PREFIXED_DIGITS_MAX
    } else {
        DIGITS_MAX
    };
    if !(DIGITS_MIN..=most).contains(&total) {
        return false;
    }
    // A long enough number ends where its way of grouping does: `201-555-0123 24 hours`, `… 1155 079 2718 1156`.
    !(1..count).any(|group| {
        let digits = run.total(group);
        let restarts = run.digits(group)[0] == b'0' && (2..=4).contains(&run.size(group));
        let gap = run.gap_after(group - 1);
        let dashed = group >= 2 && matches!(run.gap_after(group - 2), Gap::Dash | Gap::Dot);
        gap == Gap::Space && ((digits >= 10 && dashed) || (digits >= 9 && restarts))
    })
}

/// Whether so many groups are a phone; none where it depends on what follows.
fn is_phone(
    page: Page<'_>,
    run: &Run<'_>,
    count: usize,
    context: Context,
    extension: Option<usize>,
) -> Option<bool> {
    if run.plus {
        return Some(is_international(run, count));
    }
    let extended = extension.is_none_or(|bytes| bytes > 0);
    match context {
        Context::Phone => return Some(true),
        Context::Contact if is_shaped(run, count) => return Some(true),
        Context::Other if is_unmistakable(run, count) => return Some(true),
        Context::Contact | Context::Silent
            if is_unmistakable(run, count)
                || is_national(run, count)
                || (extended && count >= 3) =>
        {
            return Some(true);
        }
        Context::Other | Context::Contact | Context::Silent => {}
    }
    // Only a run's end may have a word after it.
    if count < run.count || !(is_shaped(run, count) || count >= 2) {
        return Some(false);
    }
    let end = run.end_of(count - 1);
    context::after(&page.bytes[end..], page.complete)
}

/// `+`, a country code, and at least seven digits in all.
fn is_international(run: &Run<'_>, count: usize) -> bool {
    let grouped_well = (0..count - 1).all(|group| run.gap_after(group) != Gap::Slash);
    run.digits(0)[0] != b'0' && run.total(count) >= 7 && grouped_well
}

/// Seven digits or more, at most twelve in a row.
fn is_shaped(run: &Run<'_>, count: usize) -> bool {
    match count {
        1 => matches!(run.size(0), 7..=12),
        _ => run.total(count) >= 7,
    }
}

/// What is a phone's form and nothing else's.
fn is_unmistakable(run: &Run<'_>, count: usize) -> bool {
    is_north_american(run, count) || is_prefixed(run, count)
}

/// `201-555-0123`, `(201) 555-0123`, `1 201 555 0123`.
fn is_north_american(run: &Run<'_>, count: usize) -> bool {
    let first = usize::from(count == 4 && run.digits(0) == b"1");
    if count - first != 3 {
        return false;
    }
    let sizes = (run.size(first), run.size(first + 1), run.size(first + 2));
    let codes = run.digits(first)[0] >= b'2' && run.digits(first + 1)[0] >= b'2';
    let gap = run.gap_after(first);
    let last = run.gap_after(first + 1);
    let grouped = match gap {
        Gap::Close | Gap::Space => matches!(last, Gap::Dash | Gap::Space | Gap::Dot),
        Gap::Dash | Gap::Dot => gap == last,
        Gap::Slash | Gap::Open | Gap::Nothing => false,
    };
    sizes == (3, 3, 4) && codes && grouped
}

/// `001-518-640-0854`, `0049 30 123456`.
fn is_prefixed(run: &Run<'_>, count: usize) -> bool {
    let first = run.digits(0);
    let country = matches!(first, [b'0', b'0', b'1'..=b'9', ..]) && first.len() <= 5;
    country && count >= 3 && run.total(count) >= 11 && stands_alone(run, count)
}

/// `(020) 7946 0018`, `01 42 68 53 00`, `079 2718 1155`.
fn is_national(run: &Run<'_>, count: usize) -> bool {
    let total = run.total(count);
    if !stands_alone(run, count) {
        return false;
    }
    if run.paren && run.gap_after(0) == Gap::Close {
        let code = run.digits(0);
        let year = matches!(code, [b'1', b'9', _, _] | [b'2', b'0', _, _]);
        return !year && (2..=5).contains(&code.len()) && (8..=11).contains(&total) && count >= 2;
    }
    let gap = run.gap_after(0);
    let uniform = (1..count - 1).all(|group| run.gap_after(group) == gap);
    let grouped = (0..count).all(|group| (2..=4).contains(&run.size(group)));
    run.digits(0)[0] == b'0'
        && matches!(gap, Gap::Space | Gap::Dash | Gap::Dot)
        && count >= 3
        && uniform
        && grouped
        && (9..=11).contains(&total)
}

/// Not part of a longer row of groups.
fn stands_alone(run: &Run<'_>, count: usize) -> bool {
    let goes_on = count < run.count && run.gap_after(count - 1) == run.gap_after(0);
    run.joined.is_none() && !goes_on
}

/// `2020-01-31`, `31.01.2020`, with or without a time after it.
fn is_date(run: &Run<'_>) -> bool {
    if run.count < 3 || run.gap_after(0) != run.gap_after(1) {
        return false;
    }
    let number = |group: usize| {
        run.digits(group).iter().fold(0_u32, |sum, digit| {
            sum.saturating_mul(10)
                .saturating_add(u32::from(digit - b'0'))
        })
    };
    let year = |group: usize| run.size(group) == 4 && (1800..2200).contains(&number(group));
    let part = |group: usize| run.size(group) <= 2 && (1..=31).contains(&number(group));
    let dated = matches!(run.gap_after(0), Gap::Dash | Gap::Dot | Gap::Slash);
    dated && part(1) && ((year(0) && part(2)) || (part(0) && year(2)))
}

/// Bytes of ` ext. 123`, `x036` or ` #12` at `at`; none where it cannot be known yet.
fn extension(page: Page<'_>, at: usize) -> Option<usize> {
    let rest = &page.bytes[at..];
    let spaces = rest
        .iter()
        .take(2)
        .take_while(|&&byte| byte == b' ')
        .count();
    let words: &[&[u8]] = &[b"extension", b"ext.", b"ext", b"x", b"#"];
    for word in words {
        let known = rest.len().saturating_sub(spaces).min(word.len());
        if !rest[spaces..spaces + known].eq_ignore_ascii_case(&word[..known]) {
            continue;
        }
        if known < word.len() {
            if page.complete {
                continue;
            }
            return None;
        }
        let mut place = spaces + word.len();
        place += usize::from(word.len() > 1 && rest.get(place) == Some(&b' '));
        let digits = rest[place..]
            .iter()
            .take(EXTENSION_DIGITS_MAX + 1)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let end = place + digits;
        if end == rest.len() && !page.complete && digits <= EXTENSION_DIGITS_MAX {
            return None;
        }
        if (1..=EXTENSION_DIGITS_MAX).contains(&digits) {
            return Some(end);
        }
    }
    Some(0)
}
