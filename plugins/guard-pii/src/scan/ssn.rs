//! United States social security numbers: three, two and four digits with one kind of separator, or nine digits
//! that are called one.

use super::Page;
use super::context::mentions;
use super::number::{Gap, Run};

/// How many digits one has.
pub(super) const DIGITS: usize = 9;

const WORDS: &[&str] = &["ssn$", "ssns$", "social security", "soc sec", "social sec"];

/// How many of the run's first groups are a number.
pub(super) fn groups(page: Page<'_>, run: &Run<'_>) -> Option<usize> {
    if run.glued || run.plus || run.paren || !matches!(run.joined, None | Some(Gap::Space)) {
        return None;
    }
    if run.size(0) == DIGITS {
        let digits = run.digits(0);
        let called = mentions(page.back(run.begin, 32), WORDS);
        return (called && is_issued(&digits[..3], &digits[3..5], &digits[5..])).then_some(1);
    }
    let gap = run.gap_after(0);
    let grouped = run.count >= 3
        && (run.size(0), run.size(1), run.size(2)) == (3, 2, 4)
        && matches!(gap, Gap::Dash | Gap::Space | Gap::Dot)
        && run.gap_after(1) == gap
        && !matches!(run.gap_after(2), Gap::Dash | Gap::Dot | Gap::Slash);
    (grouped && is_issued(run.digits(0), run.digits(1), run.digits(2))).then_some(3)
}

/// Whether an unfinished run has a number's area, group and first digit.
pub(super) fn begins(run: &Run<'_>) -> bool {
    run.count == 3
        && (run.size(0), run.size(1)) == (3, 2)
        && run.size(2) <= 4
        && matches!(run.gap_after(0), Gap::Dash | Gap::Dot)
        && run.gap_after(1) == run.gap_after(0)
}

/// Areas 000, 666 and 900 up, group 00 and serial 0000 are never given out.
fn is_issued(area: &[u8], group: &[u8], serial: &[u8]) -> bool {
    area != b"000" && area != b"666" && area[0] != b'9' && group != b"00" && serial != b"0000"
}
