//! Every bound of the provider, with its unit.

use std::time::Duration;

/// A request body larger than this is answered 413.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 20;
/// Requests that the ledger keeps one by one; older ones stay in the totals.
pub(crate) const LEDGER_ROWS_MAX: usize = 50_000;
/// Bytes of a request body that a ledger row keeps.
pub(crate) const KEPT_BODY_BYTES_MAX: usize = 64 << 10;
/// Bytes of a prompt or an answer that are tokenised; beyond, the count is a lower bound and the row says so.
pub(crate) const COUNTED_BYTES_MAX: usize = 4 << 20;
/// The smallest pause of a stream without end, so that it does not take a core.
pub(crate) const ENDLESS_PAUSE_MIN: Duration = Duration::from_millis(1);
/// Depth to which arguments are made up from a schema.
pub(crate) const SCHEMA_DEPTH_MAX: usize = 16;
/// Choices that one request may ask for, as the real API bounds it.
pub(crate) const CHOICES_MAX: u64 = 128;
