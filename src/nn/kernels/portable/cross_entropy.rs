//! Softmax and cross entropy of rows of logits.

use crate::nn::Result;
use candle_core::{D, Tensor};

/// cap · tanh(logits / cap).
pub fn bent(logits: &Tensor, cap: f64) -> Result<Tensor> {
    (logits / cap)?.tanh()? * cap
}

/// logits [c, v], wide, targets [c, 1] u32, weights [c, 1] -> weight · -log p(target) [c, 1], and weight (p - onehot) [c, v]. Under a
/// cap, p is of the bent logits C, and the gradient times 1 - (C / cap)².
pub fn losses_and_gradient(
    logits: &Tensor,
    targets: &Tensor,
    weights: &Tensor,
    cap: Option<f64>,
) -> Result<(Tensor, Tensor)> {
    if let Some(cap) = cap {
        let bent = bent(logits, cap)?;
        let (losses, gradient) = losses_and_gradient(&bent, targets, weights, None)?;
        return Ok((losses, (gradient * (1.0 - (bent / cap)?.sqr()?)?)?));
    }
    let max = logits.max_keepdim(D::Minus1)?; // [c, 1]
    let exp = logits.broadcast_sub(&max)?.exp()?; // [c, v]
    let total = exp.sum_keepdim(D::Minus1)?; // [c, 1]
    let log_sum = (max + total.log()?)?; // [c, 1]
    let losses = ((log_sum - logits.gather(targets, 1)?)? * weights)?; // [c, 1]
    let p = exp.broadcast_mul(&(weights / total)?)?; // [c, v]
    Ok((losses, p.scatter_add(targets, &weights.neg()?, 1)?))
}
