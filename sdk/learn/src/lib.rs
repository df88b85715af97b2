//! A small learned router: does this request need the strong model?
//!
//! Logistic regression over hashed words and the text's form. Promises: the same rows and seed give the same model
//! file, bit for bit, and a model says the same natively and in Wasm: nothing here asks a library for `exp` or `ln`.
//! Refuses to know: plugins, gateways, files on disk.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod features;
mod fit;
mod math;
pub mod metrics;
mod model;
mod rows;
mod train;

pub use features::{TEXT_BYTES_MAX, tail};
pub use model::{Model, ModelError};
pub use rows::{Row, RowsError, parse_rows};
pub use train::{Options, OptionsError, Trained, out_of_fold, train};
