//! The record of one request: everything that was decided, by what, with what result and cost.
//!
//! Two records a request: `Opened` is durable before the first upstream byte, `Closed` before the last client byte.
//! No field holds content or a secret: content appears as digests, text edits as counts and reason codes.

use serde::{Deserialize, Serialize};

use crate::control::Entry;
use crate::fault::Fault;
use crate::id::{Digest, RequestId};
use crate::money::Picos;
use crate::plan::Plan;
use crate::usage::{Amount, CostLine, Meter};
use crate::value::Label;

/// One line of the decision log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    tag = "record"
)]
pub enum Record {
    /// A request was let through to its attempts, or was refused before them.
    Opened(Box<Opened>),
    /// It ended.
    Closed(Box<Closed>),
    /// Written at start-up: who writes this chain.
    Started {
        /// Milliseconds since the epoch.
        at_ms: u64,
        /// The gateway's version.
        version: String,
    },
    /// Control state changed; only in the control journal.
    Control(Box<Entry>),
    /// Crash recovery cut a torn tail.
    Truncated {
        /// Milliseconds since the epoch.
        at_ms: u64,
        /// Bytes that were cut.
        bytes: u64,
    },
}

/// Written before the first upstream byte.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Opened {
    /// The request.
    pub id: RequestId,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// Who pays.
    pub tenant: String,
    /// The virtual key's id (never the key).
    pub key: String,
    /// `openai-chat`, …
    pub dialect: String,
    /// The path that was called.
    pub endpoint: String,
    /// The model that the caller asked for.
    pub model: String,
    /// Whether the caller asked for a stream.
    pub streaming: bool,
    /// Policy name.
    pub policy: String,
    /// Policy version number.
    pub version: u64,
    /// Digest of the effective policy (floor and tenant's version).
    pub policy_digest: Digest,
    /// Digest of the price catalogue in force.
    pub prices_digest: Option<Digest>,
    /// sha256 of the caller's body; none where the policy captures nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_digest: Option<Digest>,
    /// What is kept of the content beside the log; none where the policy keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Captured>,
    /// HMAC of the conversation, for stickiness.
    pub conversation: String,
    /// Steps up to and including `reserve`.
    pub steps: Vec<StepRecord>,
    /// All labels.
    pub labels: Vec<Label>,
    /// The variant, where there is a splitter.
    pub variant: Option<String>,
    /// What will be tried.
    pub plan: Option<Plan>,
    /// What was set aside.
    pub reserved_pico_usd: Option<Picos>,
    /// The budget windows that it was set aside in: `tenant/demo/month/2026-11`, `key/key-1/day/2026-11-24`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<String>,
    /// How long each phase took, in the order in which they ran, up to this record. Those that took less than a
    /// microsecond are told of traced requests alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseTime>,
}

/// What became of a request's content where the policy captures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Capture {
    /// It is kept, whole.
    Full,
    /// It is larger than the policy keeps.
    TooLarge,
    /// It could not be written.
    Failed,
}

/// What is kept of a request's content: what was asked, and what its steps were told beside it. It lies beside the log,
/// so that it can be erased and the log still holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Captured {
    /// Whether it is kept.
    pub capture: Capture,
    /// Its bytes.
    pub bytes: u64,
    /// sha256 over a salt of 32 random bytes, which is kept with the content alone, and the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commitment: Option<Digest>,
    /// Where it is: `worker-0.000001.content:0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// One phase of a request's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PhaseTime {
    /// Its name, as ARCHITECTURE.md writes it.
    pub phase: std::borrow::Cow<'static, str>,
    /// Microseconds from the request's beginning to the phase's.
    pub start_us: u64,
    /// Microseconds that it took.
    pub us: u64,
}

/// What the cache, or an earlier request with the same idempotency key, had to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CacheUse {
    /// It was looked for and not there.
    Miss,
    /// It was there.
    Hit,
    /// An equal request was under way, and its answer served both.
    Coalesced,
    /// The caller asked for none.
    Bypass,
    /// An earlier answer under the same idempotency key was told again.
    Replay,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Answered.
    Ok,
    /// A guard, a rule or a limit refused.
    Denied,
    /// A response guard ended the answer early.
    Cut,
    /// An error went to the caller.
    Error,
    /// The caller went away.
    Cancelled,
}

