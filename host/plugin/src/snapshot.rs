//! The configured state of a plugin, frozen: `configure` runs once, and every instance starts after it.
//!
//! The component is rewritten so that its memories and globals can be read, configured, read, and written back as a
//! component whose initial state is the configured one (wasmtime-wizer does the rewriting). The same component,
//! configuration and files give the same bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pointsman_domain::Fault;
use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentNamedList, Instance, InstancePre, Lift, Linker, WasmList,
};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

use crate::contract::Contract;
use crate::exports::MetaIndices;
use crate::fault::Cause;
use crate::instance;
use crate::limits;
use crate::machine::Machine;
use crate::plugin::{Identity, Plugin};
use crate::state::{Allowance, DataFiles, State};

/// What instances of a step are made from.
pub(crate) struct Template {
    pub(crate) pre: InstancePre<State>,
    /// Where the state could not be frozen: the configuration that every new instance is given.
    pub(crate) configure: Option<Arc<Configure>>,
}

/// A configuration to apply to an instance.
pub(crate) struct Configure {
    pub(crate) plugin: Arc<Identity>,
    pub(crate) meta: MetaIndices,
    pub(crate) config: Arc<str>,
    pub(crate) data: Arc<DataFiles>,
    pub(crate) allowance: Allowance,
}

/// Why there is no snapshot.
pub(crate) enum SnapshotError {
    /// `configure` returned an error, for the operator.
    Refused(String),
    /// `configure` trapped, ran into a limit or called what it may not.
    Fault(Fault),
    /// The component has something that cannot be frozen.
    Unsupported(String),
}

impl Configure {
    /// A configured instance in a store of its own.
    pub(crate) async fn instance(
        &self,
        machine: &Machine,
        pre: &InstancePre<State>,
        slack_bytes: usize,
    ) -> Result<(Store<State>, Instance), SnapshotError> {
        let fault = |error: wasmtime::Error| {
            let cause = Cause::explained(&error, self.allowance.limits.returned_bytes);
            SnapshotError::Fault(cause.of(&self.plugin.label))
        };
        let (plugin, data) = (Arc::clone(&self.plugin), Arc::clone(&self.data));
        let state = State::without_request(plugin, "configure".into(), data, self.allowance);
        let mut store = instance::store(machine, state).map_err(fault)?;
        let instance = pre.instantiate_async(&mut store).await.map_err(fault)?;
        let meta = self.meta.load(&mut store, &instance).map_err(fault)?;
        let (configured,) = meta
            .configure
            .call_async(&mut store, (self.config.as_ref().to_owned(),))
            .await
            .map_err(fault)?;
        configured.map_err(|detail| {
            SnapshotError::Refused(crate::wit::cut(&detail, limits::STRING_BYTES_MAX).to_owned())
        })?;
        store.data_mut().memory.add(slack_bytes);
        Ok((store, instance))
    }
}

/// Configures a plugin and returns the component of its configured state.
pub(crate) fn take(
    plugin: &Plugin,
    linker: &Linker<State>,
    config: Arc<str>,
    data: Arc<DataFiles>,
) -> Result<Vec<u8>, SnapshotError> {
    let machine = &plugin.machine;
    let pre = plugin
        .instrumented
        .get_or_init(|| instrumented(machine, linker, &plugin.bytes))
        .as_ref()
        .map_err(|reason| SnapshotError::Unsupported(reason.clone()))?;
    let configure = Configure {
        plugin: Arc::clone(&plugin.identity),
        meta: indices(plugin.contract, pre)?,
        config,
        data,
        allowance: Allowance::configure(machine.memory_max_mib),
    };
    instance::aside(machine, async {
        let slack = limits::SNAPSHOT_SLACK_BYTES;
        let (mut store, instance) = configure.instance(machine, pre, slack).await?;
        freeze(&plugin.bytes, &mut store, instance)
    })
}

