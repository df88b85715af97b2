//! Retries, failover, breakers, rates and budgets, as pure state: callers pass the time in and act on what comes out.
//! Promises that every plan ends within its bounds, that no thread waits for another, and that no money is counted
//! twice or lost.
//! Refuses to know sockets, clocks, runtimes and files; compiles for wasm32-unknown-unknown.

pub mod attempts;
pub mod budget;
pub mod counts;
pub mod health;
pub mod rate;
pub mod window;
