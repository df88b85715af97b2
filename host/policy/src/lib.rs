//! Policy bundles and the static configuration: format, validation, digests, conditions, prices, cases.
//!
//! Promises: text in, typed values or errors with a place out; never panics on any text; the same content has the
//! same digest. Pure: no files, clock, environment or sockets; compiles to wasm32-unknown-unknown.
//! Refuses to know: how plugins run, how targets are reached, where bundles are stored.

#![warn(missing_docs)]

pub mod cases;
pub mod compose;
pub mod config;
pub mod digest;
pub mod document;
pub mod finding;
pub mod installed;
pub mod lock;
pub mod nearest;
pub mod origin;
pub mod policy;
pub mod prices;
pub mod validate;
pub mod when;

mod bounded;
mod choice;
