//! The norm of the whole gradient, and the factor that brings it under a limit (Pascanu et al. 2013).

use crate::nn::Result;
use crate::nn::kernels::cpu::Numbers;
use crate::nn::kernels::cpu::elementwise::sum_of_squares;
use candle_core::{DType, Device, Tensor};

/// Euclidean norm of a flat gradient [P]; NaN or infinite when the gradient is.
pub fn norm(gradient: &Tensor) -> Result<f64> {
    let squares = match Numbers::of(gradient) {
        Some(numbers) => sum_of_squares(&numbers),
        // Metal knows no f64.
        None => gradient.sqr()?.sum_all()?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_scalar()?,
    };
    Ok(squares.sqrt())
}

/// What to multiply the gradient by so that its norm is at most `max_norm`; as in PyTorch, with 1e-6 added.
pub fn clip_factor(norm: f64, max_norm: Option<f64>) -> f64 {
    max_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0))
}
