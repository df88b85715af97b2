//! Models: from a GGUF file to tokens, logits and text.
//!
//! [`Model`] is what a file holds (tokenizer, chat template, weights); [`KvCache`] what sequences remember;
//! [`Model::forward`] one step over a ragged batch: prefill, decode and verification alike. [`Sampler`] picks a
//! token, [`TextStream`] turns tokens into text that is valid UTF-8 and ends at stop strings.
//! Promises: nothing is guessed. A file that asks for what is not built (another architecture, pre-tokenizer,
//! rope scaling) is an error that names it. Refuses to know: requests, scheduling, HTTP.

pub mod accuracy;
mod cache;
mod config;
mod error;
mod llama;
mod load;
mod sample;
mod stream;
mod template;
mod tokenizer;

pub use cache::{KvCache, Slot};
pub use config::Config;
pub use error::{ForwardError, LoadError, TemplateError};
pub use llama::{Batch, Logits};
pub use load::Model;
pub use pointsman_kernels::Kernels;
pub use sample::{Sampler, Sampling};
pub use stream::{Ending, TextStream};
pub use template::{ChatTemplate, Message};
pub use tokenizer::{Specials, Tokenizer};
