//! What a plugin author implements: one trait for what a plugin is, one for each role it plays.
//! Logic sees `&dyn View` and `&dyn Pool`, never a Wasm handle, so it runs natively in tests.

use crate::view::{Pool, View};
use crate::words::{
    Action, Attribute, Channel, Checked, CostLine, Coverage, Delta, Label, Plan, PluginError, Usage,
};

/// What every plugin says of itself, and how it is made from its configuration.
///
/// `configure` runs once at activation and the instance is then snapshotted: every decision starts from there.
/// So build everything here (patterns, tables, programs) and warm what is lazy by running it once on sample text.
/// Only `host::data` may be called; every other import faults.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// The configuration, as the JSON Schema below allows it; give it `#[serde(deny_unknown_fields)]`.
    type Config: serde::de::DeserializeOwned;

    /// JSON Schema of the configuration: `include_str!("../config.schema.json")`.
    const CONFIG_SCHEMA: &'static str;

    /// Host interfaces that it really calls and that a policy has to grant: `prices`, `random`, `data`, …
    const IMPORTS: &'static [&'static str] = &[];

    /// Builds the state that all decisions share.
    ///
    /// # Errors
    /// Text for the operator: which key is wrong and what is allowed there.
    fn configure(config: Self::Config) -> Result<Self, String>;

    /// Room to grow; nothing is defined yet.
    #[must_use]
    fn attributes() -> Vec<Attribute> {
        Vec::new()
    }
}

/// Labels a request.
pub trait Classifier: Plugin {
    /// The labels; a later step's label replaces an earlier one with the same key.
    ///
    /// # Errors
    /// What the plugin fails with on purpose; the step's on-fault decides what follows.
    fn classify(&self, request: &dyn View) -> Result<Vec<Label>, PluginError>;
}

/// Passes, edits or denies a request.
pub trait RequestGuard: Plugin {
    /// The verdict; text edits ordered by (segment, start), not overlapping, on UTF-8 borders.
    ///
    /// # Errors
    /// What the plugin fails with on purpose; the step's on-fault decides what follows.
    fn check(&self, request: &dyn View) -> Result<Checked, PluginError>;
}

/// Chooses a variant.
pub trait Splitter: Plugin {
    /// The variant's name; `bucket` is 0 to 9999, the same for the whole conversation.
    ///
    /// # Errors
    /// What the plugin fails with on purpose; the step's on-fault decides what follows.
    fn split(&self, request: &dyn View, bucket: u32) -> Result<String, PluginError>;
}

/// Chooses targets.
pub trait Router: Plugin {
    /// The plan; no attempts means that it abstains.
    ///
    /// # Errors
    /// What the plugin fails with on purpose; the step's on-fault decides what follows.
    fn route(&self, request: &dyn View, candidates: &dyn Pool) -> Result<Plan, PluginError>;
}

/// Guards answers, whole or streamed.
pub trait ResponseGuard: Plugin {
    /// What guards one attempt.
    type Stream: GuardStream;

    /// Which channels it reads and how much it may hold; asked once, without a request.
    fn covers(&self) -> Coverage;

    /// Begins to guard one attempt.
    fn start(&'static self, request: &dyn View) -> Self::Stream;
}

/// The guard of one attempt's answer. Each channel is consumed front to back, counted in input bytes.
pub trait GuardStream: 'static {
    /// A channel begins.
    ///
    /// # Errors
    /// What the plugin fails with on purpose; the step's on-fault decides what follows.
    fn open(&mut self, id: u32, about: Channel) -> Result<(), PluginError>;

    /// All deltas of one provider event.
    ///
    /// # Errors
    /// As for `open`.
    fn push(&mut self, deltas: Vec<Delta>) -> Result<Vec<Action>, PluginError>;

    /// The channel ended: resolve all that it holds.
    ///
    /// # Errors
    /// As for `open`.
    fn close(&mut self, channel: u32) -> Result<Vec<Action>, PluginError>;

    /// These channels reached a bound: resolve all that they hold now.
    ///
    /// # Errors
    /// As for `open`.
    fn expire(&mut self, channels: Vec<u32>) -> Result<Vec<Action>, PluginError>;

    /// The answer ended.
    ///
    /// # Errors
    /// As for `open`.
    fn finish(&mut self, outcome: Vec<Attribute>) -> Result<Vec<Action>, PluginError>;
}

/// Puts a price on usage.
pub trait Accountant: Plugin {
    /// The cost lines; an unknown price is `Amount::Unpriced`, never zero.
    ///
    /// # Errors
    /// What the plugin fails with on purpose; the step's on-fault decides what follows.
    fn account(&self, request: &dyn View, usages: &[Usage]) -> Result<Vec<CostLine>, PluginError>;
}
