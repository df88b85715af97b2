//! The plugin runtime: load, verify, snapshot, run, limit and record Wasm components.
//!
//! Promises: what is not a plugin of the contract is refused with a reason; a decision starts from a fresh instance of
//! the configured state unless the policy says otherwise; every way to fail has its own kind; after any error an
//! instance is dropped; a call that takes long yields, so that it delays no other on its thread.
//! Refuses to know: HTTP, policies, tenants, what a fault means for a request. wasmtime's types stay inside.
#![warn(missing_docs)]

mod call;
mod canonical;
mod check;
mod compile_cache;
mod contract;
mod exports;
mod fault;
mod function_cache;
mod generated;
mod guard;
mod host;
mod instance;
mod limits;
mod load;
mod machine;
mod offer;
mod plugin;
mod prepare;
mod record;
mod runtime;
mod secrets;
mod snapshot;
mod state;
mod step;
mod ticker;
mod trips;
mod wit;

pub use call::{Call, CallStats, Counted, PriceBook, RECENT, Ran, Tenant, Vector};
pub use compile_cache::CacheError;
pub use contract::{Import, WIT_VERSION};
pub use fault::{PluginError, StepFailure};
pub use guard::ResponseGuard;
pub use limits::StepLimits;
pub use load::LoadError;
pub use plugin::{Plugin, PluginInfo, StepDefaults};
pub use prepare::{Finding, Instances, PrepareError, StepSpec};
pub use runtime::{Runtime, RuntimeConfig, RuntimeError};
pub use secrets::Secret;
pub use step::Step;
