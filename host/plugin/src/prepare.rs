//! From a plugin and a policy's words to a step that is ready to run: grants, configuration, snapshot, smoke test.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_domain::guard::Coverage;
use pointsman_domain::{Digest, Fault, Role};
use serde_json::Value as Json;
use wasmtime::component::{Component, InstancePre};

use crate::canonical;
use crate::compile_cache::Code;
use crate::contract::{self, Import, Imports};
use crate::fault::Cause;
use crate::limits::{self, StepLimits};
use crate::load::digest;
use crate::plugin::Plugin;
use crate::runtime::{Inner, TemplateKey};
use crate::secrets::{Secret, Secrets};
use crate::snapshot::{self, Configure, SnapshotError, Template};
use crate::state::{Allowance, DataFiles, State};
use crate::step::Step;

/// Whether calls share instances.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instances {
    /// A fresh one for every call: nothing leaks from one to the next, and a replay is exact.
    #[default]
    Fresh,
    /// Instances are reused, up to 1000 calls or the first failure. A response guard has a fresh one all the same.
    Pooled,
}

/// A step as the policy has it.
#[derive(Clone, Debug)]
pub struct StepSpec {
    /// The step's id; seeds `random`.
    pub id: String,
    /// The plugin.
    pub plugin: Arc<Plugin>,
    /// Which of its roles.
    pub role: Role,
    /// Its configuration.
    pub config: Json,
    /// The files that it may read, by name.
    pub data: Vec<(String, Bytes)>,
    /// The host interfaces that it may call.
    pub grants: Vec<String>,
    /// The node's secrets; the step may use those that its configuration names.
    pub secrets: Vec<Secret>,
    /// Whether calls share instances.
    pub instances: Instances,
    /// What a call may use.
    pub limits: StepLimits,
}

/// One thing that is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// JSON pointer into the configuration; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = if self.path.is_empty() {
            "/"
        } else {
            &self.path
        };
        write!(f, "{path}: {}", self.message)
    }
}

fn lines(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    lines.join("; ")
}

/// Why a step is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The plugin came from another runtime.
    #[error(
        "the plugin was loaded by another runtime; load it with the one that prepares the step"
    )]
    OtherRuntime,
    /// The plugin does not play the role.
    #[error("{plugin} is no {}; it plays: {has}", role.as_str())]
    Role {
        /// `name@version`.
        plugin: String,
        /// The role asked for.
        role: Role,
        /// The roles that it has.
        has: String,
    },
    /// A limit is out of range.
    #[error("{detail}")]
    Limit {
        /// Which, and what is allowed.
        detail: String,
    },
    /// A grant names nothing.
    #[error(
        "grant `{name}` is no host interface; there are: {}",
        contract::import_names()
    )]
    UnknownGrant {
        /// The grant.
        name: String,
    },
    /// The plugin needs more than is granted.
    #[error("{plugin} calls {}; add to the step: grants = [{}]", names.join(", "), quoted(names))]
    Ungranted {
        /// `name@version`.
        plugin: String,
        /// What is missing.
        names: Vec<&'static str>,
    },
    /// The configuration or the files are too large.
    #[error("the step's {what} has {bytes} bytes, more than the {max} that are taken")]
    TooLarge {
        /// `config` or `data`.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The configuration does not fit the plugin's schema.
    #[error("config does not fit the plugin's schema: {}", lines(.0))]
    Config(Vec<Finding>),
    /// The plugin refused the configuration.
    #[error("the plugin refuses its config: {detail}")]
    Refused {
        /// What the plugin says.
        detail: String,
    },
    /// `configure` failed without saying why.
    #[error("`configure` failed")]
    Configure(#[source] Fault),
    /// Fresh instances need a snapshot and there can be none.
    #[error(
        "no snapshot of the configured plugin: {reason}; set `instances = \"pooled\"` for the step, or change the plugin"
    )]
    NoSnapshot {
        /// Why.
        reason: String,
    },
    /// The configured plugin does not start.
    #[error("the configured plugin does not start")]
    Smoke(#[source] Fault),
    /// A response guard contradicts itself.
    #[error(
        "`covers` answers differently on two fresh instances; it must depend on the configuration alone"
    )]
    Coverage,
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

