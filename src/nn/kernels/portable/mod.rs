//! The same arithmetic in plain tensor operations: on every device, in every type. No tensor here has a gradient of candle's.
//!
//! Activations may be bf16: products then are, while statistics, curves, softmax and sums over many numbers are f32
//! ([`wide`]), and what goes on is rounded once at the end.

pub mod activation;
pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod dynamic_code;
pub mod layer_norm;
pub mod lion;
pub mod low_rank;
pub mod rms_norm;
pub mod rotate;
pub mod sgd;

use crate::nn::Result;
use candle_core::{DType, Tensor};

/// The type in which statistics and sums of numbers of a type are made: f32 for bf16, else the same.
pub fn wide_dtype(dtype: DType) -> DType {
    match dtype {
        DType::BF16 => DType::F32,
        same => same,
    }
}

/// The same numbers in [`wide_dtype`].
pub fn wide(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(wide_dtype(x.dtype()))
}
