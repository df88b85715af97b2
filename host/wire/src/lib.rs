//! Pure: dialect codecs, SSE framing, stream release and error bodies.
//!
//! Promises: bytes that nobody changes keep their spelling; foreign bytes never panic; every buffer has a bound; no
//! text leaves `release` before every guard that covers it has released it.
//! Refuses to know: sockets, clocks (callers pass `now`), Wasm, policies.

#![warn(missing_docs)]

mod json;
pub mod openai;
pub mod release;
pub mod sse;
