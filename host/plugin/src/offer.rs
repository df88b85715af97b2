//! What the linker offers: the newest contract as the bindings have it, and earlier ones function by function under
//! their own names. An earlier contract's list never changes, so its components cannot call what came later.

use wasmtime::StoreContextMut;
use wasmtime::component::{HasSelf, Linker, LinkerInstance, Resource, ResourceType};

use crate::contract::Contract;
use crate::generated::pointsman::plugin as wit;
use crate::machine::Machine;
use crate::state::{PoolHandle, State, ViewHandle};

type View = Resource<ViewHandle>;
type Pool = Resource<PoolHandle>;

/// A linker with all contracts that are served.
pub(crate) fn linker(machine: &Machine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(&machine.engine);
    newest(&mut linker)?;
    v0_1(&mut linker)?;
    Ok(linker)
}

fn newest(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wit::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::request::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::targets::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::random::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::data::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::counters::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::embedding::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::secrets::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    wit::prices::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// Functions of an interface, each answered by a method of the bindings' trait.
macro_rules! offer {
    ($linker:expr, $contract:expr, $interface:literal, $host:path, {
        $($name:literal = $method:ident($($arg:ident: $kind:ty),*);)*
    }) => {{
        let mut instance = $linker.instance(&$contract.name($interface))?;
        $(instance.func_wrap(
            $name,
            |mut store: StoreContextMut<'_, State>, ($($arg,)*): ($($kind,)*)| {
                <State as $host>::$method(store.data_mut(), $($arg),*).map(|answer| (answer,))
            },
        )?;)*
        instance
    }};
}

fn v0_1(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let contract = Contract::V0_1;
    linker.instance(&contract.name("types"))?;
    let mut request = offer!(linker, contract, "request", wit::request::HostView, {
        "[method]view.field" = field(view: View, name: String);
        "[method]view.label" = label(view: View, key: String);
        "[method]view.header" = header(view: View, name: String);
        "[method]view.message-count" = message_count(view: View);
        "[method]view.message-field" = message_field(view: View, message: u32, name: String);
        "[method]view.part-field" = part_field(view: View, message: u32, part: u32, name: String);
        "[method]view.segment-count" = segment_count(view: View);
        "[method]view.segments" = segments(view: View, first: u32, count: u32);
        "[method]view.recent-text" = recent_text(view: View, messages: u32, bytes_max: u32);
        "[method]view.tool-names" = tool_names(view: View);
        "[method]view.tool-schema" = tool_schema(view: View, name: String);
        "[method]view.body-length" = body_length(view: View);
        "[method]view.body" = body(view: View, offset: u64, length: u32);
    });
    handle::<ViewHandle>(&mut request, "view")?;
    let mut targets = offer!(linker, contract, "targets", wit::targets::HostPool, {
        "[method]pool.names" = names(pool: Pool);
        "[method]pool.column" = column(pool: Pool, key: String);
    });
    handle::<PoolHandle>(&mut targets, "pool")?;
    let mut log = linker.instance(&contract.name("log"))?;
    log.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, State>, (level, message): (wit::log::Level, String)| {
            wit::log::Host::log(store.data_mut(), level, message)
        },
    )?;
    offer!(linker, contract, "clock", wit::clock::Host, {
        "now-ms" = now_ms();
    });
    offer!(linker, contract, "random", wit::random::Host, {
        "next-u64" = next_u64();
    });
    offer!(linker, contract, "data", wit::data::Host, {
        "size" = size(name: String);
        "read" = read(name: String, offset: u64, length: u32);
    });
    offer!(linker, contract, "counters", wit::counters::Host, {
        "count" = count(name: String, window_seconds: u32);
    });
    offer!(linker, contract, "embedding", wit::embedding::Host, { "vector" = vector(name: String); });
    offer!(linker, contract, "secrets", wit::secrets::Host, {
        "hmac" = hmac(name: String, message: Vec<u8>);
    });
    offer!(linker, contract, "prices", wit::prices::Host, { "rates" = rates(target: String); });
    Ok(())
}

/// A resource of the host: guests only borrow it, so dropping one does nothing.
fn handle<H: 'static>(
    instance: &mut LinkerInstance<'_, State>,
    name: &str,
) -> wasmtime::Result<()> {
    instance.resource(name, ResourceType::host::<H>(), |_, _| Ok(()))
}
