//! Finds against labelled spans: a find is right where it overlaps a span of its kind, a span is recalled where a find
//! of its kind overlaps it.

use std::collections::BTreeMap;

use super::share;

/// Kind, first byte or character, the one after the last.
pub(crate) type Span = (String, usize, usize);

/// Counts of one kind, or of all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    found: usize,
    right: usize,
    pub(crate) spans: usize,
    recalled: usize,
}

impl Tally {
    pub(crate) fn precision(&self) -> f64 {
        share(self.right, self.found)
    }

    pub(crate) fn recall(&self) -> f64 {
        share(self.recalled, self.spans)
    }

    pub(crate) fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        2.0 * precision * recall / (precision + recall).max(f64::MIN_POSITIVE)
    }
}

/// Counts over many texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    pub(crate) all: Tally,
    pub(crate) kinds: BTreeMap<String, Tally>,
    /// Texts without a span, and those of them with a find, by source.
    pub(crate) clean: BTreeMap<String, (usize, usize)>,
}

impl Score {
    pub(crate) fn add(&mut self, source: &str, finds: &[Span], spans: &[Span]) {
        if spans.is_empty() {
            let (clean, hit) = self.clean.entry(source.to_owned()).or_default();
            *clean += 1;
            *hit += usize::from(!finds.is_empty());
        }
        let overlap = |a: &Span, b: &Span| a.0 == b.0 && a.1 < b.2 && b.1 < a.2;
        for find in finds {
            let right = usize::from(spans.iter().any(|span| overlap(find, span)));
            for tally in [&mut self.all, self.kinds.entry(find.0.clone()).or_default()] {
                tally.found += 1;
                tally.right += right;
            }
        }
        for span in spans {
            let recalled = usize::from(finds.iter().any(|find| overlap(find, span)));
            for tally in [&mut self.all, self.kinds.entry(span.0.clone()).or_default()] {
                tally.spans += 1;
                tally.recalled += recalled;
            }
        }
    }

    /// Clean texts, and those of them that were hit.
    pub(crate) fn clean_texts(&self) -> (usize, usize) {
        let sums = self.clean.values();
        sums.fold((0, 0), |(texts, hit), (more, more_hit)| {
            (texts + more, hit + more_hit)
        })
    }
}
