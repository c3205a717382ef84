//! GGML's blocks, in pieces of 32 numbers of which a code `q` stands for `q d + m`. Widened for matrix
//! products of many rows; for a few rows, as in writing an answer token by token, multiplied as they are, because then
//! reading the weights is what takes the time.
//!
//! Layouts: <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>.

use candle_core::quantized::GgmlDType;

/// Numbers in a piece.
const SIZE: usize = 32;

/// One layout.
trait Block {
    const BYTES: usize;
    /// Pieces in a block.
    const PIECES: usize;

    /// The codes of a piece, d and m.
    fn parts(block: &[u8], piece: usize) -> ([f32; SIZE], f32, f32);
}

/// The f32 of two bytes that hold a finite f16, as straight-line code.
#[inline(always)]
fn half(bytes: &[u8]) -> f32 {
    let bits = u32::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    // 2^112 makes up for the difference of the exponents' biases, and of subnormal numbers normal ones.
    let magnitude = f32::from_bits((bits & 0x7FFF) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

/// An array of `number(0)`, `number(1)`… `std::array::from_fn` is not always inlined, and what is not inlined into a vectorised
/// loop is compiled without its instructions.
#[inline(always)]
fn numbers<T: Default + Copy, const N: usize>(number: impl Fn(usize) -> T) -> [T; N] {
    let mut all = [T::default(); N];
    for (i, place) in all.iter_mut().enumerate() {
        *place = number(i);
    }
    all
}

/// Codes of four bits: the low halves of 16 bytes, then the high ones; less `bias`.
#[inline(always)]
fn nibbles(bytes: &[u8], bias: i32) -> [f32; SIZE] {
    let mut codes = [0.0; SIZE];
    for (i, byte) in bytes[..SIZE / 2].iter().enumerate() {
        codes[i] = (i32::from(byte & 15) - bias) as f32;
        codes[i + SIZE / 2] = (i32::from(byte >> 4) - bias) as f32;
    }
    codes
}

/// As [`nibbles`], with a fifth bit for each in `high`.
#[inline(always)]
fn fives(high: &[u8], bytes: &[u8], bias: i32) -> [f32; SIZE] {
    let high = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    let mut codes = [0.0; SIZE];
    for (i, byte) in bytes[..SIZE / 2].iter().enumerate() {
        let (low_bit, high_bit) = ((high >> i & 1) << 4, (high >> (i + SIZE / 2) & 1) << 4);
        codes[i] = ((u32::from(byte & 15) | low_bit) as i32 - bias) as f32;
        codes[i + SIZE / 2] = ((u32::from(byte >> 4) | high_bit) as i32 - bias) as f32;
    }
    codes
}

/// Codes of four bits of one piece of a block of eight: each 32 bytes hold two pieces, in their low and high halves.
#[inline(always)]
fn halves(bytes: &[u8], piece: usize) -> [u32; SIZE] {
    let bytes = &bytes[piece / 2 * SIZE..][..SIZE];
    numbers(|i| u32::from(bytes[i] >> (piece % 2 * 4) & 15))
}

/// Scale and minimum of a piece, six bits each, out of twelve bytes.
#[inline(always)]
fn sixes(bytes: &[u8], piece: usize) -> (f32, f32) {
    let (scale, min) = match piece {
        0..4 => (bytes[piece] & 63, bytes[piece + 4] & 63),
        _ => {
            let shared = bytes[piece + 4];
            (shared & 15 | bytes[piece - 4] >> 6 << 4, shared >> 4 | bytes[piece] >> 6 << 4)
        }
    };
    (f32::from(scale), f32::from(min))
}

macro_rules! block {
    ($name:ident, $bytes:expr, $pieces:expr, |$block:ident, $piece:pat_param| $parts:expr) => {
        struct $name;

        impl Block for $name {
            const BYTES: usize = $bytes;
            const PIECES: usize = $pieces;

            #[inline(always)]
            fn parts($block: &[u8], $piece: usize) -> ([f32; SIZE], f32, f32) {
                $parts
            }
        }
    };
}

block!(Q4_0, 18, 1, |b, _| (nibbles(&b[2..18], 8), half(b), 0.0));
block!(Q4_1, 20, 1, |b, _| (nibbles(&b[4..20], 0), half(b), half(&b[2..])));
block!(Q5_0, 22, 1, |b, _| (fives(&b[2..6], &b[6..22], 16), half(b), 0.0));
block!(Q5_1, 24, 1, |b, _| (fives(&b[4..8], &b[8..24], 0), half(b), half(&b[2..])));
block!(Q8_0, 34, 1, |b, _| (numbers(|i| f32::from(b[2 + i].cast_signed())), half(b), 0.0));
block!(F16, 64, 1, |b, _| (numbers(|i| half(&b[2 * i..])), 1.0, 0.0));
block!(Bf16, 64, 1, |b, _| {
    let wide = |i: usize| f32::from_bits(u32::from(u16::from_le_bytes([b[2 * i], b[2 * i + 1]])) << 16);
    (numbers(wide), 1.0, 0.0)
});
block!(Q4K, 144, 8, |b, piece| {
    let (scale, min) = sixes(&b[4..16], piece);
    let codes = halves(&b[16..], piece);
    (numbers(|i| codes[i] as f32), half(b) * scale, -(half(&b[2..]) * min))
});
block!(Q5K, 176, 8, |b, piece| {
    let (scale, min) = sixes(&b[4..16], piece);
    let (high, codes) = (&b[16..48], halves(&b[48..], piece));
    let codes = numbers(|i| (codes[i] | u32::from(high[i] >> piece & 1) << 4) as f32);
    (codes, half(b) * scale, -(half(&b[2..]) * min))
});
block!(Q6K, 210, 8, |b, piece| {
    // In each half of the block, four pieces share their bytes; each 16 numbers have a scale of their own.
    let (side, place) = (piece / 4, piece % 4);
    let (low, high) = (&b[side * 64 + place % 2 * 32..][..SIZE], &b[128 + side * 32..][..SIZE]);
    let scales: [f32; 2] =
        numbers(|i| half(&b[208..]) * f32::from(b[192 + side * 8 + place * 2 + i].cast_signed()));
    let number = |i: usize| {
        let code = u32::from(low[i] >> (place / 2 * 4) & 15) | u32::from(high[i] >> (place * 2) & 3) << 4;
        scales[i / 16] * (code as i32 - 32) as f32
    };
    (numbers(number), 1.0, 0.0)
});

/// Chooses the layout for a generic function; `None` for those without a loop here.
macro_rules! by_layout {
    ($dtype:expr, $run:ident($($arguments:expr),*)) => {
        match $dtype {
            GgmlDType::Q4_0 => Some($run::<Q4_0>($($arguments),*)),
            GgmlDType::Q4_1 => Some($run::<Q4_1>($($arguments),*)),
            GgmlDType::Q5_0 => Some($run::<Q5_0>($($arguments),*)),
            GgmlDType::Q5_1 => Some($run::<Q5_1>($($arguments),*)),
            GgmlDType::Q8_0 => Some($run::<Q8_0>($($arguments),*)),
            GgmlDType::F16 => Some($run::<F16>($($arguments),*)),
            GgmlDType::BF16 => Some($run::<Bf16>($($arguments),*)),
            GgmlDType::Q4K => Some($run::<Q4K>($($arguments),*)),
            GgmlDType::Q5K => Some($run::<Q5K>($($arguments),*)),
            GgmlDType::Q6K => Some($run::<Q6K>($($arguments),*)),
            _ => None,
        }
    };
}

/// Whether a layout has its loops here.
pub fn has_loop(dtype: GgmlDType) -> bool {
    widen(dtype, &[], &mut [])
}

/// Blocks -> f32, whole ones; false when the layout has no loop here.
pub fn widen(dtype: GgmlDType, blocks: &[u8], out: &mut [f32]) -> bool {
    by_layout!(dtype, widen_as(blocks, out)).is_some()
}

vectorised! {
    fn widen_as<'a, B: Block>(blocks: &'a [u8], out: &'a mut [f32]) -> () {
        for (block, out) in blocks.chunks_exact(B::BYTES).zip(out.chunks_exact_mut(SIZE * B::PIECES)) {
            for (piece, out) in out.chunks_exact_mut(SIZE).enumerate() {
                let (codes, d, m) = B::parts(block, piece);
                for (out, code) in out.iter_mut().zip(codes) {
                    *out = code * d + m;
                }
            }
        }
    }
}

/// Inputs [n, i] of a product, with the sum over each 32 of them, by which `m` is multiplied.
pub struct Inputs<'a> {
    x: &'a [f32],
    sums: Vec<f32>,
    width: usize,
}

