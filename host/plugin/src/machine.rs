//! The engine with its settings, its pool of instance slots, and the ticker: what every instance shares.

use std::num::NonZeroUsize;
use std::sync::Arc;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::function_cache::FunctionCache;
use crate::limits;
use crate::ticker::Ticker;

/// Lives as long as any plugin or step.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    /// The most memory that an instance may have, MiB.
    pub(crate) memory_max_mib: u32,
}

impl Machine {
    pub(crate) fn new(
        instances_max: u32,
        memory_max_mib: u32,
        functions: Arc<FunctionCache>,
    ) -> wasmtime::Result<Self> {
        let engine = Engine::new(&settings(instances_max, memory_max_mib, functions)?)?;
        Ok(Self {
            ticker: Ticker::start(engine.clone())?,
            engine,
            memory_max_mib,
        })
    }
}

fn settings(
    instances_max: u32,
    memory_max_mib: u32,
    functions: Arc<FunctionCache>,
) -> wasmtime::Result<Config> {
    let memory_bytes = ((memory_max_mib as usize) << 20) + limits::SNAPSHOT_SLACK_BYTES;
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(
            instances_max,
            memory_bytes,
        )))
        // Address space is reserved for every slot, so it is kept to what a memory may become.
        .memory_reservation(memory_bytes as u64)
        .memory_guard_size(64 << 10)
        .memory_guaranteed_dense_image_size(memory_bytes as u64)
        .max_wasm_stack(limits::WASM_STACK_BYTES)
        .async_stack_size(limits::FIBER_STACK_BYTES)
        .consume_fuel(true)
        .epoch_interruption(true)
        // Off: calls are several times cheaper, and the contract has no streams or futures of the component model.
        .concurrency_support(false)
        // The same inputs give the same bits everywhere.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .wasm_backtrace_max_frames(NonZeroUsize::new(limits::BACKTRACE_FRAMES))
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .generate_address_map(false)
        .enable_incremental_compilation(functions)?;
    Ok(config)
}

fn pool(instances_max: u32, memory_bytes: usize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances_max)
        .total_core_instances(instances_max.saturating_mul(limits::CORE_INSTANCES_PER_COMPONENT))
        .total_memories(instances_max)
        .total_tables(instances_max.saturating_mul(limits::TABLES_PER_COMPONENT))
        .total_stacks(limits::CALLS_UNDER_WAY_MAX.min(instances_max))
        .max_core_instances_per_component(limits::CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(limits::MEMORIES_PER_COMPONENT)
        .max_tables_per_component(limits::TABLES_PER_COMPONENT)
        .max_memory_size(memory_bytes)
        .table_elements(limits::TABLE_ELEMENTS)
        // Slots stay with the snapshot that used them, and are reset by copying back only the pages that were touched.
        .max_unused_warm_slots(instances_max)
        .linear_memory_keep_resident(limits::KEEP_RESIDENT_BYTES)
        .table_keep_resident(limits::TABLE_KEEP_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}
