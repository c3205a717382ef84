//! Whether stored blocks stand for finite numbers. Their codes and the small scales of their pieces always do, so that only numbers of
//! sixteen bits are looked at. The loops that widen blocks take it for granted: to them an infinite scale is a large one.

use candle_core::quantized::GgmlDType;

/// With all these bits a number is infinite or none.
const F16_EXPONENT: u16 = 0x7C00;
const BF16_EXPONENT: u16 = 0x7F80;

/// For all types that can be read but f32.
pub(super) fn are_finite(bytes: &[u8], dtype: GgmlDType) -> bool {
    let is_finite = |pair: &[u8], exponent| u16::from_le_bytes([pair[0], pair[1]]) & exponent != exponent;
    let scales: &[usize] = match dtype {
        // Without a way out of the loop, which is quicker: there are as many as weights.
        GgmlDType::F16 => return bytes.chunks_exact(2).fold(true, |all, b| all & is_finite(b, F16_EXPONENT)),
        GgmlDType::BF16 => {
            return bytes.chunks_exact(2).fold(true, |all, b| all & is_finite(b, BF16_EXPONENT));
        }
        GgmlDType::Q4_1 | GgmlDType::Q5_1 | GgmlDType::Q4K | GgmlDType::Q5K => &[0, 2],
        GgmlDType::Q2K => &[80, 82],
        GgmlDType::Q3K => &[108],
        GgmlDType::Q6K => &[208],
        _ => &[0],
    };
    let mut blocks = bytes.chunks_exact(dtype.type_size());
    blocks.all(|block| scales.iter().all(|at| is_finite(&block[*at..], F16_EXPONENT)))
}
