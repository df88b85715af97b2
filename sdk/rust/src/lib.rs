//! Write Pointsman plugins in Rust: traits for the roles, export macros, and a native test bench.
//!
//! A plugin is a crate with `crate-type = ["cdylib", "rlib"]` that implements [`Plugin`] and its roles, then names
//! them: `pointsman_sdk::export_plugin!(MyPlugin: classifier);`. It needs no WIT and no unsafe code. Logic reads
//! through [`View`] and [`Pool`], so `testing` runs it natively.
//!
//! Refuses to know: wasmtime, the gateway's crates, how a component is built (that is `pointsman-sdk-build`).
#![warn(missing_docs)]

mod export;
#[doc(hidden)]
#[expect(
    clippy::mem_forget,
    reason = "generated: it hands buffers to the host, which frees them through post-return"
)]
pub mod generated;
#[doc(hidden)]
pub mod glue;
pub mod host;
mod offset;
mod plugin;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod view;
mod words;

pub use offset::{border_above, border_below, byte_of_character, character_of_byte, offset};
pub use plugin::{
    Accountant, Classifier, GuardStream, Plugin, RequestGuard, ResponseGuard, Router, Splitter,
};
pub use view::{Pool, View};
pub use words::{
    Action, Amount, Attempt, Attribute, Channel, Checked, CostLine, Coverage, Delta, Edit, Label,
    Level, Meter, Plan, PluginError, Rate, Reason, Replacement, Segment, Stop, Take, TextEdit,
    Usage, Value, Verdict,
};
