//! GGML's blocks of 32 numbers, where they are simple enough for a loop of ours: a code `q` stands for `q d + m`. Widened for matrix
//! products of many rows; for a few rows, as in writing an answer token by token, multiplied as they are, because then
//! reading the weights is what takes the time.
//!
//! Layouts: <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>.

use candle_core::quantized::GgmlDType;

/// Numbers in a block.
const SIZE: usize = 32;

/// One layout of 32 numbers.
trait Block {
    const BYTES: usize;

    /// The codes, d and m.
    fn parts(block: &[u8]) -> ([f32; SIZE], f32, f32);
}

/// The f32 of two bytes that hold a finite f16, as straight-line code.
#[inline(always)]
fn half(bytes: &[u8]) -> f32 {
    let bits = u32::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    // 2^112 makes up for the difference of the exponents' biases, and of subnormal numbers normal ones.
    let magnitude = f32::from_bits((bits & 0x7FFF) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
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

macro_rules! block {
    ($name:ident, $bytes:expr, |$block:ident| $parts:expr) => {
        struct $name;

        impl Block for $name {
            const BYTES: usize = $bytes;

            #[inline(always)]
            fn parts($block: &[u8]) -> ([f32; SIZE], f32, f32) {
                $parts
            }
        }
    };
}

block!(Q4_0, 18, |b| (nibbles(&b[2..18], 8), half(b), 0.0));
block!(Q4_1, 20, |b| (nibbles(&b[4..20], 0), half(b), half(&b[2..])));
block!(Q5_0, 22, |b| (fives(&b[2..6], &b[6..22], 16), half(b), 0.0));
block!(Q5_1, 24, |b| (fives(&b[4..8], &b[8..24], 0), half(b), half(&b[2..])));
block!(Q8_0, 34, |b| (std::array::from_fn(|i| f32::from(b[2 + i].cast_signed())), half(b), 0.0));
block!(F16, 64, |b| (std::array::from_fn(|i| half(&b[2 * i..])), 1.0, 0.0));
block!(Bf16, 64, |b| {
    let wide = |i: usize| f32::from_bits(u32::from(u16::from_le_bytes([b[2 * i], b[2 * i + 1]])) << 16);
    (std::array::from_fn(wide), 1.0, 0.0)
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
            _ => None,
        }
    };
}

/// Blocks -> f32, whole ones; false when the layout has no loop here.
pub fn widen(dtype: GgmlDType, blocks: &[u8], out: &mut [f32]) -> bool {
    by_layout!(dtype, widen_as(blocks, out)).is_some()
}

vectorised! {
    fn widen_as<'a, B: Block>(blocks: &'a [u8], out: &'a mut [f32]) -> () {
        for (block, out) in blocks.chunks_exact(B::BYTES).zip(out.chunks_exact_mut(SIZE)) {
            let (codes, d, m) = B::parts(block);
            for (out, code) in out.iter_mut().zip(codes) {
                *out = code * d + m;
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
        for (row, out) in blocks.chunks_exact(per_row * B::BYTES).zip(out.chunks_exact_mut(n)) {
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
    for ((block, x), sum) in row.chunks_exact(B::BYTES).zip(x.chunks_exact(SIZE)).zip(sums) {
        let (codes, d, m) = B::parts(block);
        for i in 0..HALF {
            lanes[i] += d * (codes[i] * x[i] + codes[i + HALF] * x[i + HALF]);
        }
        shift += m * sum;
    }
    lanes.iter().sum::<f32>() + shift
}
