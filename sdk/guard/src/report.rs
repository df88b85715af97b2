//! What was found, as labels: kinds and counts, never content.

use pointsman_sdk::Label;

use crate::Scan;

/// How often each kind was found.
#[derive(Clone, Debug)]
pub struct Counts(Vec<u32>);

impl Counts {
    /// Nothing yet.
    #[must_use]
    pub fn new(scan: &impl Scan) -> Self {
        Self(vec![0; scan.kinds()])
    }

    /// One more of a kind; how many there are now.
    pub fn add(&mut self, kind: usize) -> u32 {
        self.0[kind] = self.0[kind].saturating_add(1);
        self.0[kind]
    }

    /// The topic with the kinds and `topic.kind` with each count; nothing where nothing was found.
    #[must_use]
    pub fn labels(&self, scan: &impl Scan) -> Vec<Label> {
        let found: Vec<usize> = (0..self.0.len()).filter(|&kind| self.0[kind] > 0).collect();
        if found.is_empty() {
            return Vec::new();
        }
        let kinds: Vec<String> = found
            .iter()
            .map(|&kind| scan.name(kind).to_owned())
            .collect();
        let counts = found
            .iter()
            .map(|&kind| Label::new(scan.code(kind), i64::from(self.0[kind])));
        std::iter::once(Label::new(scan.topic(), kinds))
            .chain(counts)
            .collect()
    }
}
