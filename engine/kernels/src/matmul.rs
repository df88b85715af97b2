//! Quantised weights times f32 activations.
//!
//! Activations stay f32 and weights are dequantised on the fly: the result is that of the dequantised model to
//! within f32 rounding. 8-bit activations would be faster and are measured against this path before they replace it.
//! Invariant: one output is one chain of additions in a fixed order, whatever the tile it was computed in.

#![expect(
    unsafe_code,
    reason = "calls of kernels compiled for a detected instruction set, and disjoint writes"
)]

use std::cell::RefCell;

use crate::Kernels;
use crate::level::Set;
use crate::scatter::Scatter;
use crate::weights::Weights;

#[cfg(target_arch = "x86_64")]
mod avx2;
mod scalar;

/// Rows that are dequantised and multiplied together.
const TILE_ROWS: usize = 4;
/// Chunks per thread: enough for an even finish when one thread is slowed down.
const CHUNKS_PER_THREAD: usize = 6;

thread_local! {
    /// Dequantised rows of the tile at hand; grows to the widest matrix and stays.
    static TILE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Kernels {
    /// `out[token][row] = sum over columns of weights[row][column] * input[token][column]`, for one or more
    /// matrices over the same input (query, key and value share one hand-over to the threads).
    ///
    /// # Panics
    /// If a length does not fit the shapes.
    pub fn matmul(&self, input: &[f32], products: &mut [(Weights<'_>, &mut [f32])]) {
        let Some(columns) = products.first().map(|(weights, _)| weights.columns()) else {
            return;
        };
        assert!(
            input.len().is_multiple_of(columns),
            "input is not whole tokens"
        );
        let tokens = input.len() / columns;
        let mut rows_total = 0;
        for (weights, out) in products.iter() {
            assert_eq!(weights.columns(), columns, "products share their input");
            assert_eq!(out.len(), tokens * weights.rows(), "output does not fit");
            rows_total += weights.rows();
        }
        if tokens == 0 {
            return;
        }
        let chunk_rows = (rows_total / (self.threads() * CHUNKS_PER_THREAD))
            .next_multiple_of(TILE_ROWS)
            .max(TILE_ROWS);

        // Each matrix is cut on its own, so that no chunk spans two.
        let mut chunks = 0;
        let parts: Vec<Part<'_>> = products
            .iter_mut()
            .map(|(weights, out)| {
                let first_chunk = chunks;
                chunks += weights.rows().div_ceil(chunk_rows);
                Part {
                    weights: *weights,
                    out: Scatter::new(out),
                    first_chunk,
                }
            })
            .collect();
        self.pool.run(chunks, &|chunk| {
            let at = parts.partition_point(|part| part.first_chunk <= chunk) - 1;
            let part = &parts[at];
            let first = (chunk - part.first_chunk) * chunk_rows;
            let last = (first + chunk_rows).min(part.weights.rows());
            part.rows(self.level.set(), first..last, input, tokens);
        });
    }
}

/// One product as the threads see it.
struct Part<'a> {
    weights: Weights<'a>,
    out: Scatter<'a>,
    first_chunk: usize,
}

impl Part<'_> {
    fn rows(&self, set: Set, rows: std::ops::Range<usize>, input: &[f32], tokens: usize) {
        let stride = self.weights.rows();
        let mut write = |row: usize, token: usize, value: f32| {
            // SAFETY: a row belongs to one chunk and a chunk to one thread; rows of a token do not overlap.
            unsafe { self.out.write(token * stride + row, value) }
        };
        TILE.with_borrow_mut(|tile| match set {
            Set::Scalar => scalar::rows(&self.weights, rows, input, tile, &mut write),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 if tokens == 1 => {
                // SAFETY: `Set::Avx2` exists only where the features were detected.
                unsafe { avx2::rows_one_token(&self.weights, rows, input, &mut write) }
            }
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => {
                // SAFETY: as above.
                unsafe { avx2::rows(&self.weights, rows, input, tile, &mut write) }
            }
        });
    }
}

#[cfg(test)]
mod tests;
