//! Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467).

use crate::nn::{Node, Result, Tape};
use candle_core::{D, Tensor};

/// `x · rstd · weight`, rstd = 1 / sqrt(mean(x²) + epsilon): x [.., d], frozen weight [d] -> [.., d].
pub fn rms_norm(tape: &Tape, x: &Node, weight: &Tensor, epsilon: f64) -> Result<Node> {
    #[expect(clippy::disallowed_methods, reason = "the gradient is the closure below")]
    let y = candle_nn::ops::rms_norm(&x.value().contiguous()?, weight, epsilon as f32)?;
    let (x, weight, input) = (x.value().clone(), weight.clone(), x);
    Ok(tape.record(&[input], y, move |dy| {
        // u = dy w;  dx = rstd (u - x rstd² mean(u x))
        let rstd = (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?.recip()?; // [.., 1]
        let u = dy.broadcast_mul(&weight)?;
        let mean = (&u * &x)?.mean_keepdim(D::Minus1)?; // [.., 1]
        let pull = x.broadcast_mul(&(mean * rstd.sqr()?)?)?;
        Ok(vec![Some((u - pull)?.broadcast_mul(&rstd)?)])
    }))
}
