//! The functions that a component exports, found under the version of the contract that it speaks. Their types are the
//! same in all versions that are served.

use pointsman_domain::Role;
use wasmtime::Store;
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower, Resource,
    ResourceAny, TypedFunc,
};

use crate::contract::Contract;
use crate::generated::exports::pointsman::plugin as role;
use crate::generated::pointsman::plugin::types::{Attribute, Label, PluginError};
use crate::state::{PoolHandle, State, ViewHandle};

type View = Resource<ViewHandle>;
type Pool = Resource<PoolHandle>;
/// What functions return that may fail on purpose.
type Answer<T> = (Result<T, PluginError>,);
/// What the functions of a response guard return.
pub(crate) type Actions = Answer<Vec<role::response_guard::Action>>;

/// Where an interface's functions are in a component, in the order of their names.
#[derive(Clone)]
struct Found(Box<[ComponentExportIndex]>);

impl Found {
    fn find(
        pre: &InstancePre<State>,
        contract: Contract,
        interface: &str,
        names: &[&str],
    ) -> wasmtime::Result<Self> {
        let component = pre.component();
        let interface = contract.name(interface);
        let instance = component
            .get_export_index(None, interface.as_str())
            .ok_or_else(|| wasmtime::format_err!("no export `{interface}`"))?;
        let index = |name: &&str| {
            let index = component.get_export_index(Some(&instance), *name);
            index.ok_or_else(|| wasmtime::format_err!("`{interface}` has no function `{name}`"))
        };
        names.iter().map(index).collect::<Result<_, _>>().map(Self)
    }

    /// A function by its place, its type checked.
    fn load<P, R>(
        &self,
        place: usize,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        instance.get_typed_func(store, self.0[place])
    }
}

/// Where `meta` is in a component.
#[derive(Clone)]
pub(crate) struct MetaIndices(Found);

impl MetaIndices {
    pub(crate) fn of(contract: Contract, pre: &InstancePre<State>) -> wasmtime::Result<Self> {
        Found::find(pre, contract, "meta", &["describe", "configure"]).map(Self)
    }

    /// Both functions, their types checked.
    pub(crate) fn load(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Meta> {
        Ok(Meta {
            describe: self.0.load(0, store, instance)?,
            configure: self.0.load(1, store, instance)?,
        })
    }
}

/// `meta` in an instance.
pub(crate) struct Meta {
    pub(crate) describe: TypedFunc<(), (role::meta::Info,)>,
    pub(crate) configure: TypedFunc<(String,), (Result<(), String>,)>,
}

/// Where a role's functions are in a component.
#[derive(Clone)]
pub(crate) struct RoleIndices {
    role: Role,
    found: Found,
}

/// A role's functions in an instance.
pub(crate) enum RoleExports {
    Classifier(TypedFunc<(View,), Answer<Vec<Label>>>),
    RequestGuard(TypedFunc<(View,), Answer<role::request_guard::Checked>>),
    Splitter(TypedFunc<(View, u32), Answer<String>>),
    Router(TypedFunc<(View, Pool), Answer<role::router::Plan>>),
    ResponseGuard(GuardExports),
    Accountant(
        TypedFunc<(View, Vec<role::accountant::Usage>), Answer<Vec<role::accountant::CostLine>>>,
    ),
}

/// A response guard's functions in an instance.
pub(crate) struct GuardExports {
    pub(crate) covers: TypedFunc<(), (role::response_guard::Coverage,)>,
    pub(crate) constructor: TypedFunc<(View,), (ResourceAny,)>,
    pub(crate) open: TypedFunc<(ResourceAny, u32, role::response_guard::Channel), Answer<()>>,
    pub(crate) push: TypedFunc<(ResourceAny, Vec<role::response_guard::Delta>), Actions>,
    pub(crate) close: TypedFunc<(ResourceAny, u32), Actions>,
    pub(crate) expire: TypedFunc<(ResourceAny, Vec<u32>), Actions>,
    pub(crate) finish: TypedFunc<(ResourceAny, Vec<Attribute>), Actions>,
}

impl RoleIndices {
    pub(crate) fn of(
        role: Role,
        contract: Contract,
        pre: &InstancePre<State>,
    ) -> wasmtime::Result<Self> {
        let names: &[&str] = match role {
            Role::Classifier => &["classify"],
            Role::RequestGuard => &["check"],
            Role::Splitter => &["split"],
            Role::Router => &["route"],
            Role::ResponseGuard => &[
                "covers",
                "[constructor]guard",
                "[method]guard.open",
                "[method]guard.push",
                "[method]guard.close",
                "[method]guard.expire",
                "[method]guard.finish",
            ],
            Role::Accountant => &["account"],
        };
        let found = Found::find(pre, contract, role.as_str(), names)?;
        Ok(Self { role, found })
    }

    /// Finds the functions and checks their types.
    pub(crate) fn load(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<RoleExports> {
        let found = &self.found;
        Ok(match self.role {
            Role::Classifier => RoleExports::Classifier(found.load(0, store, instance)?),
            Role::RequestGuard => RoleExports::RequestGuard(found.load(0, store, instance)?),
            Role::Splitter => RoleExports::Splitter(found.load(0, store, instance)?),
            Role::Router => RoleExports::Router(found.load(0, store, instance)?),
            Role::ResponseGuard => RoleExports::ResponseGuard(GuardExports {
                covers: found.load(0, store, instance)?,
                constructor: found.load(1, store, instance)?,
                open: found.load(2, store, instance)?,
                push: found.load(3, store, instance)?,
                close: found.load(4, store, instance)?,
                expire: found.load(5, store, instance)?,
                finish: found.load(6, store, instance)?,
            }),
            Role::Accountant => RoleExports::Accountant(found.load(0, store, instance)?),
        })
    }
}
