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
    let uniform = match gap {
        Gap::Space | Gap::Dash | Gap::Dot => (1..run.count)
            .take_while(|&group| run.gap_after(group - 1) == gap)
            .count(),
        _ => 0,
    };
    (1..=uniform + 1)
        .rev()
        .find(|&count| is_card(page, run, count))
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
    let length = run.total(count);
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&length) || !grouped_well(run, count) {
        return false;
    }
    let mut digits = [0_u8; DIGITS_MAX];
    let all = (0..count).flat_map(|group| run.digits(group));
    for (slot, digit) in digits.iter_mut().zip(all) {
        *slot = digit - b'0';
    }
    let digits = &digits[..length];
    issued(digits)
        && luhn(digits)
        && (length > DIGITS_MIN || mentions(page.back(run.begin, super::BACK_BYTES), WORDS))
}

/// Groups as people write cards: of three digits and more but for the last; or every digit by itself, which only
/// somebody who evades a filter does.
fn grouped_well(run: &Run<'_>, count: usize) -> bool {
    if count == 1 {
        return true;
    }
    let single = (0..count).all(|group| run.digits(group).len() == 1);
    let alone = single && run.ended && count == run.count && run.joined.is_none();
    alone || (0..count - 1).all(|group| run.digits(group).len() >= 3)
}

/// Issuer identification ranges with their lengths.
fn issued(digits: &[u8]) -> bool {
    let prefix = digits[..4]
        .iter()
        .fold(0_u32, |prefix, &digit| prefix * 10 + u32::from(digit));
    let length = digits.len();
    match prefix {
        // UATP; JCB's old numbers.
        1000..=1999 => length == 15,
        2131 => length == 15,
        // Mir; Mastercard's second series.
        2200..=2204 => (16..=19).contains(&length),
        2221..=2720 => length == 16,
        // Diners Club; American Express; JCB.
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&length),
        3400..=3499 | 3700..=3799 => length == 15,
        3500..=3599 => (16..=19).contains(&length),
        // Visa.
        4000..=4999 => matches!(length, 13 | 16 | 19),
        5100..=5599 => length == 16,
        // Maestro, Discover, UnionPay, RuPay.
        5000..=5099 | 5600..=5999 => (12..=19).contains(&length),
        6000..=6999 => (12..=19).contains(&length),
        8100..=8171 => (16..=19).contains(&length),
        // Troy.
        9792 => length == 16,
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| {
            let digit = u32::from(digit);
            match (place % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled @ 0..=9) => doubled,
                (_, doubled) => doubled - 9,
            }
        })
        .sum();
    // All zeros pass Luhn and are no card.
    sum != 0 && sum.is_multiple_of(10)
}
