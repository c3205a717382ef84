//! Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467).

use crate::nn::Result;
use candle_core::{D, Tensor};

fn rstd(x: &Tensor, epsilon: f64) -> Result<Tensor> {
    (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?.recip() // [.., 1]
}

/// `x · rstd · weight`: x [.., d], weight [d] -> [.., d].
pub fn forward(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    x.broadcast_mul(&rstd(x, epsilon)?)?.broadcast_mul(weight)
}

/// u = dy w;  dx = rstd (u - x rstd² mean(u x)).
pub fn backward(x: &Tensor, weight: &Tensor, dy: &Tensor, epsilon: f64) -> Result<Tensor> {
    let rstd = rstd(x, epsilon)?; // [.., 1]
    let u = dy.broadcast_mul(weight)?;
    let mean = (&u * x)?.mean_keepdim(D::Minus1)?; // [.., 1]
    let pull = x.broadcast_mul(&(mean * rstd.sqr()?)?)?;
    (u - pull)?.broadcast_mul(&rstd)
}

/// Σ dy x rstd over all rows: x, dy [.., d] -> [d].
pub fn of_weight(x: &Tensor, dy: &Tensor, epsilon: f64) -> Result<Tensor> {
    let d = x.dim(D::Minus1)?;
    (x.broadcast_mul(&rstd(x, epsilon)?)? * dy)?.reshape(((), d))?.sum(0) // [d]
}
