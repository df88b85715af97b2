//! Where decisions come from, as this listener sees it. Implementations may block: they run on threads for that.

use pointsman_domain::decision::{Closed, Opened, Outcome};
use serde::Serialize;
use utoipa::ToSchema;

/// Both records of a request, as far as they are there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Decision {
    /// What was decided before its first upstream byte.
    pub opened: Option<Box<Opened>>,
    /// How it ended; none while it runs.
    pub closed: Option<Box<Closed>>,
}

/// Which decisions are wanted; a field that is none takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Who pays.
    pub tenant: Option<String>,
    /// Whose answer went to the caller.
    pub target: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Requests that arrived since then, in milliseconds since the epoch.
    pub since_ms: Option<u64>,
    /// At most this many.
    pub limit: usize,
}

/// Decisions, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Listing {
    /// At most `Wanted::limit`.
    pub decisions: Vec<Decision>,
    /// False where the source gave up before it had seen all that may match.
    pub complete: bool,
}

/// Why a source has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// More than one request begins with this id.
    #[error("more than one request begins with `{0}`")]
    Ambiguous(String),
    /// It cannot be read; the text says why and what to do.
    #[error("{0}")]
    Failed(String),
}

/// The decision log, or a part of one.
pub trait DecisionSource: Send + Sync {
    /// The newest decisions that are wanted.
    ///
    /// # Errors
    /// Where the source cannot be read.
    fn list(&self, wanted: &Wanted) -> Result<Listing, SourceError>;

    /// One decision by its id, or by a unique beginning of it.
    ///
    /// # Errors
    /// Where the source cannot be read, or the beginning is not unique.
    fn find(&self, id: &str) -> Result<Option<Decision>, SourceError>;

    /// Follows the wanted decisions from now on; `since_ms` and `limit` do not count.
    ///
    /// # Errors
    /// Where the source cannot be read.
    fn tail(&self, wanted: &Wanted) -> Result<Box<dyn DecisionTail>, SourceError>;
}

/// One follower's place in the source.
pub trait DecisionTail: Send {
    /// What has ended since the last look; must not wait for more.
    ///
    /// # Errors
    /// Where the source cannot be read, or something in it does not hold; a later look may succeed again.
    fn poll(&mut self) -> Result<Vec<Decision>, SourceError>;
}
