//! Meters and cost lines (WIT interface `accountant`).

use serde::{Deserialize, Serialize};

use crate::money::Picos;
use crate::value::Attribute;

/// Unit of uncached prompt tokens.
pub const INPUT_TOKENS: &str = "input-tokens";
/// Unit of generated tokens without reasoning.
pub const OUTPUT_TOKENS: &str = "output-tokens";
/// Unit of reasoning tokens.
pub const REASONING_TOKENS: &str = "reasoning-tokens";
/// Unit of prompt tokens read from the provider's cache.
pub const CACHED_INPUT_TOKENS: &str = "cached-input-tokens";
/// Unit of prompt tokens written to the provider's cache.
pub const CACHE_WRITE_TOKENS: &str = "cache-write-tokens";
/// Unit of audio prompt tokens.
pub const AUDIO_INPUT_TOKENS: &str = "audio-input-tokens";
/// Unit of audio output tokens.
pub const AUDIO_OUTPUT_TOKENS: &str = "audio-output-tokens";

/// Attribute of a usage: the service tier that the provider says it served in. Attribute of a rate: the one that it is
/// of. Field of a view: the one that the caller asked for.
pub const SERVICE_TIER: &str = "service-tier";

/// A counted quantity. Meters are disjoint: nothing is counted twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Meter {
    /// `input-tokens`, `output-tokens`, …
    pub unit: String,
    /// How many.
    pub quantity: u64,
    /// Counted or reckoned by us, not told by the provider.
    pub estimated: bool,
}

/// What one attempt used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Index of the attempt.
    pub attempt: u32,
    /// The target's name.
    pub target: String,
    /// `planned`, `ok`, `error`, `cancelled`.
    pub outcome: String,
    /// The meters.
    pub meters: Vec<Meter>,
    /// `service-tier`, where the provider told it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

/// What a cost line amounts to. Unknown is said, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case", tag = "kind", content = "pico-usd")]
pub enum Amount {
    /// From the provider's own count and a known price.
    Exact(Picos),
    /// From a reckoned count or a reckoned price.
    Estimated(Picos),
    /// No price is known.
    Unpriced,
}

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CostLine {
    /// Index of the attempt.
    pub attempt: u32,
    /// The meter's unit.
    pub unit: String,
    /// The meter's quantity.
    pub quantity: u64,
    /// The money.
    pub amount: Amount,
    /// Room to grow: `price`, `source`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}

/// A price row of a target as plugins see it (WIT `prices.rate`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    /// The meter's unit.
    pub unit: String,
    /// Pico-dollars per unit; the same number as micro-dollars per million.
    pub pico_usd: i64,
    /// Holds above this many input tokens; 0 for the base tier.
    pub above_input_tokens: u64,
    /// `source`, `date`; `service-tier` of one that is not the standard one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
}
