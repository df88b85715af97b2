//! What a store holds while its instance runs: the inputs, the grants, and what is counted.
//!
//! The resources `view` and `pool` need no table: a call has one of each, lent for its duration, and no function of
//! the contract gives a guest an owned one. So `configure` cannot leave host resources open in a snapshot.

use std::sync::Arc;

use bytes::Bytes;
use pointsman_domain::plan::CandidatePool;
use pointsman_domain::{FaultKind, RequestView};
use sha2::{Digest as _, Sha256};
use wasmtime::{ResourceLimiter, UpdateDeadline};

use crate::call::{Call, PriceBook, Tenant, Vector};
use crate::contract::{Import, Imports};
use crate::fault::Cause;
use crate::limits::{self, StepLimits};
use crate::plugin::Identity;
use crate::record::Recorder;
use crate::secrets::Secrets;

/// The request's handle in a guest. The request itself is in the store.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct ViewHandle;

/// The candidates' handle in a guest.
#[derive(Debug)]
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct PoolHandle;

/// The number by which a guest's handle names its only resource of a kind.
pub(crate) const ONLY: u32 = 0;

/// Files that a step may read, by name.
#[derive(Debug, Default)]
pub(crate) struct DataFiles(pub(crate) Vec<(String, Bytes)>);

impl DataFiles {
    pub(crate) fn get(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, bytes)| bytes)
    }
}

/// Linear memory of a store: all memories together, and the size of tables.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    used: usize,
    max: usize,
}

impl MemoryLimit {
    pub(crate) const fn new(max: usize) -> Self {
        Self { used: 0, max }
    }

    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn used_kib(&self) -> u32 {
        u32::try_from(self.used >> 10).unwrap_or(u32::MAX)
    }

    /// Takes over an instance that already has memory.
    pub(crate) fn take_over(&mut self, used: usize) -> Result<(), Cause> {
        self.memory_growing(0, used, None)
            .map(|_| ())
            .map_err(|error| Cause::from_wasm(&error, 0))
    }

    /// Room for the accessors that read a snapshot.
    pub(crate) const fn add(&mut self, bytes: usize) {
        self.max += bytes;
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.used.saturating_add(desired.saturating_sub(current));
        if total > self.max || maximum.is_some_and(|maximum| desired > maximum) {
            let limit = maximum.map_or(self.max, |maximum| maximum.min(self.max));
            let detail = format!("needs more than {} KiB of memory", limit >> 10);
            return Err(Cause::new(FaultKind::Memory, detail).into());
        }
        self.used = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > limits::TABLE_ELEMENTS {
            let detail = format!(
                "needs a table of more than {} elements",
                limits::TABLE_ELEMENTS
            );
            return Err(Cause::new(FaultKind::Memory, detail).into());
        }
        Ok(true)
    }
}

/// What a call may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) imports: Imports,
    pub(crate) limits: StepLimits,
}

impl Allowance {
    /// Of `describe`: no imports.
    pub(crate) fn describe() -> Self {
        Self {
            imports: Imports::NONE,
            limits: StepLimits::default(),
        }
    }

    /// Of `configure`: `data` alone, and a budget of its own.
    pub(crate) fn configure(memory_mib: u32) -> Self {
        Self {
            imports: Imports::NONE.with(Import::Data),
            limits: StepLimits {
                memory_mib,
                fuel: limits::CONFIGURE_FUEL,
                epoch_ms: limits::CONFIGURE_EPOCH_MS,
                host_calls: limits::CONFIGURE_HOST_CALLS,
                ..StepLimits::default()
            },
        }
    }
}

/// Where a call's numbers come from.
struct Random {
    seed: Option<u64>,
}

/// A store's data.
pub(crate) struct State {
    pub(crate) plugin: Arc<Identity>,
    pub(crate) step: Arc<str>,
    pub(crate) data: Arc<DataFiles>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) view: Arc<RequestView>,
    pub(crate) pool: Arc<CandidatePool>,
    pub(crate) prices: Option<Arc<PriceBook>>,
    pub(crate) tenant: Option<Arc<dyn Tenant>>,
    vectors: Arc<[(String, Vector)]>,
    pub(crate) now_ms: u64,
    pub(crate) recorder: Recorder,
    pub(crate) memory: MemoryLimit,
    pub(crate) log_lines: u32,
    /// Host calls since the store was made or last lent.
    pub(crate) host_calls: u32,
    request_id: String,
    random: Random,
    allowance: Allowance,
    calls_left: u32,
    ticks_left: u32,
}

