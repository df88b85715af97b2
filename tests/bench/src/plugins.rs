//! The shipped plugins on one request: what is called, and the same logic without a sandbox.
//!
//! Refuses to know: the plugin runtime, which an example of its own crate calls.

mod native;
mod request;

pub use native::native_us;
pub use request::{body, cases};
