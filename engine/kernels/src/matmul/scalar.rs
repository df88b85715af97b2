//! The plain path: the meaning of the product, and what runs where no SIMD path fits.

use std::ops::Range;

use crate::weights::Weights;

/// Independent sums, so that the compiler can use whatever vectors the target has.
const LANES: usize = 8;

pub(super) fn rows(
    weights: &Weights<'_>,
    rows: Range<usize>,
    input: &[f32],
    tile: &mut Vec<f32>,
    write: &mut dyn FnMut(usize, usize, f32),
) {
    tile.resize(weights.columns(), 0.0);
    for row in rows {
        weights.row_values(row, tile);
        for (token, input) in input.chunks_exact(weights.columns()).enumerate() {
            write(row, token, dot(tile, input));
        }
    }
}

pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left.iter().zip(right) {
        for ((sum, left), right) in sums.iter_mut().zip(left).zip(right) {
            *sum += left * right;
        }
    }
    let rest: f32 = left_rest
        .iter()
        .zip(right_rest)
        .map(|(left, right)| left * right)
        .sum();
    sums.iter().sum::<f32>() + rest
}
