//! Softmax and cross entropy of rows of logits.

use crate::nn::Result;
use candle_core::{D, DType, Tensor};

/// logits [c, v], targets [c, 1] u32, weights [c, 1] -> Σ weight · -log p(target), and weight (p - onehot) [c, v].
pub fn loss_and_gradient(logits: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<(f64, Tensor)> {
    let max = logits.max_keepdim(D::Minus1)?; // [c, 1]
    let exp = logits.broadcast_sub(&max)?.exp()?; // [c, v]
    let total = exp.sum_keepdim(D::Minus1)?; // [c, 1]
    let log_sum = (max + total.log()?)?; // [c, 1]
    let loss = ((log_sum - logits.gather(targets, 1)?)? * weights)?; // [c, 1]
    let loss = loss.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
    let p = exp.broadcast_mul(&(weights / total)?)?; // [c, v]
    Ok((loss, p.scatter_add(targets, &weights.neg()?, 1)?))
}
