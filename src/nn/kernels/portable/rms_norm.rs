//! Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467).

use super::wide;
use crate::nn::Result;
use candle_core::{D, Tensor};

/// Of a wide x.
fn rstd(x: &Tensor, epsilon: f64) -> Result<Tensor> {
    (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?.recip() // [.., 1]
}

/// `x · rstd · weight`: x [.., d], weight [d] -> [.., d].
pub fn forward(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let wide = wide(x)?;
    let y = wide.broadcast_mul(&rstd(&wide, epsilon)?)?.broadcast_mul(&weight.to_dtype(wide.dtype())?)?;
    y.to_dtype(x.dtype())
}

/// u = dy w;  dx = rstd (u - x rstd² mean(u x)).
pub fn backward(x: &Tensor, weight: &Tensor, dy: &Tensor, epsilon: f64) -> Result<Tensor> {
    let (wide, dy) = (wide(x)?, wide(dy)?);
    let rstd = rstd(&wide, epsilon)?; // [.., 1]
    let u = dy.broadcast_mul(&weight.to_dtype(wide.dtype())?)?;
    let mean = (&u * &wide)?.mean_keepdim(D::Minus1)?; // [.., 1]
    let pull = wide.broadcast_mul(&(mean * rstd.sqr()?)?)?;
    (u - pull)?.broadcast_mul(&rstd)?.to_dtype(x.dtype())
}

/// Σ dy x rstd over all rows: x, dy [.., d] -> [d], wide.
pub fn of_weight(x: &Tensor, dy: &Tensor, epsilon: f64) -> Result<Tensor> {
    let d = x.dim(D::Minus1)?;
    let (x, dy) = (wide(x)?, wide(dy)?);
    (x.broadcast_mul(&rstd(&x, epsilon)?)? * dy)?.reshape(((), d))?.sum(0) // [d]
}
