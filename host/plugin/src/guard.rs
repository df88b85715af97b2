//! A response guard at work: one instance for the answer of one attempt.

use std::sync::Arc;
use std::time::Instant;

use pointsman_domain::guard::{Action, Channel, Delta};
use pointsman_domain::{Attribute, FaultKind};
use wasmtime::component::ResourceAny;

use crate::call::CallStats;
use crate::exports::{Actions, GuardExports, RoleExports};
use crate::fault::{Cause, Failure, StepFailure};
use crate::instance::{self, Live};
use crate::machine::Machine;
use crate::plugin::Identity;
use crate::record::Fold;
use crate::state::State;
use crate::step::{Step, nanoseconds};
use crate::trips::Turn;
use crate::{limits, wit};

/// A guard of one attempt. After a failure it is gone: further calls fail too.
pub struct ResponseGuard {
    machine: Arc<Machine>,
    plugin: Arc<Identity>,
    returned_bytes: u32,
    call_fuel: u64,
    /// What is left for the whole response.
    fuel: u64,
    running: Option<Instance>,
    stats: CallStats,
    /// Until it is known whether the answer went well.
    turn: Option<Turn>,
}

struct Instance {
    live: Live,
    guard: ResourceAny,
}

impl std::fmt::Debug for ResponseGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseGuard")
            .field("plugin", &self.plugin.label)
            .field("running", &self.running.is_some())
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl ResponseGuard {
    /// A guard that was constructed in this instance, at this cost.
    pub(crate) fn new(
        step: &Step,
        live: Live,
        guard: ResourceAny,
        stats: CallStats,
        turn: Option<Turn>,
    ) -> Self {
        let limits = &step.allowance.limits;
        let fuel = limits.fuel.saturating_mul(limits::RESPONSE_FUEL_CALLS);
        Self {
            machine: Arc::clone(&step.machine),
            plugin: Arc::clone(&step.plugin),
            returned_bytes: limits.returned_bytes,
            call_fuel: limits.fuel,
            fuel: fuel.saturating_sub(stats.fuel),
            running: Some(Instance { live, guard }),
            stats,
            turn,
        }
    }

    /// What it took so far. The digest covers all calls in order.
    #[must_use]
    pub const fn stats(&self) -> CallStats {
        self.stats
    }

    /// Announces a channel.
    ///
    /// # Errors
    /// A fault, or the plugin's own error; the guard is gone then.
    pub async fn open(&mut self, id: u32, about: &Channel) -> Result<(), StepFailure> {
        let about = wit::channel(about);
        self.call(async |guest, store, guard| {
            let (opened,) = guest.open.call_async(store, (guard, id, about)).await?;
            Ok(opened.map_err(|error| wit::plugin_error(&error))?)
        })
        .await
    }

    /// Hands over all deltas of one event.
    ///
    /// # Errors
    /// A fault, or the plugin's own error; the guard is gone then.
    pub async fn push(&mut self, deltas: &[Delta]) -> Result<Vec<Action>, StepFailure> {
        self.stats.pushes = self.stats.pushes.saturating_add(1);
        let deltas: Vec<_> = deltas.iter().map(wit::delta).collect();
        let pushed = self
            .call(async |guest, store, guard| {
                actions(guest.push.call_async(store, (guard, deltas)).await?)
            })
            .await;
        if let (Ok(_), Some(turn)) = (&pushed, &mut self.turn) {
            turn.proved();
        }
        pushed
    }

    /// A channel ended.
    ///
    /// # Errors
    /// A fault, or the plugin's own error; the guard is gone then.
    pub async fn close(&mut self, channel: u32) -> Result<Vec<Action>, StepFailure> {
        self.call(async |guest, store, guard| {
            actions(guest.close.call_async(store, (guard, channel)).await?)
        })
        .await
    }

    /// Channels reached a bound of hold-back.
    ///
    /// # Errors
    /// A fault, or the plugin's own error; the guard is gone then.
    pub async fn expire(&mut self, channels: &[u32]) -> Result<Vec<Action>, StepFailure> {
        let channels = channels.to_vec();
        self.call(async |guest, store, guard| {
            actions(guest.expire.call_async(store, (guard, channels)).await?)
        })
        .await
    }

    /// The answer ended.
    ///
    /// # Errors
    /// A fault, or the plugin's own error; the guard is gone then.
    pub async fn finish(&mut self, outcome: Vec<Attribute>) -> Result<Vec<Action>, StepFailure> {
        let outcome = wit::attributes(&outcome);
        let finished = self
            .call(async |guest, store, guard| {
                actions(guest.finish.call_async(store, (guard, outcome)).await?)
            })
            .await;
        if let (Ok(_), Some(turn)) = (&finished, self.turn.take()) {
            turn.ended(None);
        }
        finished
    }

    /// The host found what it answered at fault: it counts against the step.
    pub fn blame(&mut self) {
        if let Some(turn) = self.turn.take() {
            turn.ended(Some(FaultKind::Contract));
        }
    }

    /// Runs one call. The instance is out of the guard meanwhile: a call that fails, or that is dropped midway, takes
    /// it along.
    async fn call<T: Fold>(
        &mut self,
        body: impl AsyncFnOnce(
            &GuardExports,
            &mut wasmtime::Store<State>,
            ResourceAny,
        ) -> Result<T, Failure>,
    ) -> Result<T, StepFailure> {
        let started = Instant::now();
        let machine = Arc::clone(&self.machine);
        let _running = machine.ticker.running();
        let result = match self.running.take() {
            Some(mut running) => {
                let result = self.run(&mut running, body).await;
                if result.is_ok() {
                    self.running = Some(running);
                }
                result
            }
            None => Err(Cause::contract("the guard has failed before").into()),
        };
        self.stats.time_ns = self.stats.time_ns.saturating_add(nanoseconds(started));
        let result = result.map_err(|failure| failure.of(&self.plugin.label, self.returned_bytes));
        if let Err(failure) = &result
            && let Some(turn) = self.turn.take()
        {
            turn.ended(failure.fault());
        }
        result
    }

    async fn run<T: Fold>(
        &mut self,
        running: &mut Instance,
        body: impl AsyncFnOnce(
            &GuardExports,
            &mut wasmtime::Store<State>,
            ResourceAny,
        ) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let Instance { live, guard } = running;
        let RoleExports::ResponseGuard(role) = &live.exports else {
            return Err(Cause::contract("not a response-guard").into());
        };
        let given = self.call_fuel.min(self.fuel);
        instance::arm(&mut live.store, given)?;
        let result = body(role, &mut live.store, *guard).await;
        let used = given.saturating_sub(live.store.get_fuel()?);
        self.fuel = self.fuel.saturating_sub(used);
        self.stats.fuel = self.stats.fuel.saturating_add(used);
        let state = live.store.data_mut();
        state.recorder.end(&result);
        self.stats.host_calls = state.host_calls;
        self.stats.memory_kib = state.memory.used_kib();
        self.stats.imports_digest = state.recorder.digest();
        result
    }
}

fn actions((answer,): Actions) -> Result<Vec<Action>, Failure> {
    Ok(wit::actions_in(
        answer.map_err(|error| wit::plugin_error(&error))?,
    )?)
}
