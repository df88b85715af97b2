//! Every limit of the runtime, with its unit. What operators may change are the fields of `StepLimits` and
//! `RuntimeConfig`; the rest is ours.

use std::time::Duration;

/// Limits of one step. A call that reaches one ends as a fault that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepLimits {
    /// Linear memory of an instance, MiB.
    pub memory_mib: u32,
    /// Deterministic instruction budget of a call; of each call of a response guard.
    pub fuel: u64,
    /// Backstop: milliseconds that a call may run, waiting for others not counted.
    pub epoch_ms: u32,
    /// Calls of host imports in a call.
    pub host_calls: u32,
    /// Bytes that a call may return, and that one host call may be given.
    pub returned_bytes: u32,
    /// Faults for one tenant that trip the step for it; 0: it never trips.
    pub faults_max: u32,
    /// Milliseconds within which they count.
    pub faults_within_ms: u32,
    /// Milliseconds that a tripped step is not run, before one call tries it.
    pub trip_ms: u32,
}

impl Default for StepLimits {
    fn default() -> Self {
        Self {
            memory_mib: 32,
            fuel: 50_000_000,
            epoch_ms: 50,
            host_calls: 10_000,
            returned_bytes: 1 << 20,
            faults_max: 5,
            faults_within_ms: 60_000,
            trip_ms: 30_000,
        }
    }
}

/// The most that a plugin may ask for by itself, where the step says nothing: what an interpreter needs.
pub(crate) const ASKED_MEMORY_MIB_MAX: u32 = 128;
/// The same for the fuel of a call.
pub(crate) const ASKED_FUEL_MAX: u64 = 1_000_000_000;
/// The same for the milliseconds of a call.
pub(crate) const ASKED_EPOCH_MS_MAX: u32 = 500;

/// Bytes of a component.
pub(crate) const COMPONENT_BYTES_MAX: usize = 32 << 20;
/// Bytes of a step's configuration as JSON.
pub(crate) const CONFIG_BYTES_MAX: usize = 1 << 20;
/// Bytes of all `data` files of a step.
pub(crate) const DATA_BYTES_MAX: usize = 64 << 20;
/// Findings listed for one configuration.
pub(crate) const FINDINGS_MAX: usize = 50;

/// Fuel of `configure`: a second or two of a tight loop. It runs once for a configuration, off the request path.
pub(crate) const CONFIGURE_FUEL: u64 = 10_000_000_000;
/// Milliseconds that `configure` may run.
pub(crate) const CONFIGURE_EPOCH_MS: u32 = 30_000;
/// Host calls of `configure`: `data` in pieces.
pub(crate) const CONFIGURE_HOST_CALLS: u32 = 100_000;

/// Fuel of a whole response is this many times the fuel of one call.
pub(crate) const RESPONSE_FUEL_CALLS: u64 = 20;
/// Bytes that a call may read through host calls, all together.
pub(crate) const READ_BYTES_MAX: u64 = 64 << 20;
/// Log lines of a call; further ones are dropped.
pub(crate) const LOG_LINES_MAX: u32 = 64;
/// Bytes of a log line; the rest is cut.
pub(crate) const LOG_LINE_BYTES_MAX: usize = 4096;

/// Tenants whose faults a step remembers at once; the faults of others trip nothing.
pub(crate) const TRIP_TENANTS_MAX: usize = 4096;
/// Seconds of the longest window of `counters`.
pub(crate) const COUNT_WINDOW_S_MAX: u32 = 3_600;

/// Bytes of a name, code, detail or other word in a result.
pub(crate) const STRING_BYTES_MAX: usize = 4096;
/// Bytes of a plugin's own error that are kept.
pub(crate) const ERROR_BYTES_MAX: usize = 512;
/// Attempts of a plan.
pub(crate) const ATTEMPTS_MAX: usize = 16;
/// Labels of a result.
pub(crate) const LABELS_MAX: usize = 64;
/// Attributes of one thing, and strings of one list value.
pub(crate) const ATTRIBUTES_MAX: usize = 64;
/// Edits of a verdict.
pub(crate) const EDITS_MAX: usize = 4096;
/// Actions of one answer of a response guard.
pub(crate) const ACTIONS_MAX: usize = 4096;
/// Cost lines of a result.
pub(crate) const COST_LINES_MAX: usize = 1024;
/// Bytes of text that a setting of a request guard may carry (`prepend-system`).
pub(crate) const SETTING_BYTES_MAX: usize = 64 << 10;

/// Calls after which a pooled instance is replaced.
pub(crate) const POOLED_CALLS_MAX: u32 = 1000;
/// Idle instances that a pooled step keeps.
pub(crate) const POOLED_IDLE_MAX: usize = 16;

/// How often the epoch advances: the unit of `epoch_ms` and the longest that a call runs without yielding.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Ticks without a running call after which the ticker sleeps until the next.
pub(crate) const IDLE_TICKS: u32 = 200;

/// Bytes of Wasm stack.
pub(crate) const WASM_STACK_BYTES: usize = 512 << 10;
/// Bytes of a fiber's stack: the Wasm stack and room for host calls.
pub(crate) const FIBER_STACK_BYTES: usize = WASM_STACK_BYTES + (512 << 10);
/// Calls that may be under way, node-wide.
pub(crate) const CALLS_UNDER_WAY_MAX: u32 = 256;
/// Core instances of a component (shims count). A component with Python in it has about 40: libraries, and a stub for
/// each WASI interface.
pub(crate) const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
/// Memories of a component.
pub(crate) const MEMORIES_PER_COMPONENT: u32 = 2;
/// Tables of a component.
pub(crate) const TABLES_PER_COMPONENT: u32 = 4;
/// Elements of a table.
pub(crate) const TABLE_ELEMENTS: usize = 20_000;
/// Bytes of a memory that stay resident after a call; above the dirty set of the guests measured.
pub(crate) const KEEP_RESIDENT_BYTES: usize = 256 << 10;
/// The same for tables.
pub(crate) const TABLE_KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// Address space that the snapshot's accessors need above a plugin's memory (they grow it to answer).
pub(crate) const SNAPSHOT_SLACK_BYTES: usize = 1 << 20;
/// Frames kept of a trap, to tell recursion from a stray access.
pub(crate) const BACKTRACE_FRAMES: usize = 64;

/// Bytes of compiled functions kept in memory while plugins are being prepared.
pub(crate) const FUNCTION_CACHE_BYTES_MAX: usize = 64 << 20;
/// Bytes of compiled code kept on disk.
pub(crate) const COMPILE_CACHE_BYTES_MAX: u64 = 1 << 30;
