//! One instance with its store: made, armed with limits, and thrown away.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasmtime::Store;

use crate::exports::RoleExports;
use crate::machine::Machine;
use crate::state::State;

/// A store with its limits set.
pub(crate) fn store(machine: &Machine, state: State) -> wasmtime::Result<Store<State>> {
    let limits = *state.limits();
    let mut store = Store::new(&machine.engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(limits.returned_bytes as usize);
    store.epoch_deadline_callback(|mut context| context.data_mut().tick());
    arm(&mut store, limits.fuel)?;
    Ok(store)
}

/// Limits of the next call. Nearly due from the start: an epoch that is far away would never make the call yield.
pub(crate) fn arm(store: &mut Store<State>, fuel: u64) -> wasmtime::Result<()> {
    store.data_mut().refill();
    store.set_fuel(fuel)?;
    store.set_epoch_deadline(1);
    Ok(())
}

/// A running instance of one role.
pub(crate) struct Live {
    pub(crate) store: Store<State>,
    pub(crate) exports: RoleExports,
    /// Calls that it has answered.
    pub(crate) calls: u32,
}

/// Runs a call to its end on this thread, off the request path. Nothing in it waits for I/O: it is pending only where
/// it yields.
pub(crate) fn aside<T>(machine: &Machine, call: impl Future<Output = T>) -> T {
    let _running = machine.ticker.running();
    to_end(call)
}

/// The same within a call for which the ticker already runs.
pub(crate) fn to_end<T>(call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = call.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::yield_now();
    }
}
