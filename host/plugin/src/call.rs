//! What goes into a call of a step and what comes out beside the result.

use std::collections::HashMap;
use std::sync::Arc;

use pointsman_domain::usage::Rate;
use pointsman_domain::{Digest, RequestId, RequestView};

use crate::fault::StepFailure;

/// Rates by target name: what the `prices` import answers from.
pub type PriceBook = HashMap<String, Vec<Rate>>;

/// The vector of a text.
pub type Vector = Arc<[f32]>;

/// The name by which plugins ask for the vector of the recent text; other names are those of data files.
pub const RECENT: &str = "recent";

/// What the `counters` import counts, for each tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Requests that began; the one that asks is among them.
    Requests,
    /// Requests that ended in a refusal: a guard's, a limit's or a budget's.
    Denials,
    /// Answers that a response guard ended early.
    Cuts,
    /// Requests that ended in an error.
    Errors,
    /// Tokens of requests that ended, in and out.
    Tokens,
}

impl Counted {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Requests,
        Self::Denials,
        Self::Cuts,
        Self::Errors,
        Self::Tokens,
    ];

    /// What plugins call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Denials => "denials",
            Self::Cuts => "cuts",
            Self::Errors => "errors",
            Self::Tokens => "tokens",
        }
    }

    /// By its name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

/// Whose request a call is for.
pub trait Tenant: std::fmt::Debug + Send + Sync {
    /// Its id.
    fn id(&self) -> &str;

    /// How much there was in the last `window_s` seconds before `now_ms` (milliseconds since the epoch).
    fn count(&self, counted: Counted, window_s: u32, now_ms: u64) -> u64;
}

/// The inputs of a call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The request as the plugin sees it.
    pub view: Arc<RequestView>,
    /// Seeds the `random` import, together with the step's id.
    pub request_id: RequestId,
    /// What the `clock` import answers, milliseconds since the epoch.
    pub now_ms: u64,
    /// What the `prices` import answers from; none knows no price.
    pub prices: Option<Arc<PriceBook>>,
    /// Whose request it is; none in rehearsals, where nothing has been counted yet.
    pub tenant: Option<Arc<dyn Tenant>>,
    /// What the `embedding` import answers, by name: [`RECENT`] and the step's files. What is not here is `none`.
    pub vectors: Arc<[(String, Vector)]>,
}

/// What a call took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallStats {
    /// Wall time in the plugin, nanoseconds, instantiation included.
    pub time_ns: u64,
    /// Deterministic instruction count.
    pub fuel: u64,
    /// Host calls made.
    pub host_calls: u32,
    /// Linear memory of the instance at the end, KiB.
    pub memory_kib: u32,
    /// Pushes, for response guards.
    pub pushes: u32,
    /// Whether the instance was fresh.
    pub fresh: bool,
    /// sha256 over each host call (name, arguments, result) in order, then the call's result.
    pub imports_digest: Digest,
}

impl Default for CallStats {
    fn default() -> Self {
        Self {
            time_ns: 0,
            fuel: 0,
            host_calls: 0,
            memory_kib: 0,
            pushes: 0,
            fresh: false,
            imports_digest: Digest([0; 32]),
        }
    }
}

/// A call's outcome. What it took is known even where it failed.
#[derive(Debug)]
pub struct Ran<T> {
    /// The result.
    pub result: Result<T, StepFailure>,
    /// What it took.
    pub stats: CallStats,
}
