//! Load for gateways on loopback: a generator that measures without flattering, and an upstream cheap enough not to be
//! what is measured.
//!
//! Promises: one request in flight per connection; in the open loop a late start counts against the latency; figures
//! are raw quantiles. Refuses to know: which gateway it is.

pub mod beside;
pub mod guards;
pub mod load;
pub mod plugins;
pub mod upstream;
