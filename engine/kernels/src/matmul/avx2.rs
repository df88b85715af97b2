//! AVX2, FMA and F16C. One accumulator of eight lanes per output, filled in column order in every function here:
//! that is what makes a token's result independent of the tile.

#![expect(unsafe_code, reason = "vector loads and stores take pointers")]

use std::arch::x86_64::*;
use std::ops::Range;

use super::TILE_ROWS;
use crate::weights::{BLOCK_ELEMENTS, WeightFormat, Weights};

/// Tokens multiplied with a tile at once: 4 x 3 accumulators and their operands fill the 16 registers.
const TILE_TOKENS: usize = 3;

/// How far ahead of the product weights are asked for. The rows of a tile are neighbours in memory, each too short
/// for the hardware to notice a stream (measured on Zen 4: 55 tokens/s without, 96 with).
const AHEAD_BYTES: usize = 4096;

type Block = [__m256; 4];

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load8(from: &[f32; 8]) -> __m256 {
    // SAFETY: the array is 32 readable bytes; the load needs no alignment.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

/// The 32 values of a block.
///
/// Written out instead of mapped: a closure given to `array::map` is called from code without the instruction set,
/// which may keep it from being inlined.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn block_values<const FORMAT: u8>(block: &[u8]) -> Block {
    match FORMAT {
        F32 => {
            let (f, _) = block.as_chunks::<32>();
            [float8(&f[0]), float8(&f[1]), float8(&f[2]), float8(&f[3])]
        }
        F16 => {
            let (h, _) = block.as_chunks::<16>();
            [half8(&h[0]), half8(&h[1]), half8(&h[2]), half8(&h[3])]
        }
        Q4_0 => {
            let scale = scale(block);
            nibbles(
                &block[2..],
                scale,
                _mm256_mul_ps(scale, _mm256_set1_ps(-8.0)),
            )
        }
        Q4_1 => nibbles(&block[4..], scale(block), scale(&block[2..])),
        _ => {
            let scale = scale(block);
            let (b, _) = block[2..].as_chunks::<8>();
            [
                byte8(&b[0], scale),
                byte8(&b[1], scale),
                byte8(&b[2], scale),
                byte8(&b[3], scale),
            ]
        }
    }
}

/// An f16 in all lanes; by the instruction, because the library's conversion asks for the feature each time.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scale(block: &[u8]) -> __m256 {
    let half = i16::from_le_bytes([block[0], block[1]]);
    _mm256_cvtph_ps(_mm_set1_epi16(half))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn float8(bytes: &[u8; 32]) -> __m256 {
    // SAFETY: the array is 32 readable bytes; every bit pattern is an f32.
    unsafe { _mm256_loadu_ps(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn half8(bytes: &[u8; 16]) -> __m256 {
    // SAFETY: the array is 16 readable bytes.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn byte8(bytes: &[u8; 8], scale: __m256) -> __m256 {
    // SAFETY: the array is 8 readable bytes, which is what this load reads.
    let eight = unsafe { _mm_loadl_epi64(bytes.as_ptr().cast()) };
    _mm256_mul_ps(scale, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn nibbles(packed: &[u8], scale: __m256, minimum: __m256) -> Block {
    let (packed, _) = packed.as_chunks::<16>();
    // SAFETY: the array is 16 readable bytes.
    let packed = unsafe { _mm_loadu_si128(packed[0].as_ptr().cast()) };
    let mask = _mm_set1_epi8(15);
    let low = _mm_and_si128(packed, mask);
    let high = _mm_and_si128(_mm_srli_epi16::<4>(packed), mask);
    [
        nibble8(low, scale, minimum),
        nibble8(_mm_srli_si128::<8>(low), scale, minimum),
        nibble8(high, scale, minimum),
        nibble8(_mm_srli_si128::<8>(high), scale, minimum),
    ]
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn nibble8(eight: __m128i, scale: __m256, minimum: __m256) -> __m256 {
    let values = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight));
    _mm256_fmadd_ps(values, scale, minimum)
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
    // Asserted once, so that the loop below needs no bounds checks.
    assert!(
        rows.iter()
            .all(|row| row.len() == inputs.len() * block_bytes)
    );
    for (at, input) in inputs.iter().enumerate() {
        let (eights, _) = input.as_chunks::<8>();
        let (a, b) = (load8(&eights[0]), load8(&eights[1]));
        let (c, d) = (load8(&eights[2]), load8(&eights[3]));
        for line in 0..2 {
            let ahead = rows[0]
                .as_ptr()
                .wrapping_add(ROWS * at * block_bytes + AHEAD_BYTES + 64 * line);
            // Beyond the matrix the address is ignored: a prefetch reads nothing.
            _mm_prefetch::<_MM_HINT_T0>(ahead.cast());
        }
        for row in 0..ROWS {
            let values = block_values::<FORMAT>(&rows[row][at * block_bytes..][..block_bytes]);
            let mut sum = sums[row];
            sum = _mm256_fmadd_ps(values[0], a, sum);
            sum = _mm256_fmadd_ps(values[1], b, sum);
            sum = _mm256_fmadd_ps(values[2], c, sum);
            sums[row] = _mm256_fmadd_ps(values[3], d, sum);
        }
    }
    let mut out = [0.0; ROWS];
    for row in 0..ROWS {
        out[row] = sum(sums[row]);
    }
    out
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
        let values = block_values::<FORMAT>(block);
        for at in 0..4 {
            // SAFETY: the chunk is 32 writable bytes; the store needs no alignment.
            unsafe { _mm256_storeu_ps(eights[at].as_mut_ptr(), values[at]) };
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
        let mut vectors = [_mm256_setzero_ps(); TOKENS];
        for token in 0..TOKENS {
            vectors[token] = load8(&inputs[token][step]);
        }
        for row in 0..ROWS {
            let weight = load8(&rows[row][step]);
            for token in 0..TOKENS {
                sums[row][token] = _mm256_fmadd_ps(weight, vectors[token], sums[row][token]);
            }
        }
    }
    let mut out = [[0.0; TOKENS]; ROWS];
    for row in 0..ROWS {
        for token in 0..TOKENS {
            out[row][token] = sum(sums[row][token]);
        }
    }
    out
}