/// Where `meta` is in a component of this plugin.
pub(crate) fn indices(
    contract: Contract,
    pre: &InstancePre<State>,
) -> Result<MetaIndices, SnapshotError> {
    MetaIndices::of(contract, pre).map_err(|error| SnapshotError::Unsupported(format!("{error:#}")))
}

/// The component in its readable form, compiled.
fn instrumented(
    machine: &Machine,
    linker: &Linker<State>,
    bytes: &[u8],
) -> Result<InstancePre<State>, String> {
    let readable = guarded(|| Ok(Wizer::new().instrument_component(bytes)?.1))?;
    let compiled = Component::from_binary(&machine.engine, &readable);
    compiled
        .and_then(|component| linker.instantiate_pre(&component))
        .map_err(|error| format!("{error:#}"))
}

/// Reads the state of a configured instance into a new component.
fn freeze(
    bytes: &[u8],
    store: &mut Store<State>,
    instance: Instance,
) -> Result<Vec<u8>, SnapshotError> {
    // Memories are read whole, and by functions that count as guest code.
    store.set_hostcall_fuel(usize::MAX);
    let armed = instance::arm(store, limits::CONFIGURE_FUEL);
    armed.map_err(|error| SnapshotError::Unsupported(format!("{error:#}")))?;
    let mut reader = Reader {
        store,
        instance,
        failed: None,
    };
    let frozen = guarded(|| {
        let wizer = Wizer::new();
        let (context, _) = wizer.instrument_component(bytes)?;
        instance::to_end(wizer.snapshot_component(&context, &mut reader))
    });
    match (reader.failed, frozen) {
        (Some(error), _) => Err(SnapshotError::Unsupported(format!(
            "its state cannot be read: {error:#}"
        ))),
        (None, Err(reason)) => Err(SnapshotError::Unsupported(reason)),
        (None, Ok(component)) => Ok(component),
    }
}

/// The rewriter asserts what it does not support; a panic in it is a reason like any other.
fn guarded<T>(rewrite: impl FnOnce() -> wasmtime::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(rewrite)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err("the component has a form that cannot be rewritten".to_owned()),
    }
}

/// How the rewriter reads an instance. Its methods cannot fail, so the first failure is kept and nothing is read.
struct Reader<'a> {
    store: &'a mut Store<State>,
    instance: Instance,
    failed: Option<wasmtime::Error>,
}

impl Reader<'_> {
    async fn read<R>(&mut self, interface: &str, function: &str) -> Option<R>
    where
        R: Lift + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        if self.failed.is_some() {
            return None;
        }
        match self.call(interface, function).await {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    async fn call<R>(&mut self, interface: &str, function: &str) -> wasmtime::Result<R>
    where
        R: Lift + Send + Sync + 'static,
        (R,): ComponentNamedList + Lift,
    {
        let missing = || wasmtime::format_err!("no export {interface}#{function}");
        let index = self
            .instance
            .get_export_index(&mut *self.store, None, interface);
        let index = index.ok_or_else(missing)?;
        let index = self
            .instance
            .get_export_index(&mut *self.store, Some(&index), function);
        let index = index.ok_or_else(missing)?;
        let function = self
            .instance
            .get_typed_func::<(), (R,)>(&mut *self.store, index)?;
        Ok(function.call_async(&mut *self.store, ()).await?.0)
    }
}

impl ComponentInstanceState for Reader<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        interface: &str,
        function: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        match self.read::<WasmList<u8>>(interface, function).await {
            Some(list) => contents(list.as_le_slice(&*self.store)),
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, interface: &str, function: &str) -> i32 {
        self.read(interface, function).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, interface: &str, function: &str) -> i64 {
        self.read(interface, function).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, interface: &str, function: &str) -> u32 {
        self.read::<f32>(interface, function)
            .await
            .unwrap_or_default()
            .to_bits()
    }

    async fn call_func_ret_f64(&mut self, interface: &str, function: &str) -> u64 {
        self.read::<f64>(interface, function)
            .await
            .unwrap_or_default()
            .to_bits()
    }
}
