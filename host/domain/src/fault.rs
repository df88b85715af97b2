//! What can go wrong in a plugin, told apart.

use serde::{Deserialize, Serialize};

/// What a plugin exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Labels requests.
    Classifier,
    /// Passes, edits or denies requests.
    RequestGuard,
    /// Chooses a variant.
    Splitter,
    /// Plans attempts.
    Router,
    /// Passes, edits or cuts answers.
    ResponseGuard,
    /// Prices usage.
    Accountant,
}

impl Role {
    /// The role's name in WIT, config, metrics and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classifier => "classifier",
            Self::RequestGuard => "request-guard",
            Self::Splitter => "splitter",
            Self::Router => "router",
            Self::ResponseGuard => "response-guard",
            Self::Accountant => "accountant",
        }
    }
}

/// The kind of a fault; distinguishable in records and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// A trap: unreachable, panic, out-of-bounds, stack exhaustion.
    Trap,
    /// The deterministic cut-off.
    Fuel,
    /// The epoch backstop.
    Deadline,
    /// Memory grew past its limit.
    Memory,
    /// A result too large, malformed or out of range.
    Output,
    /// A host import was called that is not granted, or too often.
    Import,
    /// The contract was broken: a kept borrow, more consumed than was held, an unknown attribute.
    Contract,
    /// No instance could be had (pool or quota exhausted).
    Capacity,
    /// It was not run: it faulted too often for this tenant, and rests.
    Tripped,
}

impl FaultKind {
    /// The kind's name in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Fuel => "fuel",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Import => "import",
            Self::Contract => "contract",
            Self::Capacity => "capacity",
            Self::Tripped => "tripped",
        }
    }
}

/// A plugin's failure that it did not choose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("plugin {plugin} faulted ({}): {detail}", kind.as_str())]
pub struct Fault {
    /// `name@version` of the plugin.
    pub plugin: String,
    /// What kind.
    pub kind: FaultKind,
    /// For people; never content.
    pub detail: String,
}
