//! AVX2, FMA and F16C. One accumulator of eight lanes per output, filled in column order in every function here:
//! that is what makes a token's result independent of the tile.

#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::x86_64::*;
use std::ops::Range;

use super::TILE_ROWS;
use crate::weights::{BLOCK_ELEMENTS, WeightFormat, Weights, scale};

/// Tokens multiplied with a tile at once: 4 x 3 accumulators and their operands fill the 16 registers.
const TILE_TOKENS: usize = 3;

type Block = [__m256; 4];

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load8(from: &[f32; 8]) -> __m256 {
    // SAFETY: the array is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

/// The 32 values of a block.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn block_values<const FORMAT: u8>(block: &[u8]) -> Block {
    match FORMAT {
        F32 => {
            let (floats, _) = block.as_chunks::<32>();
            // SAFETY: each chunk is 32 readable bytes; every bit pattern is an f32.
            std::array::from_fn(|at| unsafe { _mm256_loadu_ps(floats[at].as_ptr().cast()) })
        }
        F16 => {
            let (halves, _) = block.as_chunks::<16>();
            std::array::from_fn(|at| {
                // SAFETY: each chunk is 16 readable bytes.
                let eight = unsafe { _mm_loadu_si128(halves[at].as_ptr().cast()) };
                _mm256_cvtph_ps(eight)
            })
        }
        Q4_0 => {
            let scale = scale(block, 0);
            nibbles(&block[2..18], scale, scale * -8.0)
        }
        Q4_1 => nibbles(&block[4..20], scale(block, 0), scale(block, 2)),
        _ => {
            let scale = _mm256_set1_ps(scale(block, 0));
            let (bytes, _) = block[2..].as_chunks::<8>();
            std::array::from_fn(|at| {
                // SAFETY: each chunk is 8 readable bytes, which is what this load reads.
                let eight = unsafe { _mm_loadl_epi64(bytes[at].as_ptr().cast()) };
                _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)))
            })
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles(packed: &[u8], scale: f32, minimum: f32) -> Block {
    assert!(packed.len() >= 16, "a block holds 16 bytes of nibbles");
    // SAFETY: 16 readable bytes by the assertion.
    let packed = unsafe { _mm_loadu_si128(packed.as_ptr().cast()) };
    let mask = _mm_set1_epi8(15);
    let low = _mm_and_si128(packed, mask);
    let high = _mm_and_si128(_mm_srli_epi16::<4>(packed), mask);
    let quarters = [
        low,
        _mm_srli_si128::<8>(low),
        high,
        _mm_srli_si128::<8>(high),
    ];
    let (scale, minimum) = (_mm256_set1_ps(scale), _mm256_set1_ps(minimum));
    quarters.map(|eight| {
        let values = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight));
        _mm256_fmadd_ps(values, scale, minimum)
    })
}

/// Lanes in a fixed order.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn sum(lanes: __m256) -> f32 {
    let four = _mm_add_ps(
        _mm256_castps256_ps128(lanes),
        _mm256_extractf128_ps::<1>(lanes),
    );
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}

const F32: u8 = 0;
const F16: u8 = 1;
const Q4_0: u8 = 2;
const Q4_1: u8 = 3;
const Q8_0: u8 = 8;

/// Turns the run-time format into a compile-time one: each kernel exists once per format.
macro_rules! for_format {
    ($format:expr, $kernel:ident[$($more:tt)*]($($argument:expr),*)) => {
        match $format {
            WeightFormat::F32 => $kernel::<F32 $($more)*>($($argument),*),
            WeightFormat::F16 => $kernel::<F16 $($more)*>($($argument),*),
            WeightFormat::Q4_0 => $kernel::<Q4_0 $($more)*>($($argument),*),
            WeightFormat::Q4_1 => $kernel::<Q4_1 $($more)*>($($argument),*),
            WeightFormat::Q8_0 => $kernel::<Q8_0 $($more)*>($($argument),*),
        }
    };
}

