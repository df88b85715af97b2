//! GGUF files: what a model file says about itself, where its tensors lie, and what their blocks mean.
//!
//! Promises: a file is data, never trusted. Every length is checked against what is left of the file before
//! anything is allocated or sliced, every count has a named bound ([`limits`]), and a bad file is an
//! [`Error`] that says what is wrong and where. Tensor bytes stay in the mapping; nothing is copied.
//! Refuses to know: architectures, tokenizers, threads, speed. [`Format::dequantise`] is the plain definition
//! against which fast kernels are checked.

mod block;
mod error;
mod file;
pub mod limits;
mod mapping;
mod reader;
mod value;

pub use block::{BLOCK_ELEMENTS, Format};
pub use error::Error;
pub use file::{Gguf, Tensor, TensorInfo};
pub use value::{Array, Value};
