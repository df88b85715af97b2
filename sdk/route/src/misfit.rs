//! How many candidates do not fit, by the first reason found. Counts only: it stands in the decision's record.

use std::fmt;

/// Why a candidate does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It lacks a capability.
    Capability,
    /// Prompt and answer together are longer than its context.
    Context,
    /// It may not write as many tokens as are asked.
    Output,
    /// Its quality is too low, or unknown.
    Quality,
    /// It has no price.
    Price,
}

/// As they are told, in the order of `Misfit`.
const WORDS: [&str; 5] = [
    "lack a capability",
    "have too small a context",
    "write less than is asked",
    "are below quality-min",
    "have no price",
];

/// How many candidates do not fit.
#[derive(Debug)]
pub struct Misfits {
    candidates: usize,
    counts: [usize; 5],
}

impl Misfits {
    pub(crate) const fn of(candidates: usize) -> Self {
        Self {
            candidates,
            counts: [0; 5],
        }
    }

    pub(crate) const fn add(&mut self, misfit: Misfit, count: usize) {
        self.counts[misfit as usize] += count;
    }
}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fitting = self.candidates - self.counts.iter().sum::<usize>();
        write!(f, "{fitting} of {} candidates fit", self.candidates)?;
        for (count, words) in self
            .counts
            .iter()
            .zip(WORDS)
            .filter(|(count, _)| **count > 0)
        {
            write!(f, ", {count} {words}")?;
        }
        Ok(())
    }
}
