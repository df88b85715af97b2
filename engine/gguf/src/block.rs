//! Block formats: how weights lie in bytes, and the plain f32 value of each.
//!
//! The definition the fast kernels are checked against, so it is written to be read, not to be quick.

use half::f16;

/// Elements of a quantised block.
pub const BLOCK_ELEMENTS: usize = 32;

/// A block format this engine computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 4 bits and one f16 scale per 32: `d * (q - 8)`.
    Q4_0,
    /// 4 bits, f16 scale and f16 minimum per 32: `d * q + m`.
    Q4_1,
    /// Signed bytes and one f16 scale per 32: `d * q`.
    Q8_0,
}

impl Format {
    /// The format with this number in a GGUF file.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            8 => Self::Q8_0,
            _ => return None,
        })
    }

    /// Elements of one indivisible block.
    #[must_use]
    pub fn block_elements(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q8_0 => BLOCK_ELEMENTS,
        }
    }

    /// Bytes of one block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 2 + 2 + 16,
            Self::Q8_0 => 2 + 32,
        }
    }

    /// Writes the values of whole blocks to `out`; stops at the shorter of the two.
    pub fn dequantise(self, bytes: &[u8], out: &mut [f32]) {
        let blocks = bytes.chunks_exact(self.block_bytes());
        for (block, out) in blocks.zip(out.chunks_exact_mut(self.block_elements())) {
            match self {
                Self::F32 => out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
                Self::F16 => out[0] = f16_at(block, 0),
                Self::Q4_0 => nibbles(&block[2..], out, f16_at(block, 0), -8.0, 0.0),
                Self::Q4_1 => nibbles(&block[4..], out, f16_at(block, 0), 0.0, f16_at(block, 2)),
                Self::Q8_0 => {
                    let scale = f16_at(block, 0);
                    for (out, &byte) in out.iter_mut().zip(&block[2..]) {
                        *out = scale * f32::from(byte.cast_signed());
                    }
                }
            }
        }
    }
}

/// The low nibbles are elements 0..16, the high nibbles 16..32.
fn nibbles(packed: &[u8], out: &mut [f32], scale: f32, shift: f32, minimum: f32) {
    let (low, high) = out.split_at_mut(BLOCK_ELEMENTS / 2);
    for ((low, high), &byte) in low.iter_mut().zip(high).zip(packed) {
        *low = scale * (f32::from(byte & 15) + shift) + minimum;
        *high = scale * (f32::from(byte >> 4) + shift) + minimum;
    }
}

fn f16_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([bytes[at], bytes[at + 1]]).to_f32()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, bytes: &[u8], expected: &[(usize, f32)]) {
        let mut out = vec![f32::NAN; bytes.len() / format.block_bytes() * format.block_elements()];
        format.dequantise(bytes, &mut out);
        for &(at, value) in expected {
            assert_eq!(out[at], value, "{format:?} element {at}");
        }
    }

    #[test]
    fn blocks_have_the_values_the_format_defines() {
        let half = f16::from_f32(0.5).to_le_bytes();
        let minus_two = f16::from_f32(-2.0).to_le_bytes();
        let mut packed = [0u8; 16];
        packed[0] = 0xF3;
        packed[15] = 0x07;
        let q4_0 = [&half[..], &packed].concat();
        check(
            Format::Q4_0,
            &q4_0,
            &[(0, -2.5), (16, 3.5), (15, -0.5), (31, -4.0)],
        );
        let q4_1 = [&half[..], &minus_two, &packed].concat();
        check(
            Format::Q4_1,
            &q4_1,
            &[(0, -0.5), (16, 5.5), (15, 1.5), (31, -2.0)],
        );
        let mut signed = [0u8; 32];
        signed[0] = 0x80;
        signed[31] = 127;
        let q8_0 = [&half[..], &signed].concat();
        check(Format::Q8_0, &q8_0, &[(0, -64.0), (1, 0.0), (31, 63.5)]);
        check(
            Format::F16,
            &[half, minus_two].concat(),
            &[(0, 0.5), (1, -2.0)],
        );
        check(Format::F32, &1.25f32.to_le_bytes(), &[(0, 1.25)]);
    }
}