/// One token: weights go from their bytes straight into the product.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rows_one_token(
    weights: &Weights<'_>,
    rows: Range<usize>,
    input: &[f32],
    write: &mut dyn FnMut(usize, usize, f32),
) {
    let mut row = rows.start;
    while row + TILE_ROWS <= rows.end {
        let bytes: [&[u8]; TILE_ROWS] = std::array::from_fn(|at| weights.row(row + at));
        let sums = for_format!(weights.format(), dot_rows[, _](bytes, input));
        for (at, sum) in sums.into_iter().enumerate() {
            write(row + at, 0, sum);
        }
        row += TILE_ROWS;
    }
    for row in row..rows.end {
        let [sum] = for_format!(weights.format(), dot_rows[, _]([weights.row(row)], input));
        write(row, 0, sum);
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_rows<const FORMAT: u8, const ROWS: usize>(
    rows: [&[u8]; ROWS],
    input: &[f32],
) -> [f32; ROWS] {
    let block_bytes = match FORMAT {
        F32 => WeightFormat::F32,
        F16 => WeightFormat::F16,
        Q4_0 => WeightFormat::Q4_0,
        Q4_1 => WeightFormat::Q4_1,
        _ => WeightFormat::Q8_0,
    }
    .block_bytes();
    let mut sums = [_mm256_setzero_ps(); ROWS];
    let (inputs, _) = input.as_chunks::<BLOCK_ELEMENTS>();
    let mut blocks = rows.map(|row| row.chunks_exact(block_bytes));
    for input in inputs {
        let (eights, _) = input.as_chunks::<8>();
        let input: Block = [
            load8(&eights[0]),
            load8(&eights[1]),
            load8(&eights[2]),
            load8(&eights[3]),
        ];
        for (sum, blocks) in sums.iter_mut().zip(&mut blocks) {
            let Some(block) = blocks.next() else { continue };
            let values = block_values::<FORMAT>(block);
            for (value, input) in values.into_iter().zip(input) {
                *sum = _mm256_fmadd_ps(value, input, *sum);
            }
        }
    }
    sums.map(|lanes| sum(lanes))
}

/// Several tokens: four rows are dequantised once and multiplied with every token.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn rows(
    weights: &Weights<'_>,
    rows: Range<usize>,
    input: &[f32],
    tile: &mut Vec<f32>,
    write: &mut dyn FnMut(usize, usize, f32),
) {
    let columns = weights.columns();
    tile.resize(TILE_ROWS * columns, 0.0);
    let mut row = rows.start;
    while row < rows.end {
        let count = TILE_ROWS.min(rows.end - row);
        for at in 0..count {
            let out = &mut tile[at * columns..][..columns];
            for_format!(weights.format(), unpack[](weights.row(row + at), out));
        }
        if count == TILE_ROWS {
            tile_tokens::<TILE_ROWS>(tile, columns, input, row, write);
        } else {
            for at in 0..count {
                tile_tokens::<1>(&tile[at * columns..], columns, input, row + at, write);
            }
        }
        row += count;
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn unpack<const FORMAT: u8>(row: &[u8], out: &mut [f32]) {
    let (out, _) = out.as_chunks_mut::<BLOCK_ELEMENTS>();
    let block_bytes = row.len() / out.len().max(1);
    for (block, out) in row.chunks_exact(block_bytes.max(1)).zip(out) {
        let (eights, _) = out.as_chunks_mut::<8>();
        for (value, eight) in block_values::<FORMAT>(block).into_iter().zip(eights) {
            // SAFETY: the chunk is 32 writable bytes; the store needs no alignment.
            unsafe { _mm256_storeu_ps(eight.as_mut_ptr(), value) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_tokens<const ROWS: usize>(
    tile: &[f32],
    columns: usize,
    input: &[f32],
    row: usize,
    write: &mut dyn FnMut(usize, usize, f32),
) {
    let rows: [&[f32]; ROWS] = std::array::from_fn(|at| &tile[at * columns..][..columns]);
    let tokens = input.len() / columns;
    let token_at = |token: usize| &input[token * columns..][..columns];
    let mut token = 0;
    while token < tokens {
        let left = tokens - token;
        if left >= TILE_TOKENS {
            let inputs = [token_at(token), token_at(token + 1), token_at(token + 2)];
            put(dot_tile(rows, inputs), row, token, write);
            token += TILE_TOKENS;
        } else if left == 2 {
            put(
                dot_tile(rows, [token_at(token), token_at(token + 1)]),
                row,
                token,
                write,
            );
            token += 2;
        } else {
            put(dot_tile(rows, [token_at(token)]), row, token, write);
            token += 1;
        }
    }
}

fn put<const ROWS: usize, const TOKENS: usize>(
    sums: [[f32; TOKENS]; ROWS],
    row: usize,
    token: usize,
    write: &mut dyn FnMut(usize, usize, f32),
) {
    for (row_at, sums) in sums.into_iter().enumerate() {
        for (token_at, sum) in sums.into_iter().enumerate() {
            write(row + row_at, token + token_at, sum);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn dot_tile<const ROWS: usize, const TOKENS: usize>(
    rows: [&[f32]; ROWS],
    inputs: [&[f32]; TOKENS],
) -> [[f32; TOKENS]; ROWS] {
    let mut sums = [[_mm256_setzero_ps(); TOKENS]; ROWS];
    let rows = rows.map(|row| row.as_chunks::<8>().0);
    let inputs = inputs.map(|input| input.as_chunks::<8>().0);
    let steps = rows[0].len();
    // Asserted once, so that the loop below needs no bounds checks.
    assert!(
        rows.iter().all(|row| row.len() == steps)
            && inputs.iter().all(|input| input.len() == steps)
    );
    for step in 0..steps {
        let mut input = [_mm256_setzero_ps(); TOKENS];
        for (vector, input) in input.iter_mut().zip(&inputs) {
            *vector = load8(&input[step]);
        }
        for (sums, row) in sums.iter_mut().zip(&rows) {
            let weight = load8(&row[step]);
            for (sum, input) in sums.iter_mut().zip(input) {
                *sum = _mm256_fmadd_ps(weight, input, *sum);
            }
        }
    }
    sums.map(|lanes| lanes.map(|lanes| sum(lanes)))
}
