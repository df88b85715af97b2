//! The first look against the detectors themselves.

use proptest::prelude::*;

use super::{Memo, Scanner, Step, tail_bytes};
use crate::kind::{Act, Kind};
use crate::tests::text;

/// Every place shown to every detector.
fn finds_without_skipping(scanner: &Scanner, text: &str) -> Vec<(Kind, usize, usize)> {
    let mut finds = Vec::new();
    let mut memo = Memo::default();
    let mut place = 0;
    while place < text.len() {
        match scanner.decide(text, place, true, &mut memo) {
            Step::Clean(bytes) => place += bytes,
            Step::Found {
                kind,
                bytes,
                goes_on,
            } => {
                let end = place + bytes;
                let end = end + if goes_on { tail_bytes(text, end) } else { 0 };
                finds.push((kind, place, end));
                place = end;
            }
            Step::Undecided { .. } => unreachable!("the text is complete"),
        }
    }
    finds
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_is_skipped_that_a_detector_would_find(
        text in text(),
        wanted in prop::array::uniform6(any::<bool>()),
    ) {
        let scanner = Scanner::new(wanted.map(|wanted| if wanted { Act::Mask } else { Act::Off }));
        prop_assert_eq!(scanner.finds(&text), finds_without_skipping(&scanner, &text));
    }
}
