//! Payment card numbers: issuer prefix, length, Luhn.

use super::Page;
use super::context::mentions;
use super::number::{Gap, Run};

const DIGITS_MAX: usize = 19;
/// The fewest digits of one: some Maestro numbers, believed only where a word says so.
pub(super) const DIGITS_MIN: usize = 12;

const WORDS: &[&str] = &[
    "card",
    "credit",
    "debit",
    "cc$",
    "visa",
    "master",
    "maestro",
    "amex",
    "pan$",
    "karte",
    "carte",
    "tarjeta",
    "kreditkarte",
];

/// How many of the run's first groups are a card, the most that fit first.
pub(super) fn groups(page: Page<'_>, run: &Run<'_>) -> Option<usize> {
    // `0.4111…` is a fraction, `+41 …` a phone.
    if run.plus || run.paren || run.joined == Some(Gap::Dot) {
        return None;
    }
    let gap = if run.glued {
        // `A305 0000 …` belongs to what stands before it; digits without a gap stand for themselves.
        Gap::Nothing
    } else {
        run.gap_after(0)
    };
    let lengths = lengths(run);
    if lengths == 0 {
        return None;
    }
    let uniform = match gap {
        Gap::Space | Gap::Dash | Gap::Dot => (1..run.count)
            .take_while(|&group| run.gap_after(group - 1) == gap)
            .count(),
        _ => 0,
    };
    (1..=uniform + 1).rev().find(|&count| {
        let length = run.total(count);
        length <= DIGITS_MAX && lengths & (1 << length) != 0 && is_card(page, run, count)
    })
}

/// Whether an unfinished run has an issuer's prefix and not too many digits.
pub(super) fn may_begin(run: &Run<'_>) -> bool {
    let mut prefix = (0..run.count).flat_map(|group| run.digits(group));
    let first = prefix.next().copied().unwrap_or_default();
    let gaps = (1..run.count).all(|group| {
        let gap = run.gap_after(group - 1);
        matches!(gap, Gap::Space | Gap::Dash | Gap::Dot) && gap == run.gap_after(0)
    });
    let issuer = matches!(first, b'2'..=b'6' | b'8' | b'9') || run.digits(0).starts_with(b"1");
    !run.plus && !run.paren && issuer && gaps && run.total(run.count) <= DIGITS_MAX
}

fn is_card(page: Page<'_>, run: &Run<'_>, count: usize) -> bool {
    grouped_well(run, count)
        && luhn(
            (0..count).flat_map(|group| run.digits(group)),
            run.total(count),
        )
        && (run.total(count) > DIGITS_MIN
            || mentions(page.back(run.begin, super::BACK_BYTES), WORDS))
}

/// Groups as people write cards: of four digits and more but for the last; or every digit by itself, which only
/// somebody who evades a filter does.
fn grouped_well(run: &Run<'_>, count: usize) -> bool {
    if count == 1 {
        return true;
    }
    let single = (0..count).all(|group| run.size(group) == 1);
    let alone = single && run.ended && count == run.count && run.joined.is_none();
    alone || (0..count - 1).all(|group| run.size(group) >= 4)
}

/// Lengths of the numbers that the issuer of these first digits gives out, a bit for each; none where nobody does.
fn lengths(run: &Run<'_>) -> u32 {
    const fn from_to(least: u32, most: u32) -> u32 {
        (1 << (most + 1)) - (1 << least)
    }
    const fn only(length: u32) -> u32 {
        1 << length
    }
    let prefix = (0..run.count)
        .flat_map(|group| run.digits(group))
        .take(4)
        .fold(0_u32, |prefix, &digit| {
            prefix * 10 + u32::from(digit - b'0')
        });
    if run.total(run.count) < DIGITS_MIN {
        return 0;
    }
    match prefix {
        // UATP; JCB's old numbers.
        1000..=1999 | 2131 => only(15),
        // Mir; Mastercard's second series.
        2200..=2204 => from_to(16, 19),
        2221..=2720 => only(16),
        // Diners Club; American Express; JCB.
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => from_to(14, 19),
        3400..=3499 | 3700..=3799 => only(15),
        3500..=3599 => from_to(16, 19),
        // Visa.
        4000..=4999 => only(13) | only(16) | only(19),
        5100..=5599 => only(16),
        // Maestro, Discover, UnionPay, RuPay.
        5000..=5099 | 5600..=6999 => from_to(12, 19),
        8100..=8171 => from_to(16, 19),
        // Troy.
        9792 => only(16),
        _ => 0,
    }
}

fn luhn<'a>(digits: impl Iterator<Item = &'a u8>, length: usize) -> bool {
    let mut sum = 0;
    for (place, &digit) in digits.enumerate() {
        let digit = u32::from(digit - b'0');
        // Every second digit counted from the right.
        sum += match ((length - place) % 2, digit * 2) {
            (1, _) => digit,
            (_, doubled @ 0..=9) => doubled,
            (_, doubled) => doubled - 9,
        };
    }
    // All zeros pass Luhn and are no card.
    sum != 0 && sum.is_multiple_of(10)
}
