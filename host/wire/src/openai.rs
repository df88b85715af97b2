//! The `openai-chat` dialect: requests, model lists, error bodies.
//!
//! Promises: a request is understood once and edited by position, so that what nobody changed goes to the provider
//! byte for byte, unknown fields included.
//! Refuses to know: which model goes where, and what a guard looks for.

mod arguments;
mod edit;
pub mod embeddings;
pub mod error;
mod models;
mod request;
mod segments;
mod target;
mod view;

pub use edit::EditError;
pub use models::{model_body, models_body};
pub use request::{ChatRequest, ParseLimits};
pub use target::TargetBody;
