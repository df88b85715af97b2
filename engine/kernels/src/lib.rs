//! CPU kernels: quantised matrix products, attention, and the small row operations of a transformer.
//!
//! Promises: one safe interface, [`Kernels`]; the instruction set is chosen once at run time ([`Level`]), every
//! SIMD path is property-tested against the scalar one; a row's result does not depend on how many rows or
//! tokens are computed with it, nor on the number of threads (so batched equals alone, bit by bit).
//! Refuses to know: files, architectures, sequences. Weights and caches are borrowed views.
//!
//! The only unsafe code of the engine besides the file mapping: intrinsics behind detected features, disjoint
//! writes from several threads, and the pool's scoped work. Each is stated where it happens.

mod attention;
mod level;
mod matmul;
mod pool;
mod rows;
mod scatter;
mod weights;

pub use attention::{AttentionShape, Past};
pub use level::Level;
pub use pool::Pool;
pub use weights::{BLOCK_ELEMENTS, ShapeError, WeightFormat, Weights};

/// The kernels, bound to a thread pool and an instruction set.
#[derive(Debug)]
pub struct Kernels {
    pool: Pool,
    level: Level,
}

impl Kernels {
    /// Kernels on `threads` threads (the caller's is one of them) with the best instruction set here.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self::with_level(threads, Level::best())
    }

    /// Kernels with a chosen instruction set; for tests and measurements.
    #[must_use]
    pub fn with_level(threads: usize, level: Level) -> Self {
        Self {
            pool: Pool::new(threads),
            level,
        }
    }

    /// The instruction set in use.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// Threads in use, the caller's included.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }
}
