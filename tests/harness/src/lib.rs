//! Real servers on free ports with their own state, for tests.
//!
//! Promises: every server is the real binary on a port of its own, with its own folder, which goes when its handle
//! drops; starting waits on the server's own word that it is ready, never on time; whatever does not come within
//! [`PATIENCE`] is an error that shows the server's log. Refuses to know: what is tested.
//!
//! Binaries, components and the model must be built before: `cargo xtask test` does it.

mod certificates;
mod client;
mod collector;
mod dial;
mod engine;
mod event;
pub mod frames;
mod gateway;
mod paths;
mod process;
mod provider;
mod raw;
mod settings;
mod upgrade;
mod wait;

pub use certificates::{Authority, Identity};
pub use client::{Client, Multiplexed, Reply, Streaming};
pub use collector::{Collector, Span};
pub use engine::{Engine, EngineOptions};
pub use event::{Event, Events, data_of, events};
pub use gateway::{Gateway, GatewayOptions, Told, shipped_policies};
pub use paths::{binary, guests, model, plugins, recordings, workspace};
pub use process::Process;
pub use provider::Provider;
pub use raw::{Ended, Raw};
pub use settings::{Bundle, Credential};
pub use upgrade::Successor;
pub use wait::{PATIENCE, eventually};
