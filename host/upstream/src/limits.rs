//! Bounds of the client side that no operator sets.

use std::time::Duration;

/// Bytes of an answer that are buffered: a head that is not complete by then is refused, and so are more than 100
/// headers (hyper's own bound).
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Addresses of one name that are tried for one connection.
pub(crate) const ADDRESSES_MAX: usize = 4;
/// Names whose addresses are remembered at once.
pub(crate) const NAMES_MAX: usize = 1024;
/// Lookups that one thread has under way at once; each holds a thread of the blocking pool.
pub(crate) const LOOKUPS_MAX: usize = 16;
/// How long a pooled connection may take to be ready; one that serves is ready at once.
pub(crate) const READY_WITHIN: Duration = Duration::from_millis(10);
/// Bytes that are read past what the caller needed, to reach an answer's end and keep its connection.
pub(crate) const FINISH_BYTES_MAX: usize = 64 * 1024;
/// How long that may take.
pub(crate) const FINISH_WITHIN: Duration = Duration::from_millis(100);