/// Prepares a step.
pub(crate) fn prepare(runtime: &Inner, spec: StepSpec) -> Result<Arc<Step>, PrepareError> {
    let plugin = &*spec.plugin;
    if !Arc::ptr_eq(&plugin.machine, &runtime.machine) {
        return Err(PrepareError::OtherRuntime);
    }
    role(plugin, spec.role)?;
    limits(&spec.limits, runtime.machine.memory_max_mib)?;
    let imports = grants(plugin, &spec.grants)?;
    let secrets = Secrets::named_in(&spec.config, &spec.secrets);
    let config = config(plugin, &spec.config)?;
    let data = data(spec.data)?;
    let template = template(runtime, plugin, spec.instances, config, &data)?;
    let allowance = Allowance {
        imports,
        limits: spec.limits,
    };
    let mut step = Step::new(
        spec.id.into(),
        plugin,
        spec.role,
        template,
        data,
        Arc::new(secrets),
        allowance,
        spec.instances,
    )
    .map_err(|error| {
        PrepareError::Smoke(
            Cause::explained(&error, spec.limits.returned_bytes).of(&plugin.identity.label),
        )
    })?;
    smoke(&mut step)?;
    Ok(Arc::new(step))
}

fn role(plugin: &Plugin, role: Role) -> Result<(), PrepareError> {
    if plugin.info.roles.contains(&role) {
        return Ok(());
    }
    let has: Vec<&str> = plugin.info.roles.iter().map(|role| role.as_str()).collect();
    Err(PrepareError::Role {
        plugin: plugin.identity.label.clone(),
        role,
        has: has.join(", "),
    })
}

fn limits(limits: &StepLimits, memory_max_mib: u32) -> Result<(), PrepareError> {
    let zero = limits.fuel == 0 || limits.epoch_ms == 0 || limits.memory_mib == 0;
    let detail = if zero {
        "limits of 0 let no call run; leave them out for the defaults".to_owned()
    } else if limits.memory_mib > memory_max_mib {
        let wanted = limits.memory_mib;
        format!(
            "memory-mib = {wanted} is more than the {memory_max_mib} MiB that an instance may have on this node"
        )
    } else {
        return Ok(());
    };
    Err(PrepareError::Limit { detail })
}

/// What the step may call: what the plugin declares, all of which must be granted.
fn grants(plugin: &Plugin, granted: &[String]) -> Result<Imports, PrepareError> {
    let mut grants = Imports::NONE;
    for name in granted {
        let import = Import::by_name(name)
            .ok_or_else(|| PrepareError::UnknownGrant { name: name.clone() })?;
        grants = grants.with(import);
    }
    let declared: Vec<Import> = plugin
        .info
        .imports
        .iter()
        .filter_map(|name| Import::by_name(name))
        .collect();
    let missing: Vec<&'static str> = declared
        .iter()
        .filter(|import| !grants.has(**import))
        .map(|import| import.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(PrepareError::Ungranted {
            plugin: plugin.identity.label.clone(),
            names: missing,
        });
    }
    Ok(declared.into_iter().fold(Imports::NONE, Imports::with))
}

/// The configuration's canonical text, where it fits the schema.
fn config(plugin: &Plugin, config: &Json) -> Result<Arc<str>, PrepareError> {
    let findings: Vec<Finding> = plugin
        .validator
        .iter_errors(config)
        .take(limits::FINDINGS_MAX)
        .map(|error| Finding {
            path: error.instance_path().to_string(),
            message: error.to_string(),
        })
        .collect();
    if !findings.is_empty() {
        return Err(PrepareError::Config(findings));
    }
    let text = canonical::text(config);
    if text.len() > limits::CONFIG_BYTES_MAX {
        return Err(PrepareError::TooLarge {
            what: "config",
            bytes: text.len(),
            max: limits::CONFIG_BYTES_MAX,
        });
    }
    Ok(text.into())
}

fn data(mut files: Vec<(String, Bytes)>) -> Result<Arc<DataFiles>, PrepareError> {
    let bytes = files
        .iter()
        .map(|(_, bytes)| bytes.len())
        .fold(0, usize::saturating_add);
    if bytes > limits::DATA_BYTES_MAX {
        return Err(PrepareError::TooLarge {
            what: "data",
            bytes,
            max: limits::DATA_BYTES_MAX,
        });
    }
    files.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Arc::new(DataFiles(files)))
}

