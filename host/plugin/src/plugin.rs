//! A verified component and what it says of itself.

use std::sync::{Arc, OnceLock};

use jsonschema::Validator;
use pointsman_domain::{Attribute, Digest, Role, Value};
use wasmtime::component::InstancePre;

use crate::contract::Contract;
use crate::limits::{self, StepLimits};
use crate::machine::Machine;
use crate::prepare::Instances;
use crate::state::State;

/// What a step gives a plugin where the policy says nothing. A plugin asks for more than the usual by attributes of
/// `describe`: `instances` (`pooled`), `memory-mib`, `fuel`, `epoch-ms`; plugins with an interpreter in them do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepDefaults {
    /// Whether calls share instances.
    pub instances: Instances,
    /// What a call may use.
    pub limits: StepLimits,
}

/// What a plugin says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginInfo {
    /// Kebab-case.
    pub name: String,
    /// `1.2.3`, with `-pre` and `+build` where it has them.
    pub version: String,
    /// Version of the contract that it was built against: `0.1.0`.
    pub contract: String,
    /// What it exports.
    pub roles: Vec<Role>,
    /// The host interfaces that it declares to call; a step must grant them all.
    pub imports: Vec<String>,
    /// JSON Schema of its configuration.
    pub config_schema: serde_json::Value,
    /// What its steps get where the policy says nothing.
    pub defaults: StepDefaults,
    /// Room to grow: `language`.
    pub attributes: Vec<Attribute>,
}

impl StepDefaults {
    /// What the attributes ask for; what is wrong, in words.
    pub(crate) fn asked(attributes: &[Attribute]) -> Result<Self, String> {
        let mut defaults = Self::default();
        for Attribute { key, value } in attributes {
            let limits = &mut defaults.limits;
            match (key.as_str(), value) {
                ("instances", Value::Text(word)) if word == "pooled" => {
                    defaults.instances = Instances::Pooled;
                }
                ("instances", Value::Text(word)) if word == "fresh" => {}
                ("instances", _) => return Err("`instances` is `fresh` or `pooled`".to_owned()),
                ("memory-mib", value) => {
                    let asked = whole(key, value, u64::from(limits::ASKED_MEMORY_MIB_MAX))?;
                    limits.memory_mib = u32::try_from(asked).unwrap_or(u32::MAX);
                }
                ("fuel", value) => limits.fuel = whole(key, value, limits::ASKED_FUEL_MAX)?,
                ("epoch-ms", value) => {
                    let asked = whole(key, value, u64::from(limits::ASKED_EPOCH_MS_MAX))?;
                    limits.epoch_ms = u32::try_from(asked).unwrap_or(u32::MAX);
                }
                _ => {}
            }
        }
        Ok(defaults)
    }
}

fn whole(key: &str, value: &Value, max: u64) -> Result<u64, String> {
    let asked = match value {
        Value::Integer(integer) => u64::try_from(*integer).ok(),
        _ => None,
    };
    asked
        .filter(|asked| (1..=max).contains(asked))
        .ok_or_else(|| format!("`{key}` is a whole number from 1 to {max}"))
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
    pub(crate) contract: Contract,
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

#[cfg(test)]
mod tests {
    use pointsman_domain::{Attribute, Value};

    use super::StepDefaults;
    use crate::limits::StepLimits;
    use crate::prepare::Instances;

    fn asked(key: &str, value: Value) -> Result<StepDefaults, String> {
        StepDefaults::asked(&[Attribute {
            key: key.to_owned(),
            value,
        }])
    }

    #[test]
    fn a_plugin_asks_for_what_its_interpreter_needs() {
        let memory = asked("memory-mib", Value::Integer(128)).expect("taken");
        assert_eq!(memory.limits.memory_mib, 128);
        assert_eq!(memory.limits.fuel, StepLimits::default().fuel);
        let pooled = asked("instances", Value::from("pooled")).expect("taken");
        assert_eq!(pooled.instances, Instances::Pooled);
        assert_eq!(
            asked("language", Value::from("c")),
            Ok(StepDefaults::default())
        );
    }

    #[test]
    fn it_does_not_get_whatever_it_asks_for() {
        for (key, value) in [
            ("memory-mib", Value::Integer(129)),
            ("memory-mib", Value::Integer(0)),
            ("fuel", Value::Integer(-1)),
            ("fuel", Value::from("all")),
            ("epoch-ms", Value::Integer(1 << 40)),
            ("instances", Value::from("shared")),
        ] {
            let error = asked(key, value).expect_err("refused");
            assert!(error.contains(key), "{error}");
        }
    }
}
