//! From bytes to a plugin: what is not a component of the contract is refused with a reason.

use std::sync::{Arc, OnceLock};

use pointsman_domain::{Digest, Fault, Role};
use sha2::{Digest as _, Sha256};
use wasmtime::component::{Component, InstancePre, Linker};

use crate::compile_cache::{Code, CompileCache};
use crate::contract::{self, Contract, Export, Import, SERVED, WIT_VERSION};
use crate::exports::{MetaIndices, RoleIndices};
use crate::fault::Cause;
use crate::generated::exports::pointsman::plugin::meta;
use crate::instance;
use crate::limits;
use crate::machine::Machine;
use crate::plugin::{Identity, Plugin, PluginInfo, StepDefaults};
use crate::state::{Allowance, State};

/// Why a component is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It is too large.
    #[error(
        "the component has {bytes} bytes, more than the {max} that are taken; build it with `opt-level = \"s\"` and `lto`"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It is not WebAssembly.
    #[error(
        "not a WebAssembly component: the first bytes are not `\\0asm`; give the file that `pointsman plugin build` wrote"
    )]
    NotWasm,
    /// It is a core module.
    #[error(
        "a core module, not a component; build it with `pointsman plugin build`, or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// It does not validate or compile.
    #[error("the component does not compile: {detail}")]
    Invalid {
        /// What the compiler said.
        detail: String,
    },
    /// It imports what nobody offers.
    #[error(
        "it imports `{name}`, which this gateway does not offer (it offers pointsman:plugin {SERVED}){hint}"
    )]
    UnknownImport {
        /// The import's full name.
        name: String,
        /// What to do.
        hint: &'static str,
    },
    /// It exports what nobody calls.
    #[error(
        "it exports `{name}`, which is no interface of pointsman:plugin {SERVED}; export `meta` and roles only"
    )]
    UnknownExport {
        /// The export's full name.
        name: String,
    },
    /// It names two versions of the contract that do not fit each other.
    #[error(
        "it speaks two versions of the contract: `{one}` and `{other}`; build all of it against one"
    )]
    TwoContracts {
        /// An interface's full name.
        one: String,
        /// Another's.
        other: String,
    },
    /// It cannot describe itself.
    #[error(
        "it does not export `meta`; add `describe` and `configure`, as the SDK's `export_plugin!` does"
    )]
    NoMeta,
    /// It can do nothing.
    #[error(
        "it exports no role; export at least one of classifier, request-guard, splitter, router, response-guard, accountant"
    )]
    NoRole,
    /// Its functions have other types than the contract's.
    #[error(
        "its interfaces differ from those of pointsman:plugin@{version}: {detail}; build it against {WIT_VERSION}"
    )]
    Mismatch {
        /// The contract's version that it names.
        version: String,
        /// What differs.
        detail: String,
    },
    /// It could not say what it is.
    #[error("`describe` failed")]
    Describe(#[source] Fault),
    /// What it says of itself cannot be right.
    #[error("`describe` returned a bad {field}: {detail}")]
    Info {
        /// `name`, `version`, `config-schema`, `imports` or `attributes`.
        field: &'static str,
        /// What is wrong and what is expected.
        detail: String,
    },
}

/// What loading needs of the runtime.
pub(crate) struct Loader<'a> {
    pub(crate) machine: &'a Arc<Machine>,
    pub(crate) linker: &'a Linker<State>,
    pub(crate) cache: Option<&'a CompileCache>,
}

/// sha256 of bytes.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

