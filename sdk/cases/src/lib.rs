//! A plugin's `cases.jsonl`: what a line says and what came of it, one truth for the SDK's native bench and for
//! `pointsman plugin test`, which runs the component.
//!
//! Promises: a case means the same in both; what a case does not say is named here; a line that cannot mean anything is
//! refused with its number. Refuses to know: files, plugins, the host.
//!
//! ```json
//! {"name": "…", "config": {}, "request": {"headers": {}, "body": {}},
//!  "inputs": {"fields": {}, "labels": {}, "bucket": 0, "seed": 0, "time-ms": 1767225600000,
//!             "pool": {"target": {"healthy": true}},
//!             "prices": {"target": [{"unit": "input-tokens", "pico-usd": 150000, "above-input-tokens": 0}]},
//!             "usages": [{"target": "t", "outcome": "ok", "meters": [{"unit": "input-tokens", "quantity": 9}]}],
//!             "counts": {"requests": 3}, "secrets": {"sign": "test value"}, "data": {"words.txt": "text"},
//!             "vectors": {"recent": [0.6, 0.8]}},
//!  "answer": {"deltas": ["write a@", "b.io"]},
//!  "expect": {"refused": "config: …"} }
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod case;
mod outcome;
mod scalar;
mod secret;

pub use answer::{Flow, Guarded, ways};
pub use case::{Answer, COUNTS, Case, Inputs, Malformed, Meter, Rate, Request, Usage, read};
pub use outcome::{Edited, Outcome, Priced};
pub use scalar::Scalar;
pub use secret::{PREFIX, hmac_sha256};

/// The time in a case that names none: 2026-01-01, in milliseconds since the epoch.
pub const TIME_MS: u64 = 1_767_225_600_000;
/// Bytes of text per token: a rule of thumb, and a number that authors can reckon.
pub const BYTES_PER_TOKEN: usize = 4;
/// Fields of every request, unless the case says otherwise.
pub const FIELDS: [(&str, &str); 3] = [
    ("endpoint", "/v1/chat/completions"),
    ("dialect", "openai-chat"),
    ("tenant", TENANT),
];
/// Whose requests they are.
pub const TENANT: &str = "test";

#[cfg(test)]
mod tests;
