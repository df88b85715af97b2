//! Logs and metrics, named once.
//!
//! Promises: nothing here waits for a reader, and counting takes no exclusive lock once a label set is known. Neither
//! logs nor metrics ever hold content or a secret; callers hand in names, codes, counts and times only.
//!
//! | metric | type | labels | what it counts |
//! |---|---|---|---|
//! | `pointsman_requests_total` | counter | tenant, outcome, status | requests that ended; tenant `-` where no key was known |
//! | `pointsman_request_seconds` | histogram | outcome | from the first byte in to the record |
//! | `pointsman_first_content_seconds` | histogram | target | from the first byte in to the first content byte out |
//! | `pointsman_step_seconds` | histogram | phase, plugin | time in a plugin |
//! | `pointsman_step_faults_total` | counter | phase, plugin, kind | faults of plugins |
//! | `pointsman_attempts_total` | counter | target, outcome | tries at targets |
//! | `pointsman_usage_total` | counter | tenant, target, unit | tokens and other meters, by unit |
//! | `pointsman_cost_usd_total` | counter | tenant, target | priced cost in US dollars, exact or estimated |
//! | `pointsman_unpriced_total` | counter | tenant | requests with a line that has no price, so that the sum above is not the whole |
//! | `pointsman_generation` | gauge | | generation of the snapshot that new requests get |
//! | `pointsman_build_info` | info | version | this gateway |
//!
//! A metric has at most [`SERIES_MAX`] label sets; further ones are counted with the first label, then with every
//! label, as `other`.

mod histogram;
mod log;
mod metrics;
mod series;

pub use log::{LogError, LogFormat, init};
pub use metrics::Metrics;
pub use series::SERIES_MAX;
