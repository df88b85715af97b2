//! A verified component and what it says of itself.

use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use pointsman_domain::{Attribute, Digest, Role};
use wasmtime::component::InstancePre;

use crate::machine::Machine;
use crate::state::State;

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginInfo {
    /// Kebab-case.
    pub name: String,
    /// `1.2.3`, with `-pre` and `+build` where it has them.
    pub version: String,
    /// What it exports.
    pub roles: Vec<Role>,
    /// The host interfaces that it declares to call; a step must grant them all.
    pub imports: Vec<String>,
    /// JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// Room to grow.
    pub attributes: Vec<Attribute>,
}

/// Who a plugin is, in faults and logs.
#[derive(Debug)]
pub(crate) struct Identity {
    /// `name@version`.
    pub(crate) label: String,
    pub(crate) digest: Digest,
}

/// A component that passed `Runtime::load`.
pub struct Plugin {
    pub(crate) machine: Arc<Machine>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) info: PluginInfo,
    pub(crate) validator: Validator,
    pub(crate) bytes: Box<[u8]>,
    pub(crate) pre: InstancePre<State>,
    /// The form that its state can be read from, made for the first snapshot; or why there is none.
    pub(crate) instrumented: OnceLock<Result<InstancePre<State>, String>>,
}

impl Plugin {
    /// What it says of itself.
    #[must_use]
    pub const fn info(&self) -> &PluginInfo {
        &self.info
    }

    /// sha256 of the component's bytes: its identity.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.identity.digest
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("label", &self.identity.label)
            .field("digest", &self.identity.digest)
            .finish_non_exhaustive()
    }
}