impl<'a> Inputs<'a> {
    /// `width` must be a whole number of blocks.
    pub fn new(x: &'a [f32], width: usize) -> Self {
        Self { x, sums: x.chunks_exact(SIZE).map(|x| x.iter().sum()).collect(), width }
    }
}

/// Rows of blocks times inputs: [rows, i] and [n, i] -> [rows, n]; false when the layout has no loop here.
pub fn multiply(dtype: GgmlDType, blocks: &[u8], inputs: &Inputs, out: &mut [f32]) -> bool {
    by_layout!(dtype, multiply_as(blocks, inputs, out)).is_some()
}

vectorised! {
    fn multiply_as<'a, B: Block>(blocks: &'a [u8], inputs: &'a Inputs<'a>, out: &'a mut [f32]) -> () {
        let per_row = inputs.width / SIZE;
        let n = inputs.x.len() / inputs.width.max(1);
        for (row, out) in blocks.chunks_exact(per_row / B::PIECES * B::BYTES).zip(out.chunks_exact_mut(n)) {
            let rows = inputs.x.chunks_exact(inputs.width).zip(inputs.sums.chunks_exact(per_row));
            for ((x, sums), out) in rows.zip(out) {
                *out = dot::<B>(row, x, sums);
            }
        }
    }
}

#[inline(always)]
fn dot<B: Block>(row: &[u8], x: &[f32], sums: &[f32]) -> f32 {
    const HALF: usize = SIZE / 2;
    let mut lanes = [0f32; HALF];
    let mut shift = 0f32;
    let inputs = x.chunks_exact(SIZE * B::PIECES).zip(sums.chunks_exact(B::PIECES));
    for (block, (x, sums)) in row.chunks_exact(B::BYTES).zip(inputs) {
        for (piece, (x, sum)) in x.chunks_exact(SIZE).zip(sums).enumerate() {
            let (codes, d, m) = B::parts(block, piece);
            for i in 0..HALF {
                lanes[i] += d * (codes[i] * x[i] + codes[i + HALF] * x[i + HALF]);
            }
            shift += m * sum;
        }
    }
    lanes.iter().sum::<f32>() + shift
}
