//! A matrix of weights as it lies in a model file, and the scalar value of its blocks.
//!
//! Every format is seen as blocks of 32 elements along a row (plain floats too), so that each kernel has one
//! shape of loop.

use half::f16;

/// Elements the kernels take at a time; rows are a whole number of these.
pub const BLOCK_ELEMENTS: usize = 32;

/// How weights lie in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WeightFormat {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 4 bits and one f16 scale: `d * (q - 8)`.
    Q4_0,
    /// 4 bits, f16 scale, f16 minimum: `d * q + m`.
    Q4_1,
    /// Signed bytes and one f16 scale.
    Q8_0,
}

impl WeightFormat {
    /// Bytes of 32 elements.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 128,
            Self::F16 => 64,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q8_0 => 34,
        }
    }
}

/// Bytes and shape of a matrix disagree, or its rows are not whole blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeError {
    /// Rows claimed.
    pub rows: usize,
    /// Columns claimed.
    pub columns: usize,
    /// Bytes given.
    pub bytes: usize,
}

impl std::fmt::Display for ShapeError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            rows,
            columns,
            bytes,
        } = self;
        write!(
            out,
            "a matrix of {rows} rows and {columns} columns does not fit {bytes} bytes of whole 32-element blocks"
        )
    }
}

impl std::error::Error for ShapeError {}

/// A matrix, row by row; `out[row] = sum over columns of weight * input`.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    format: WeightFormat,
    rows: usize,
    columns: usize,
    bytes: &'a [u8],
}

impl<'a> Weights<'a> {
    /// A checked view: `bytes` must be exactly `rows` rows of whole blocks.
    pub fn new(
        format: WeightFormat,
        rows: usize,
        columns: usize,
        bytes: &'a [u8],
    ) -> Result<Self, ShapeError> {
        let row_bytes = columns / BLOCK_ELEMENTS * format.block_bytes();
        let fits = columns > 0
            && columns.is_multiple_of(BLOCK_ELEMENTS)
            && rows.checked_mul(row_bytes) == Some(bytes.len());
        if !fits {
            return Err(ShapeError {
                rows,
                columns,
                bytes: bytes.len(),
            });
        }
        Ok(Self {
            format,
            rows,
            columns,
            bytes,
        })
    }

    /// The format.
    #[must_use]
    pub fn format(&self) -> WeightFormat {
        self.format
    }

    /// Rows: outputs.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: inputs.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The bytes of one row.
    #[must_use]
    pub fn row(&self, row: usize) -> &'a [u8] {
        let row_bytes = self.columns / BLOCK_ELEMENTS * self.format.block_bytes();
        &self.bytes[row * row_bytes..][..row_bytes]
    }

    /// The f32 values of one row: an embedding lookup.
    pub fn row_values(&self, row: usize, out: &mut [f32]) {
        let (out, _) = out.as_chunks_mut();
        for (block, out) in self
            .row(row)
            .chunks_exact(self.format.block_bytes())
            .zip(out)
        {
            *out = block_values(self.format, block);
        }
    }
}

/// The values of one block. Invariant: `block` is `format.block_bytes()` long.
#[inline]
pub(crate) fn block_values(format: WeightFormat, block: &[u8]) -> [f32; BLOCK_ELEMENTS] {
    let mut out = [0.0; BLOCK_ELEMENTS];
    match format {
        WeightFormat::F32 => {
            for (out, bytes) in out.iter_mut().zip(block.as_chunks().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        WeightFormat::F16 => {
            for (out, bytes) in out.iter_mut().zip(block.as_chunks().0) {
                *out = f16::from_le_bytes(*bytes).to_f32();
            }
        }
        WeightFormat::Q4_0 => nibbles(&block[2..], scale(block, 0), -8.0, 0.0, &mut out),
        WeightFormat::Q4_1 => nibbles(&block[4..], scale(block, 0), 0.0, scale(block, 2), &mut out),
        WeightFormat::Q8_0 => {
            let scale = scale(block, 0);
            for (out, byte) in out.iter_mut().zip(&block[2..]) {
                *out = scale * f32::from(byte.cast_signed());
            }
        }
    }
    out
}

#[inline]
fn nibbles(packed: &[u8], scale: f32, shift: f32, minimum: f32, out: &mut [f32; BLOCK_ELEMENTS]) {
    let (low, high) = out.split_at_mut(BLOCK_ELEMENTS / 2);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(packed) {
        *low = scale * (f32::from(byte & 15) + shift) + minimum;
        *high = scale * (f32::from(byte >> 4) + shift) + minimum;
    }
}

#[inline]
fn scale(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

#[cfg(test)]
mod tests {
    use pointsman_gguf::Format;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn blocks_have_the_values_the_file_format_defines(bytes in proptest::collection::vec(any::<u8>(), 128)) {
            let pairs = [
                (Format::F32, WeightFormat::F32),
                (Format::F16, WeightFormat::F16),
                (Format::Q4_0, WeightFormat::Q4_0),
                (Format::Q4_1, WeightFormat::Q4_1),
                (Format::Q8_0, WeightFormat::Q8_0),
            ];
            for (defined, ours) in pairs {
                let block = &bytes[..ours.block_bytes()];
                let mut expected = [0.0; BLOCK_ELEMENTS];
                defined.dequantise(block, &mut expected);
                let found = block_values(ours, block);
                prop_assert_eq!(expected.map(f32::to_bits), found.map(f32::to_bits));
            }
        }
    }

    #[test]
    fn bytes_that_do_not_fit_the_shape_are_refused() {
        let bytes = [0; 36];
        assert!(Weights::new(WeightFormat::Q4_0, 2, 32, &bytes).is_ok());
        assert!(Weights::new(WeightFormat::Q4_0, 3, 32, &bytes).is_err());
        assert!(Weights::new(WeightFormat::Q4_0, 2, 33, &bytes).is_err());
        assert!(Weights::new(WeightFormat::Q4_0, usize::MAX, 64, &bytes).is_err());
    }
}
