//! Retries, failover and breakers, as pure state: callers pass the time in and act on what comes out.
//! Promises that every plan ends within its bounds and that no thread waits for another.
//! Refuses to know sockets, clocks, runtimes and files; compiles for wasm32-unknown-unknown.

pub mod attempts;
pub mod health;
