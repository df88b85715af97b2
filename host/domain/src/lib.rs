//! The nouns that every part of the host shares.
//!
//! Promises: plain data with serde, no I/O, no clock, no environment; compiles to wasm32-unknown-unknown.
//! Refuses to know: HTTP, Wasm, files. The words are those of `wit/pointsman.wit` and ARCHITECTURE.md.

#![warn(missing_docs)]

pub mod control;
pub mod decision;
pub mod error;
pub mod fault;
pub mod guard;
pub mod id;
pub mod money;
pub mod plan;
pub mod request;
pub mod usage;
pub mod value;

pub use error::{ErrorKind, GatewayError, Side};
pub use fault::{Fault, FaultKind, Role};
pub use id::{Digest, RequestId};
pub use money::Picos;
pub use request::RequestView;
pub use value::{Attribute, Label, Reason, Value};
