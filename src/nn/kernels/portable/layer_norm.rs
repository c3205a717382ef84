//! Layer normalisation (Ba et al. 2016, arXiv:1607.06450).

use super::wide;
use crate::nn::Result;
use candle_core::{D, Tensor};

/// x less its mean, [.., d], and, both wide, 1 / sqrt(variance + ε), [.., 1].
fn moments(x: &Tensor, epsilon: f64) -> Result<(Tensor, Tensor)> {
    let x = wide(x)?;
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let rstd = (centred.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?.recip()?;
    Ok((centred, rstd))
}

/// `(x - mean) · rstd · weight + bias`: x [.., d], weight and bias [d] -> [.., d].
pub fn forward(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    let (centred, rstd) = moments(x, epsilon)?;
    let like = |vector: &Tensor| vector.to_dtype(centred.dtype());
    let y = centred.broadcast_mul(&rstd)?.broadcast_mul(&like(weight)?)?.broadcast_add(&like(bias)?)?;
    y.to_dtype(x.dtype())
}

/// u = dy w;  y = (x - mean) rstd;  dx = rstd (u - mean(u) - y mean(u y)).
pub fn backward(x: &Tensor, weight: &Tensor, dy: &Tensor, epsilon: f64) -> Result<Tensor> {
    let (centred, rstd) = moments(x, epsilon)?;
    let y = centred.broadcast_mul(&rstd)?;
    let u = wide(dy)?.broadcast_mul(&weight.to_dtype(y.dtype())?)?;
    let pull = y.broadcast_mul(&(&u * &y)?.mean_keepdim(D::Minus1)?)?;
    (u.broadcast_sub(&u.mean_keepdim(D::Minus1)?)? - pull)?.broadcast_mul(&rstd)?.to_dtype(x.dtype())
}

/// Σ dy (x - mean) rstd and Σ dy over all rows: x, dy [.., d] -> [d] each.
pub fn of_weights(x: &Tensor, dy: &Tensor, epsilon: f64) -> Result<[Tensor; 2]> {
    let d = x.dim(D::Minus1)?;
    let (centred, rstd) = moments(x, epsilon)?;
    let summed = |rows: &Tensor| rows.reshape(((), d))?.sum(0); // [d]
    let dy = wide(dy)?;
    Ok([summed(&(centred.broadcast_mul(&rstd)? * &dy)?)?, summed(&dy)?])
}
