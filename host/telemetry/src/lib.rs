//! Logs, metrics and traces, named once.
//!
//! Promises: nothing here waits for a reader, and counting takes no exclusive lock once a label set is known. Neither
//! logs nor metrics nor spans ever hold content or a secret; callers hand in names, codes, counts and times only.
//! `docs/telemetry.md` has the tables of names.
//!
//! A metric has at most [`SERIES_MAX`] label sets; further ones are counted with the first label, then with every
//! label, as `other`.

mod collector;
mod context;
mod export;
mod histogram;
mod lines;
mod log;
mod metrics;
mod series;
mod spans;
mod tag;
mod throttle;

pub use context::{Sampler, SpanHex, TRACEPARENT, TraceContext, TraceHex};
pub use export::{Export, ExportConfig, ExportError, TRACES_QUEUED_MAX, Traces};
pub use log::{LogError, LogFormat, init};
pub use metrics::{Ended, Metrics, outcome_name};
pub use series::SERIES_MAX;
pub use spans::{AttemptNote, Finished};
pub use tag::{Tag, tagged};
pub use throttle::Throttle;
