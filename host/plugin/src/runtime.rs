//! The runtime: one engine, its caches, and what is alive on it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pointsman_domain::Digest;
use wasmtime::component::Linker;

use crate::compile_cache::{CacheError, CompileCache};
use crate::function_cache::FunctionCache;
use crate::limits;
use crate::load::{self, LoadError, Loader};
use crate::machine::Machine;
use crate::offer;
use crate::plugin::Plugin;
use crate::prepare::{self, DataDigests, PrepareError, StepSpec};
use crate::snapshot::Template;
use crate::state::State;
use crate::step::Step;

/// How a runtime is set up.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Where compiled code is kept, a folder of the gateway's own (mode 0700). None: nothing is kept.
    pub compile_cache_dir: Option<PathBuf>,
    /// Instances that may live at once, those of open response guards and of pools included. Each costs six memory
    /// mappings, so it stays well below a tenth of `vm.max_map_count`.
    pub instances_max: u32,
    /// The most memory that a step's `memory_mib` may ask for, MiB: address space, not memory.
    pub memory_max_mib: u32,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            compile_cache_dir: None,
            instances_max: 1000,
            memory_max_mib: limits::ASKED_MEMORY_MIB_MAX,
        }
    }
}

/// Why there is no runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The machine cannot run it as set up.
    #[error(
        "cannot set up WebAssembly: {detail}; lower the number of live instances or their memory"
    )]
    Engine {
        /// What is missing.
        detail: String,
    },
    /// The folder for compiled code cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// What a snapshot depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TemplateKey {
    pub(crate) plugin: Digest,
    pub(crate) config: Digest,
    pub(crate) data: DataDigests,
}

type Templates = HashMap<TemplateKey, Weak<Template>>;

pub(crate) struct Inner {
    pub(crate) machine: Arc<Machine>,
    pub(crate) linker: Linker<State>,
    pub(crate) cache: Option<CompileCache>,
    functions: Arc<FunctionCache>,
    plugins: Mutex<HashMap<Digest, Weak<Plugin>>>,
    templates: Mutex<Templates>,
}

impl Inner {
    pub(crate) fn templates(&self) -> MutexGuard<'_, Templates> {
        self.templates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads plugins and prepares steps. Steps outlive it; what it keeps only for preparing goes with it.
pub struct Runtime(Inner);

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Starts one.
    ///
    /// # Errors
    /// When the address space or the ticker's thread cannot be had, or the cache folder is not ours alone.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let functions = Arc::<FunctionCache>::default();
        let engine = |error: wasmtime::Error| RuntimeError::Engine {
            detail: format!("{error:#}"),
        };
        let machine = Machine::new(
            config.instances_max.max(1),
            config.memory_max_mib.max(1),
            Arc::clone(&functions),
        )
        .map_err(engine)?;
        let linker = offer::linker(&machine).map_err(engine)?;
        let cache = match config.compile_cache_dir {
            Some(folder) => Some(CompileCache::open(&folder, &machine.engine)?),
            None => None,
        };
        Ok(Self(Inner {
            machine: Arc::new(machine),
            linker,
            cache,
            functions,
            plugins: Mutex::default(),
            templates: Mutex::default(),
        }))
    }

    /// Verifies and compiles a component. The same bytes give the same plugin while one is alive.
    ///
    /// # Errors
    /// Why it is refused, and what to do.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        let digest = load::digest(bytes);
        let mut plugins = self
            .0
            .plugins
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        plugins.retain(|_, plugin| plugin.strong_count() > 0);
        if let Some(plugin) = plugins.get(&digest).and_then(Weak::upgrade) {
            return Ok(plugin);
        }
        let loader = Loader {
            machine: &self.0.machine,
            linker: &self.0.linker,
            cache: self.0.cache.as_ref(),
        };
        let plugin = Arc::new(loader.load(bytes, digest)?);
        plugins.insert(digest, Arc::downgrade(&plugin));
        Ok(plugin)
    }

    /// Configures a plugin for a step and tries it out. Steps with the same plugin, configuration and files share
    /// their compiled state. Takes from milliseconds to seconds: not for the request path.
    ///
    /// # Errors
    /// Why the step is refused, and what to do.
    pub fn prepare(&self, spec: StepSpec) -> Result<Arc<Step>, PrepareError> {
        prepare::prepare(&self.0, spec)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.0.functions.close();
    }
}
