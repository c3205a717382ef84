//! Softmax and cross entropy of rows of logits, and how far they are from the softmax of others.

use crate::nn::Result;
use candle_core::{D, Tensor};

/// cap · tanh(logits / cap).
pub fn bent(logits: &Tensor, cap: f64) -> Result<Tensor> {
    (logits / cap)?.tanh()? * cap
}

/// Losses [c, 1] and their gradient [c, v] of logits [c, v] that a cap bends to C: the gradient times 1 - (C / cap)².
fn capped(
    logits: &Tensor,
    cap: Option<f64>,
    of_bent: impl FnOnce(&Tensor) -> Result<(Tensor, Tensor)>,
) -> Result<(Tensor, Tensor)> {
    let Some(cap) = cap else { return of_bent(logits) };
    let bent = bent(logits, cap)?;
    let (losses, gradient) = of_bent(&bent)?;
    Ok((losses, (gradient * (1.0 - (bent / cap)?.sqr()?)?)?))
}

/// logits [c, v], wide, targets [c, 1] u32, weights [c, 1] -> weight · -log p(target) [c, 1], and weight (p - onehot) [c, v]. Under a
/// cap, p is of the bent logits.
pub fn losses_and_gradient(
    logits: &Tensor,
    targets: &Tensor,
    weights: &Tensor,
    cap: Option<f64>,
) -> Result<(Tensor, Tensor)> {
    capped(logits, cap, |logits| {
        let max = logits.max_keepdim(D::Minus1)?; // [c, 1]
        let exp = logits.broadcast_sub(&max)?.exp()?; // [c, v]
        let total = exp.sum_keepdim(D::Minus1)?; // [c, 1]
        let log_sum = (max + total.log()?)?; // [c, 1]
        let losses = ((log_sum - logits.gather(targets, 1)?)? * weights)?; // [c, 1]
        let p = exp.broadcast_mul(&(weights / total)?)?; // [c, v]
        Ok((losses, p.scatter_add(targets, &weights.neg()?, 1)?))
    })
}

/// logits [c, v], wide, others [c, v] that are bent already, weights [c, 1] -> weight · KL(q || p) [c, 1], q being the softmax of the
/// others, and weight (p - q) [c, v].
pub fn divergence_and_gradient(
    logits: &Tensor,
    others: &Tensor,
    weights: &Tensor,
    cap: Option<f64>,
) -> Result<(Tensor, Tensor)> {
    capped(logits, cap, |logits| {
        let (log_p, log_q) = (log_softmax(logits)?, log_softmax(others)?);
        let q = log_q.exp()?;
        let divergence = (&q * (log_q - &log_p)?)?.sum_keepdim(D::Minus1)?; // [c, 1]
        Ok(((divergence * weights)?, (log_p.exp()? - q)?.broadcast_mul(weights)?))
    })
}

fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    let log_sum = shifted.exp()?.sum_keepdim(D::Minus1)?.log()?; // [c, 1]
    shifted.broadcast_sub(&log_sum)
}