/// Written before the last byte to the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Closed {
    /// The request.
    pub id: RequestId,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// Who pays (repeated, so that a tenant's records can be found alone).
    pub tenant: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The status that the caller saw.
    pub status: u16,
    /// Error code, where there was one.
    pub error: Option<String>,
    /// What the error said; never content.
    pub error_message: Option<String>,
    /// Which attempt's answer went to the caller.
    pub target: Option<String>,
    /// What was tried, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Response guards and accountants.
    pub steps: Vec<StepRecord>,
    /// Vectors that steps were given, in the order in which they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embeddings: Vec<EmbeddingRecord>,
    /// The attempts' cost lines.
    pub cost: Vec<CostLine>,
    /// Sum of the priced lines and embeddings.
    pub cost_pico_usd: Picos,
    /// Whether any line or embedding is unpriced, so that the sum is not the whole.
    pub unpriced: bool,
    /// Whether any line or embedding is estimated.
    pub estimated: bool,
    /// Microseconds from the first byte in to the first content byte out.
    pub ttft_us: Option<u64>,
    /// Microseconds from the first byte in to this record.
    pub total_us: u64,
    /// sha256 over the released bytes.
    pub response_digest: Option<Digest>,
    /// Released bytes.
    pub response_bytes: u64,
    /// The virtual key's id (repeated, so that balances can be summed from these records alone).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// What `budgets` were charged: the cost, and where a price was unknown the reservation.
    #[serde(default)]
    pub charged_pico_usd: Picos,
    /// The budget windows that were charged, as in `opened`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<String>,
    /// What the cache had to do with it; none where the policy keeps no answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheUse>,
    /// The phases after `opened`, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseTime>,
}

/// What one step said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct StepRecord {
    /// The step's id in the policy; `floor/<id>` where it comes from the floor.
    pub id: String,
    /// The phase: `classify`, `guard-request`, `split`, `route`, `reserve`, `guard-response`, `account`.
    pub phase: String,
    /// `name@version`.
    pub plugin: String,
    /// The component's digest; none for steps that did not run.
    pub digest: Option<Digest>,
    /// `pass`, `edit`, `deny`, `labels`, `variant`, `plan`, `abstain`, `cost`, `cut`, `skipped`, `fault`, `error`.
    pub verdict: String,
    /// Reason codes, variant name, counts: `email×2`; never content.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Time in the plugin, nanoseconds.
    pub time_ns: u64,
    /// Deterministic instruction count.
    pub fuel: u64,
    /// Host calls made.
    pub host_calls: u32,
    /// Memory of its instance at the end, KiB.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory_kib: u32,
    /// Pushes, for response guards.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pushes: u32,
    /// Whether the instance was fresh.
    pub fresh: bool,
    /// The fault, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// What the policy did about it: `deny`, `skip`, `fallback`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_fault: Option<String>,
    /// Digest over every recorded import and result, in order: what a replay must reproduce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imports_digest: Option<Digest>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// One try at one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct AttemptRecord {
    /// Its index.
    pub index: u32,
    /// The target's name.
    pub target: String,
    /// The model asked of the target.
    pub model: String,
    /// `ok`, `connect`, `timeout`, `status`, `stream-error`, `cancelled`, `egress-denied`.
    pub outcome: String,
    /// The provider's status.
    pub status: Option<u16>,
    /// For people; never content.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Microseconds until response headers.
    pub headers_us: Option<u64>,
    /// Microseconds until the first content byte.
    pub ttft_us: Option<u64>,
    /// Microseconds in all.
    pub total_us: u64,
    /// What it used.
    pub meters: Vec<Meter>,
    /// The model the provider says answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_model: Option<String>,
    /// The service tier that the provider says it served in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
}

/// Vectors that one step needed and no earlier step of the request had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub struct EmbeddingRecord {
    /// The step's id.
    pub step: String,
    /// The target that computes them.
    pub target: String,
    /// The model asked of the target.
    pub model: String,
    /// Texts.
    pub texts: u32,
    /// Those of them whose vectors an earlier request had paid for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u32,
    /// Tokens of the others.
    pub tokens: u64,
    /// Whether they were reckoned by us, not told by the provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// What they cost; none where the target was not asked, or did nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Microseconds that the step waited for them.
    pub us: u64,
    /// Why there are none: `budget`, `connect`, `timeout`, `status`, `answer`, `cancelled`, …; none where there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// For people; never content.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}
