//! A step, ready to run: every call on an instance of the configured plugin, within its limits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pointsman_domain::guard::Coverage;
use pointsman_domain::plan::{CandidatePool, Plan};
use pointsman_domain::request::Checked;
use pointsman_domain::usage::{CostLine, Usage};
use pointsman_domain::{Digest, Label, Role};
use wasmtime::component::{Resource, ResourceAny};

use crate::call::{Call, CallStats, Ran, Tenant};
use crate::contract::Import;
use crate::exports::{RoleExports, RoleIndices};
use crate::fault::{Cause, Failure, StepFailure};
use crate::guard::ResponseGuard;
use crate::instance::{self, Live};
use crate::machine::Machine;
use crate::plugin::{Identity, Plugin};
use crate::prepare::Instances;
use crate::record::Fold;
use crate::secrets::Secrets;
use crate::snapshot::{SnapshotError, Template};
use crate::state::{Allowance, DataFiles, ONLY, State};
use crate::trips::{Trips, Turn};
use crate::{check, limits, wit};

/// A step of a policy.
pub struct Step {
    pub(crate) id: Arc<str>,
    pub(crate) plugin: Arc<Identity>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) allowance: Allowance,
    role: Role,
    indices: RoleIndices,
    template: Arc<Template>,
    data: Arc<DataFiles>,
    secrets: Arc<Secrets>,
    instances: Instances,
    coverage: Option<Coverage>,
    trips: Option<Arc<Trips>>,
    idle: Mutex<Vec<Live>>,
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step")
            .field("id", &self.id)
            .field("plugin", &self.plugin.label)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Step {
    pub(crate) fn new(
        id: Arc<str>,
        plugin: &Plugin,
        role: Role,
        template: Arc<Template>,
        data: Arc<DataFiles>,
        secrets: Arc<Secrets>,
        allowance: Allowance,
        instances: Instances,
    ) -> wasmtime::Result<Self> {
        let trips = Trips::new(
            &allowance.limits,
            format!("{id} ({})", plugin.identity.label),
        );
        Ok(Self {
            id,
            plugin: Arc::clone(&plugin.identity),
            machine: Arc::clone(&plugin.machine),
            allowance,
            role,
            indices: RoleIndices::of(role, plugin.contract, &template.pre)?,
            template,
            data,
            secrets,
            instances,
            coverage: None,
            trips,
            idle: Mutex::default(),
        })
    }

    /// The step's id in its policy.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The role that it plays.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// `name@version` of its plugin.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin.label
    }

    /// Its plugin's digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.plugin.digest
    }

    /// Whether its plugin calls this interface, and may.
    #[must_use]
    pub const fn calls(&self, import: Import) -> bool {
        self.allowance.imports.has(import)
    }

    /// What a response guard covers; none for other roles.
    #[must_use]
    pub const fn coverage(&self) -> Option<&Coverage> {
        self.coverage.as_ref()
    }

    /// Whether the two steps run the same compiled state.
    #[must_use]
    pub fn shares_code_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.template, &other.template)
    }

    /// Bytes of its compiled state, and what tells it from others: steps that share it have the same identity.
    #[must_use]
    pub fn image(&self) -> (usize, usize) {
        let range = self.template.pre.component().image_range();
        let identity = Arc::as_ptr(&self.template).addr();
        (
            identity,
            range.end.addr().saturating_sub(range.start.addr()),
        )
    }

    /// Labels a request.
    pub async fn classify(&self, call: &Call) -> Ran<Vec<Label>> {
        self.run(call, None, async |live| {
            let RoleExports::Classifier(role) = &live.exports else {
                return Err(self.not(Role::Classifier).into());
            };
            let (labels,) = role
                .call_async(&mut live.store, (Resource::new_borrow(ONLY),))
                .await?;
            Ok(wit::labels_in(
                labels.map_err(|error| wit::plugin_error(&error))?,
            )?)
        })
        .await
    }

    /// Passes, edits or denies a request. Edits fit the request that was given.
    pub async fn check_request(&self, call: &Call) -> Ran<Checked> {
        self.run(call, None, async |live| {
            let RoleExports::RequestGuard(role) = &live.exports else {
                return Err(self.not(Role::RequestGuard).into());
            };
            let (checked,) = role
                .call_async(&mut live.store, (Resource::new_borrow(ONLY),))
                .await?;
            let checked = wit::checked_in(checked.map_err(|error| wit::plugin_error(&error))?)?;
            check::checked(&checked, &call.view)?;
            Ok(checked)
        })
        .await
    }

    /// Chooses a variant. `bucket` is 0 to 9999. Whether the variant exists is for the caller to check.
    pub async fn split(&self, call: &Call, bucket: u32) -> Ran<String> {
        self.run(call, None, async |live| {
            let RoleExports::Splitter(role) = &live.exports else {
                return Err(self.not(Role::Splitter).into());
            };
            let (variant,) = role
                .call_async(&mut live.store, (Resource::new_borrow(ONLY), bucket))
                .await?;
            Ok(wit::word(
                variant.map_err(|error| wit::plugin_error(&error))?,
            )?)
        })
        .await
    }

    /// Plans attempts; none abstains. Whether the targets are candidates is for the caller to check.
    pub async fn route(&self, call: &Call, candidates: Arc<CandidatePool>) -> Ran<Plan> {
        self.run(call, Some(candidates), async |live| {
            let RoleExports::Router(role) = &live.exports else {
                return Err(self.not(Role::Router).into());
            };
            let lent = (Resource::new_borrow(ONLY), Resource::new_borrow(ONLY));
            let (plan,) = role.call_async(&mut live.store, lent).await?;
            let plan = wit::plan_in(plan.map_err(|error| wit::plugin_error(&error))?)?;
            check::plan(&plan)?;
            Ok(plan)
        })
        .await
    }

    /// Prices usage. Every line is for an attempt that was given.
    pub async fn account(&self, call: &Call, usages: &[Usage]) -> Ran<Vec<CostLine>> {
        self.run(call, None, async |live| {
            let RoleExports::Accountant(role) = &live.exports else {
                return Err(self.not(Role::Accountant).into());
            };
            let given: Vec<_> = usages.iter().map(wit::usage).collect();
            let (lines,) = role
                .call_async(&mut live.store, (Resource::new_borrow(ONLY), given))
                .await?;
            let lines = wit::cost_lines_in(lines.map_err(|error| wit::plugin_error(&error))?)?;
            check::cost_lines(&lines, usages)?;
            Ok(lines)
        })
        .await
    }

    /// Starts a response guard for one attempt, on an instance of its own.
    pub async fn guard(&self, call: &Call) -> Ran<ResponseGuard> {
        let turn = match self.turn(call) {
            Ok(turn) => turn,
            Err(tripped) => return self.not_run(tripped),
        };
        let started = Instant::now();
        let _running = self.machine.ticker.running();
        let mut stats = CallStats {
            fresh: true,
            ..CallStats::default()
        };
        let constructed = match self.fresh(call, None).await {
            Ok(mut live) => {
                let guard = self.construct(&mut live).await;
                self.took(&live, &mut stats);
                guard.map(|guard| (live, guard))
            }
            Err(failure) => Err(failure),
        };
        stats.time_ns = nanoseconds(started);
        let result = match constructed {
            Ok((live, guard)) => Ok(ResponseGuard::new(self, live, guard, stats, turn)),
            Err(failure) => {
                let failure = self.failed(failure);
                if let Some(turn) = turn {
                    turn.ended(failure.fault());
                }
                Err(failure)
            }
        };
        Ran { result, stats }
    }

    async fn construct(&self, live: &mut Live) -> Result<ResourceAny, Failure> {
        let RoleExports::ResponseGuard(role) = &live.exports else {
            return Err(self.not(Role::ResponseGuard).into());
        };
        let view = (Resource::new_borrow(ONLY),);
        let (guard,) = role.constructor.call_async(&mut live.store, view).await?;
        Ok(guard)
    }

    /// Notes what a call took.
    fn took(&self, live: &Live, stats: &mut CallStats) {
        let left = live.store.get_fuel().unwrap_or(0);
        stats.fuel = self.allowance.limits.fuel.saturating_sub(left);
        let state = live.store.data();
        stats.host_calls = state.host_calls;
        stats.memory_kib = state.memory.used_kib();
        stats.imports_digest = state.recorder.digest();
    }

    /// Runs one call and its checks.
    async fn run<T: Fold>(
        &self,
        call: &Call,
        candidates: Option<Arc<CandidatePool>>,
        body: impl AsyncFnOnce(&mut Live) -> Result<T, Failure>,
    ) -> Ran<T> {
        let turn = match self.turn(call) {
            Ok(turn) => turn,
            Err(tripped) => return self.not_run(tripped),
        };
        let started = Instant::now();
        let _running = self.machine.ticker.running();
        let mut stats = CallStats::default();
        let lent = match self.take_idle() {
            Some(mut live) => self.lend(&mut live, call, candidates).map(|()| live),
            None => {
                stats.fresh = true;
                self.fresh(call, candidates).await
            }
        };
        let result = match lent {
            Ok(mut live) => {
                let result = body(&mut live).await;
                live.store.data_mut().recorder.end(&result);
                self.took(&live, &mut stats);
                if result.is_ok() {
                    self.keep_idle(live);
                }
                result
            }
            Err(failure) => Err(failure),
        };
        stats.time_ns = nanoseconds(started);
        let result = result.map_err(|failure| self.failed(failure));
        if let Some(turn) = turn {
            turn.ended(result.as_ref().err().and_then(StepFailure::fault));
        }
        Ran { result, stats }
    }

    /// Leave to run for the call's tenant; a rehearsal has none, and trips nothing.
    fn turn(&self, call: &Call) -> Result<Option<Turn>, Cause> {
        match (&self.trips, &call.tenant) {
            (Some(trips), Some(tenant)) => trips.begin(tenant).map(Some),
            _ => Ok(None),
        }
    }

    fn not_run<T>(&self, tripped: Cause) -> Ran<T> {
        Ran {
            result: Err(self.failed(tripped.into())),
            stats: CallStats::default(),
        }
    }

    /// The host found a result at fault that the runtime could not judge: it counts against the step.
    pub fn blame(&self, tenant: &dyn Tenant) {
        if let Some(trips) = &self.trips {
            trips.faulted(tenant.id(), false);
        }
    }

    pub(crate) fn failed(&self, failure: Failure) -> StepFailure {
        failure.of(&self.plugin.label, self.allowance.limits.returned_bytes)
    }

    fn not(&self, role: Role) -> Cause {
        Cause::contract(format!(
            "step is a {}, called as a {}",
            self.role.as_str(),
            role.as_str()
        ))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Live>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Live> {
        match self.instances {
            Instances::Fresh => None,
            Instances::Pooled => self.lock().pop(),
        }
    }

    fn keep_idle(&self, mut live: Live) {
        live.calls += 1;
        if self.instances == Instances::Fresh || live.calls >= limits::POOLED_CALLS_MAX {
            return;
        }
        live.store.data_mut().give_back();
        let mut idle = self.lock();
        if idle.len() < limits::POOLED_IDLE_MAX {
            idle.push(live);
        }
    }

    fn lend(
        &self,
        live: &mut Live,
        call: &Call,
        candidates: Option<Arc<CandidatePool>>,
    ) -> Result<(), Failure> {
        live.store.data_mut().lend(call, candidates, self.allowance);
        Ok(instance::arm(&mut live.store, self.allowance.limits.fuel)?)
    }

    /// A fresh instance of the configured plugin, lent to a call.
    async fn fresh(
        &self,
        call: &Call,
        candidates: Option<Arc<CandidatePool>>,
    ) -> Result<Live, Failure> {
        if self.template.configure.is_some() {
            let mut live = self.configured().await.map_err(|error| match error {
                SnapshotError::Fault(fault) => Failure::Cause(Cause::new(fault.kind, fault.detail)),
                SnapshotError::Refused(_) => {
                    Failure::Cause(Cause::contract("`configure` refused what it took before"))
                }
                SnapshotError::Unsupported(reason) => Failure::Cause(Cause::contract(reason)),
            })?;
            self.lend(&mut live, call, candidates)?;
            return Ok(live);
        }
        let mut state = self.state();
        state.lend(call, candidates, self.allowance);
        Ok(self.instantiate(state).await?)
    }

    fn state(&self) -> State {
        let (plugin, data) = (Arc::clone(&self.plugin), Arc::clone(&self.data));
        let mut state = State::without_request(plugin, Arc::clone(&self.id), data, self.allowance);
        state.secrets = Arc::clone(&self.secrets);
        state
    }

    async fn instantiate(&self, state: State) -> wasmtime::Result<Live> {
        let mut store = instance::store(&self.machine, state)?;
        let instance = self.template.pre.instantiate_async(&mut store).await?;
        let exports = self.indices.load(&mut store, &instance)?;
        Ok(Live {
            store,
            exports,
            calls: 0,
        })
    }

    /// An instance that is configured, from the snapshot or anew.
    async fn configured(&self) -> Result<Live, SnapshotError> {
        let fault = |error: wasmtime::Error| {
            let cause = Cause::from_wasm(&error, self.allowance.limits.returned_bytes);
            SnapshotError::Fault(cause.of(&self.plugin.label))
        };
        let Some(configure) = &self.template.configure else {
            return self.instantiate(self.state()).await.map_err(fault);
        };
        let (mut store, instance) = configure
            .instance(&self.machine, &self.template.pre, 0)
            .await?;
        let used = store.data().memory.used();
        let mut state = self.state();
        state
            .memory
            .take_over(used)
            .map_err(|cause| SnapshotError::Fault(cause.of(&self.plugin.label)))?;
        *store.data_mut() = state;
        store.set_hostcall_fuel(self.allowance.limits.returned_bytes as usize);
        instance::arm(&mut store, self.allowance.limits.fuel).map_err(fault)?;
        let exports = self.indices.load(&mut store, &instance).map_err(fault)?;
        Ok(Live {
            store,
            exports,
            calls: 0,
        })
    }

    /// Starts an instance under the step's limits and asks a response guard what it covers.
    pub(crate) fn try_out(&self) -> Result<Option<Coverage>, SnapshotError> {
        let fault = |cause: Cause| SnapshotError::Fault(cause.of(&self.plugin.label));
        instance::aside(&self.machine, async {
            let mut live = self.configured().await?;
            let RoleExports::ResponseGuard(role) = &live.exports else {
                return Ok(None);
            };
            let coverage = role.covers.call_async(&mut live.store, ()).await;
            let (coverage,) = coverage.map_err(|error| {
                fault(Cause::from_wasm(
                    &error,
                    self.allowance.limits.returned_bytes,
                ))
            })?;
            Ok(Some(wit::coverage_in(coverage).map_err(fault)?))
        })
    }

    pub(crate) fn set_coverage(&mut self, coverage: Option<Coverage>) {
        self.coverage = coverage;
    }
}

/// Since then.
pub(crate) fn nanoseconds(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