/// What instances are made from: one that a living step already has, one compiled earlier, or a new one.
fn template(
    runtime: &Inner,
    plugin: &Plugin,
    instances: Instances,
    config: Arc<str>,
    data: &Arc<DataFiles>,
) -> Result<Arc<Template>, PrepareError> {
    let key = TemplateKey {
        plugin: plugin.identity.digest,
        config: digest(config.as_bytes()),
        data: data
            .0
            .iter()
            .map(|(name, bytes)| (name.clone(), digest(bytes)))
            .collect(),
    };
    // Held while building, so that two steps with the same key build once.
    let mut templates = runtime.templates();
    templates.retain(|_, template| template.strong_count() > 0);
    if let Some(template) = templates.get(&key).and_then(std::sync::Weak::upgrade) {
        // One that has to configure every instance is for pooled steps only, whoever made it.
        if template.configure.is_none() || instances == Instances::Pooled {
            return Ok(template);
        }
    }
    // An interpreter's snapshot is another 12 to 18 MB to compile for each configuration, while configuring a pooled
    // instance takes it milliseconds.
    let as_usual = plugin.info.defaults.instances == Instances::Fresh;
    let frozen = if as_usual || instances == Instances::Fresh {
        frozen(runtime, plugin, &key, &config, data)
    } else {
        let reason = "the plugin's instances are pooled by default";
        Err(SnapshotError::Unsupported(reason.to_owned()))
    };
    let template = match frozen {
        Ok(pre) => Template {
            pre,
            configure: None,
        },
        Err(SnapshotError::Refused(detail)) => return Err(PrepareError::Refused { detail }),
        Err(SnapshotError::Fault(fault)) => return Err(PrepareError::Configure(fault)),
        Err(SnapshotError::Unsupported(reason)) if instances == Instances::Fresh => {
            return Err(PrepareError::NoSnapshot { reason });
        }
        Err(SnapshotError::Unsupported(reason)) => {
            tracing::info!(plugin = %plugin.identity.label, reason, "no snapshot; every pooled instance is configured anew");
            configured_anew(plugin, config, Arc::clone(data))?
        }
    };
    let template = Arc::new(template);
    templates.insert(key, Arc::downgrade(&template));
    Ok(template)
}

fn frozen(
    runtime: &Inner,
    plugin: &Plugin,
    key: &TemplateKey,
    config: &Arc<str>,
    data: &Arc<DataFiles>,
) -> Result<InstancePre<State>, SnapshotError> {
    let engine = &runtime.machine.engine;
    let code = Code::Snapshot {
        plugin: key.plugin,
        config: key.config,
        data: &key.data,
    };
    let unsupported = |error: wasmtime::Error| SnapshotError::Unsupported(format!("{error:#}"));
    if let Some(component) = runtime
        .cache
        .as_ref()
        .and_then(|cache| cache.get(engine, &code))
    {
        return runtime
            .linker
            .instantiate_pre(&component)
            .map_err(unsupported);
    }
    let bytes = snapshot::take(
        plugin,
        &runtime.linker,
        Arc::clone(config),
        Arc::clone(data),
    )?;
    let component = Component::from_binary(engine, &bytes).map_err(unsupported)?;
    if let Some(cache) = &runtime.cache {
        cache.put(&code, &component);
    }
    tracing::debug!(plugin = %plugin.identity.label, config = %key.config, snapshot = %digest(&bytes), "snapshot taken");
    runtime
        .linker
        .instantiate_pre(&component)
        .map_err(unsupported)
}

fn configured_anew(
    plugin: &Plugin,
    config: Arc<str>,
    data: Arc<DataFiles>,
) -> Result<Template, PrepareError> {
    let meta = match snapshot::indices(plugin.contract, &plugin.pre) {
        Ok(meta) => meta,
        Err(SnapshotError::Unsupported(reason) | SnapshotError::Refused(reason)) => {
            return Err(PrepareError::NoSnapshot { reason });
        }
        Err(SnapshotError::Fault(fault)) => return Err(PrepareError::Configure(fault)),
    };
    let configure = Configure {
        plugin: Arc::clone(&plugin.identity),
        meta,
        config,
        data,
        allowance: Allowance::configure(plugin.machine.memory_max_mib),
    };
    Ok(Template {
        pre: plugin.pre.clone(),
        configure: Some(Arc::new(configure)),
    })
}

/// Starts two instances; a response guard says the same of itself on both.
fn smoke(step: &mut Step) -> Result<(), PrepareError> {
    let fault = |failure| match failure {
        SnapshotError::Fault(fault) => PrepareError::Smoke(fault),
        SnapshotError::Refused(detail) => PrepareError::Refused { detail },
        SnapshotError::Unsupported(reason) => PrepareError::NoSnapshot { reason },
    };
    let one: Option<Coverage> = step.try_out().map_err(fault)?;
    let other = step.try_out().map_err(fault)?;
    if one != other {
        return Err(PrepareError::Coverage);
    }
    step.set_coverage(one);
    Ok(())
}

/// Names and digests of files, as they are part of a snapshot's key.
pub(crate) type DataDigests = Vec<(String, Digest)>;
