//! What was found, as labels: kinds and counts, never content.

use pointsman_sdk::Label;

use crate::kind::Kind;

/// How often each kind was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts([i64; 6]);

impl Counts {
    pub(crate) const fn new() -> Self {
        Self([0; 6])
    }

    pub(crate) const fn add(&mut self, kind: Kind) {
        self.0[kind.index()] += 1;
    }

    /// `pii` with the kinds and `pii.<kind>` with each count; nothing where nothing was found.
    pub(crate) fn labels(&self) -> Vec<Label> {
        let found = || {
            Kind::ALL
                .into_iter()
                .filter(|kind| self.0[kind.index()] > 0)
        };
        let kinds: Vec<String> = found().map(|kind| kind.name().to_owned()).collect();
        if kinds.is_empty() {
            return Vec::new();
        }
        let counts = found().map(|kind| Label::new(kind.code(), self.0[kind.index()]));
        std::iter::once(Label::new("pii", kinds))
            .chain(counts)
            .collect()
    }
}
