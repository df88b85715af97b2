//! Steps of a case's configuration, a role each, with the limits that the plugin has by default.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use pointsman_cases::Case;
use pointsman_plugin::{Instances, Plugin, PrepareError, Runtime, Secret, Step, StepSpec};

/// The steps, or how the configuration is refused.
pub(super) type Prepared = Result<Vec<Arc<Step>>, Refusal>;

pub(super) struct Refusal {
    pub(super) detail: String,
    /// By the schema, before the plugin saw it.
    pub(super) by_schema: bool,
}

/// What the steps of a case depend on: cases of equal keys can share them.
fn key(case: &Case) -> String {
    let inputs = &case.inputs;
    format!("{} {:?} {:?}", case.config, inputs.data, inputs.secrets)
}

pub(super) fn prepare(
    runtime: &Runtime,
    plugin: &Arc<Plugin>,
    case: &Case,
    instances: Instances,
) -> anyhow::Result<Prepared> {
    let info = plugin.info();
    let data = case.inputs.data.iter();
    let data: Vec<(String, Bytes)> = data
        .map(|(name, text)| (name.clone(), Bytes::from(text.clone())))
        .collect();
    let secret = |(name, key): (String, Vec<u8>)| Secret::new(&name, &key, &["*".to_owned()]);
    let secrets: Vec<Secret> = case.secrets().into_iter().map(secret).collect();
    let mut steps = Vec::new();
    for &role in &info.roles {
        let spec = StepSpec {
            id: "test".to_owned(),
            plugin: Arc::clone(plugin),
            role,
            config: case.config.clone(),
            data: data.clone(),
            grants: info.imports.clone(),
            secrets: secrets.clone(),
            instances,
            limits: info.defaults.limits,
        };
        match runtime.prepare(spec) {
            Ok(step) => steps.push(step),
            Err(PrepareError::Refused { detail }) => {
                return Ok(Err(Refusal {
                    detail,
                    by_schema: false,
                }));
            }
            Err(error @ PrepareError::Config(_)) => {
                return Ok(Err(Refusal {
                    detail: error.to_string(),
                    by_schema: true,
                }));
            }
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!(
                    "as {} the component cannot be made ready",
                    role.as_str()
                )));
            }
        }
    }
    Ok(Ok(steps))
}

/// Steps by configuration: many cases share one, and making one ready may compile it.
pub(super) struct Ready<'a> {
    runtime: &'a Runtime,
    plugin: &'a Arc<Plugin>,
    instances: Instances,
    prepared: BTreeMap<String, Prepared>,
}

impl<'a> Ready<'a> {
    pub(super) const fn new(
        runtime: &'a Runtime,
        plugin: &'a Arc<Plugin>,
        instances: Instances,
    ) -> Self {
        Self {
            runtime,
            plugin,
            instances,
            prepared: BTreeMap::new(),
        }
    }

    /// The steps of a case, made ready the first time.
    pub(super) fn steps(&mut self, case: &Case) -> anyhow::Result<&Prepared> {
        match self.prepared.entry(key(case)) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let steps = prepare(self.runtime, self.plugin, case, self.instances)
                    .with_context(|| format!("case `{}`", case.name))?;
                Ok(entry.insert(steps))
            }
        }
    }
}
