//! What guards that find things in text share: a plugin says what stands at one place of a text, and gets both
//! directions of a guard, streams included.
//!
//! Promises: where `Scan::step` decides on a prefix of a text what it decides on the whole, requests and streams are
//! masked alike, however a stream was cut; nothing that was found is repeated in labels or reasons.
//! Refuses to know: what is looked for.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod kinds;
mod report;
mod request;
mod stream;

use std::fmt::Debug;

use pointsman_sdk::Reason;
use serde::Deserialize;

pub use kinds::{placeholders, some_wanted};
pub use report::Counts;
pub use request::{Find, check, finds};
pub use stream::Stream;

/// Kinds of channel whose text is scanned: all that the contract names.
pub const CHANNEL_KINDS: &[&str] = &[
    "text",
    "reasoning",
    "refusal",
    "tool-name",
    "tool-argument",
    "citation",
    "transcript",
];

/// What is done with one kind of find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Replaced by the placeholder.
    Mask,
    /// The request is refused, the answer cut.
    Deny,
    /// Passed, counted in labels.
    Label,
    /// Not looked for.
    Off,
}

impl Act {
    /// Whether the text itself must not get through.
    #[must_use]
    pub const fn hides(self) -> bool {
        matches!(self, Self::Mask | Self::Deny)
    }
}

/// What one step decides about the text at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This many bytes are clean.
    Clean(usize),
    /// This many bytes are a find.
    Found {
        /// Of this kind.
        kind: usize,
        /// From the step's place on.
        bytes: usize,
        /// What `Scan::tail` counts belongs to it too.
        goes_on: bool,
    },
    /// It depends on what follows. `looks_like`: already so much of this kind that releasing it would tell.
    Undecided {
        /// The kind, if it does.
        looks_like: Option<usize>,
    },
}

/// How much more of a text belongs to a find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// Bytes that belong to it.
    pub bytes: usize,
    /// It has ended, so what follows is scanned again.
    pub ended: bool,
}

/// What earlier steps of a scan learnt of the text, such as where the last find ended, so that none is looked at twice.
pub trait Memo: Copy + Default + Debug + Send + 'static {
    /// The first `bytes` of the text were dropped.
    fn shift(&mut self, _bytes: usize) {}

    /// What was learnt of the text ahead holds no more: another end was supposed.
    fn forget_ahead(&mut self) {}
}

/// Nothing is remembered.
impl Memo for () {}

/// Finds things from left to right, one step at a time; kinds are numbers from 0.
pub trait Scan: Send + Sync + 'static {
    /// What steps hand on.
    type Memo: Memo;

    /// How far a step looks back, in bytes.
    fn back_bytes(&self) -> usize;

    /// How far a step looks ahead, in bytes: the most that a stream holds back.
    fn hold_bytes(&self) -> usize;

    /// Decides about the text at `at`, on a border; `complete` says that nothing follows `text`. It must not depend on
    /// what lies further away than the two bounds, and must decide where `hold_bytes` are known or the text is complete.
    fn step(&self, text: &str, at: usize, complete: bool, memo: &mut Self::Memo) -> Step;

    /// How much of `text` from `at` continues a find that goes on.
    fn tail(&self, _kind: usize, _text: &str, _at: usize, _complete: bool) -> Tail {
        Tail {
            bytes: 0,
            ended: true,
        }
    }

    /// First part of labels and codes.
    fn topic(&self) -> &'static str;

    /// How many kinds.
    fn kinds(&self) -> usize;

    /// A kind as in configuration and labels.
    fn name(&self, kind: usize) -> &str;

    /// What is done with a kind.
    fn act(&self, kind: usize) -> Act;

    /// Finds of a kind from which `Act::Deny` denies; fewer pass.
    fn at_least(&self, _kind: usize) -> u32 {
        1
    }

    /// What stands in a kind's place.
    fn placeholder(&self, kind: usize) -> &str;

    /// Why the `carrier` (request, answer) that holds one must not get through; never the content.
    fn reason(&self, kind: usize, carrier: &str) -> Reason;

    /// What is done with the next find of a kind, `found` of which there are with it.
    fn act_on(&self, kind: usize, found: u32) -> Act {
        match self.act(kind) {
            Act::Deny if found < self.at_least(kind) => Act::Label,
            act => act,
        }
    }

    /// Whether one find of a kind must not get through.
    fn hides(&self, kind: usize) -> bool {
        self.act_on(kind, 1).hides()
    }

    /// `topic.kind`.
    fn code(&self, kind: usize) -> String {
        format!("{}.{}", self.topic(), self.name(kind))
    }
}