impl Loader<'_> {
    pub(crate) fn load(&self, bytes: &[u8], digest: Digest) -> Result<Plugin, LoadError> {
        shape(bytes)?;
        let component = self.compile(bytes, digest)?;
        let spoken = self.interfaces(&component)?;
        let pre = self.linker.instantiate_pre(&component);
        let pre = pre.map_err(|error| spoken.mismatch(error))?;
        let info = self.describe(&pre, &spoken, digest)?;
        let contract = spoken.contract;
        let info = understood(info, spoken)?;
        let validator =
            jsonschema::validator_for(&info.config_schema).map_err(|error| LoadError::Info {
                field: "config-schema",
                detail: format!("not a JSON Schema: {error}"),
            })?;
        Ok(Plugin {
            machine: Arc::clone(self.machine),
            identity: Arc::new(Identity {
                label: format!("{}@{}", info.name, info.version),
                digest,
            }),
            info,
            contract,
            validator,
            bytes: bytes.into(),
            pre,
            instrumented: OnceLock::new(),
        })
    }

    fn compile(&self, bytes: &[u8], digest: Digest) -> Result<Component, LoadError> {
        let engine = &self.machine.engine;
        let code = Code::Component(digest);
        if let Some(component) = self.cache.and_then(|cache| cache.get(engine, &code)) {
            return Ok(component);
        }
        let component =
            Component::from_binary(engine, bytes).map_err(|error| LoadError::Invalid {
                detail: format!("{error:#}"),
            })?;
        if let Some(cache) = self.cache {
            cache.put(&code, &component);
        }
        Ok(component)
    }

    /// What it speaks, where imports and exports are the contract's.
    fn interfaces(&self, component: &Component) -> Result<Spoken, LoadError> {
        let engine = &self.machine.engine;
        let kind = component.component_type();
        for (name, _) in kind.imports(engine) {
            if !contract::importable(name) {
                let hint = if name.starts_with("wasi:") {
                    "; build for wasm32-unknown-unknown, which imports no WASI"
                } else {
                    ""
                };
                return Err(LoadError::UnknownImport {
                    name: name.to_owned(),
                    hint,
                });
            }
        }
        let mut meta = None;
        let mut roles = Vec::new();
        for (name, _) in kind.exports(engine) {
            match contract::export(name) {
                Some(Export::Meta) => meta = contract::interface(name).map(|(_, of)| (name, of)),
                Some(Export::Role(role)) => roles.push(role),
                None => {
                    return Err(LoadError::UnknownExport {
                        name: name.to_owned(),
                    });
                }
            }
        }
        let (meta, contract) = meta.ok_or(LoadError::NoMeta)?;
        if roles.is_empty() {
            return Err(LoadError::NoRole);
        }
        roles.sort_unstable();
        let names = kind.imports(engine).chain(kind.exports(engine));
        let mut others = names.map(|(name, _)| name);
        let differs = |name: &&str| contract::interface(name).is_some_and(|(_, of)| of != contract);
        if let Some(other) = others.find(differs) {
            return Err(LoadError::TwoContracts {
                one: meta.to_owned(),
                other: other.to_owned(),
            });
        }
        Ok(Spoken {
            contract,
            version: contract::version(meta).to_owned(),
            roles,
        })
    }

    /// Asks the plugin what it is, and checks the types of its functions on the way.
    fn describe(
        &self,
        pre: &InstancePre<State>,
        spoken: &Spoken,
        digest: Digest,
    ) -> Result<meta::Info, LoadError> {
        let mismatch = |error| spoken.mismatch(error);
        let meta = MetaIndices::of(spoken.contract, pre).map_err(mismatch)?;
        let roles = spoken.roles.iter();
        let roles = roles
            .map(|&role| RoleIndices::of(role, spoken.contract, pre))
            .collect::<Result<Vec<_>, _>>();
        let roles = roles.map_err(mismatch)?;
        // It has no name yet; its digest stands for it.
        let label = digest.to_string();
        let allowance = Allowance::describe();
        let fault = |error: wasmtime::Error| {
            LoadError::Describe(
                Cause::explained(&error, allowance.limits.returned_bytes).of(&label),
            )
        };
        let identity = Arc::new(Identity {
            label: label.clone(),
            digest,
        });
        let state = State::without_request(identity, "describe".into(), Arc::default(), allowance);
        instance::aside(self.machine, async {
            let mut store = instance::store(self.machine, state).map_err(fault)?;
            let instance = pre.instantiate_async(&mut store).await.map_err(fault)?;
            for role in &roles {
                role.load(&mut store, &instance).map_err(mismatch)?;
            }
            let meta = meta.load(&mut store, &instance).map_err(mismatch)?;
            let (info,) = meta
                .describe
                .call_async(&mut store, ())
                .await
                .map_err(fault)?;
            Ok(info)
        })
    }
}

/// What a component speaks.
struct Spoken {
    contract: Contract,
    version: String,
    roles: Vec<Role>,
}

impl Spoken {
    fn mismatch(&self, error: wasmtime::Error) -> LoadError {
        LoadError::Mismatch {
            version: self.version.clone(),
            detail: format!("{error:#}"),
        }
    }
}

/// Size, and what the first eight bytes say.
fn shape(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.len() > limits::COMPONENT_BYTES_MAX {
        return Err(LoadError::TooLarge {
            bytes: bytes.len(),
            max: limits::COMPONENT_BYTES_MAX,
        });
    }
    match bytes.get(..8) {
        Some(b"\0asm\x01\0\0\0") => Err(LoadError::CoreModule),
        Some([0, b'a', b's', b'm', ..]) => Ok(()),
        _ => Err(LoadError::NotWasm),
    }
}

fn understood(info: meta::Info, spoken: Spoken) -> Result<PluginInfo, LoadError> {
    let bad = |field, detail: String| LoadError::Info { field, detail };
    if !is_name(&info.name) {
        let detail =
            "expected lower-case letters, digits and hyphens, at most 64, beginning with a letter";
        return Err(bad("name", detail.to_owned()));
    }
    if !is_version(&info.version) {
        return Err(bad(
            "version",
            "expected a semantic version such as 1.2.3".to_owned(),
        ));
    }
    if let Some(unknown) = info
        .imports
        .iter()
        .find(|name| Import::by_name(name).is_none())
    {
        let unknown = crate::wit::cut(unknown, 64);
        let detail = format!("`{unknown}` is none of: {}", contract::import_names());
        return Err(bad("imports", detail));
    }
    let mut imports = info.imports;
    imports.sort_unstable();
    imports.dedup();
    let config_schema = serde_json::from_str(&info.config_schema)
        .map_err(|error| bad("config-schema", format!("not JSON: {error}")))?;
    let attributes = crate::wit::attributes_in(info.attributes)
        .map_err(|cause| bad("attributes", cause.detail))?;
    let defaults = StepDefaults::asked(&attributes).map_err(|detail| bad("attributes", detail))?;
    Ok(PluginInfo {
        name: info.name,
        version: info.version,
        contract: spoken.version,
        roles: spoken.roles,
        imports,
        config_schema,
        defaults,
        attributes,
    })
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(plain)
}

fn is_version(version: &str) -> bool {
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let number = |part: &str| {
        !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit())
    };
    let rest = &version[numbers.len()..];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
    version.len() <= 64
        && numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && rest.len() != 1
        && rest.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::{is_name, is_version};

    #[test]
    fn versions_are_semantic() {
        for good in [
            "0.1.0",
            "1.22.333",
            "1.0.0-rc.1",
            "1.0.0+build.5",
            "1.0.0-a+b",
        ] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "", "1", "1.0", "1.0.0.0", "v1.0.0", "1..0", "1.0.x", "1.0.0-", "1.0.0 ", "1.0.0-ä",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
    }

    #[test]
    fn names_are_kebab_case() {
        assert!(is_name("guard-pii") && is_name("a1"));
        for bad in ["", "Guard", "1a", "-a", "a b", "a@1"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