impl State {
    /// For `describe` and `configure`: no request.
    pub(crate) fn without_request(
        plugin: Arc<Identity>,
        step: Arc<str>,
        data: Arc<DataFiles>,
        allowance: Allowance,
    ) -> Self {
        Self {
            plugin,
            step,
            data,
            secrets: Arc::default(),
            view: Arc::default(),
            pool: Arc::default(),
            prices: None,
            tenant: None,
            vectors: Arc::default(),
            now_ms: 0,
            recorder: Recorder::new(),
            memory: MemoryLimit::new((allowance.limits.memory_mib as usize) << 20),
            log_lines: 0,
            host_calls: 0,
            request_id: String::new(),
            random: Random { seed: None },
            calls_left: allowance.limits.host_calls,
            ticks_left: allowance.limits.epoch_ms,
            allowance,
        }
    }

    /// Begins a call for a request; what an earlier one left in the store's own books is gone.
    pub(crate) fn lend(
        &mut self,
        call: &Call,
        pool: Option<Arc<CandidatePool>>,
        allowance: Allowance,
    ) {
        self.view = Arc::clone(&call.view);
        self.pool = pool.unwrap_or_default();
        self.prices.clone_from(&call.prices);
        self.tenant.clone_from(&call.tenant);
        self.vectors = Arc::clone(&call.vectors);
        self.now_ms = call.now_ms;
        self.request_id.clone_from(&call.request_id.0);
        self.random.seed = None;
        self.recorder = Recorder::new();
        self.host_calls = 0;
        self.log_lines = 0;
        self.allowance = allowance;
        self.refill();
    }

    /// Drops what belongs to a request, so that an idle instance keeps none of it.
    pub(crate) fn give_back(&mut self) {
        self.view = Arc::default();
        self.pool = Arc::default();
        self.prices = None;
        self.tenant = None;
        self.vectors = Arc::default();
        self.request_id.clear();
    }

    /// The limits of one call, anew.
    pub(crate) const fn refill(&mut self) {
        self.calls_left = self.allowance.limits.host_calls;
        self.ticks_left = self.allowance.limits.epoch_ms;
    }

    pub(crate) const fn limits(&self) -> &StepLimits {
        &self.allowance.limits
    }

    /// A host call begins: counted, and recorded by its name.
    pub(crate) fn enter(&mut self, name: &'static str) -> Result<(), Cause> {
        let Some(left) = self.calls_left.checked_sub(1) else {
            let detail = format!("more than {} host calls", self.allowance.limits.host_calls);
            return Err(Cause::new(FaultKind::Import, detail));
        };
        self.calls_left = left;
        self.host_calls = self.host_calls.saturating_add(1);
        self.recorder.call(name);
        Ok(())
    }

    /// A call of a granted interface begins.
    pub(crate) fn enter_import(&mut self, import: Import, name: &'static str) -> Result<(), Cause> {
        if !self.allowance.imports.has(import) {
            let detail = format!("called {name}, which is not declared and granted here");
            return Err(Cause::new(FaultKind::Import, detail));
        }
        self.enter(name)
    }

    /// What the call brought of this name.
    pub(crate) fn vector(&self, name: &str) -> Option<&Vector> {
        let mut vectors = self.vectors.iter();
        vectors
            .find(|(known, _)| known == name)
            .map(|(_, vector)| vector)
    }

    /// The next number of this request and step (SplitMix64, seeded by sha256 over both ids).
    pub(crate) fn next_random(&mut self) -> u64 {
        let seed = self.random.seed.get_or_insert_with(|| {
            let mut hash = Sha256::new();
            hash.update((self.request_id.len() as u64).to_le_bytes());
            hash.update(&self.request_id);
            hash.update(self.step.as_bytes());
            let digest: [u8; 32] = hash.finalize().into();
            u64::from_le_bytes(digest.first_chunk().copied().unwrap_or_default())
        });
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A tick passed while the guest ran: let others run, or end it.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let Some(left) = self.ticks_left.checked_sub(1) else {
            let detail = format!("ran for more than {} ms", self.allowance.limits.epoch_ms);
            return Err(Cause::new(FaultKind::Deadline, detail).into());
        };
        self.ticks_left = left;
        // A plain yield wakes at once, so that a thread with a call that never ends would run what is ready dozens of
        // times before it looks at its sockets; this one lets it look first.
        let others = Box::pin(tokio::task::yield_now());
        Ok(UpdateDeadline::YieldCustom(1, others))
    }
}
