//! The first look against the detectors themselves.

use proptest::prelude::*;

use pointsman_guard::{Act, Find, Step, finds};

use super::{Memo, Scanner, tail};
use crate::Settings;
use crate::tests::text;

/// Every place shown to every detector.
fn finds_without_skipping(scanner: &Scanner, text: &str) -> Vec<Find> {
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
                let start = place;
                place += bytes;
                if goes_on {
                    place += tail(text, place, true).bytes;
                }
                finds.push(Find {
                    kind,
                    start,
                    end: place,
                });
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
        let acts = wanted.map(|wanted| if wanted { Act::Mask } else { Act::Off });
        let settings = Settings::of(acts, Default::default());
        let scanned = finds_without_skipping(&Scanner::new(acts), &text);
        prop_assert_eq!(finds(&settings, &text), scanned);
    }
}
