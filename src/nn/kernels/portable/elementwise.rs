//! The gated activation of the feed-forward block (Shazeer 2020, arXiv:2002.05202).

use crate::nn::Result;
use candle_core::{D, Tensor};

/// gate | up [n, 2f] -> gate [n, f], up [n, f].
fn halves(gate_up: &Tensor) -> Result<(Tensor, Tensor)> {
    let f = gate_up.dim(D::Minus1)? / 2;
    Ok((gate_up.narrow(1, 0, f)?.contiguous()?, gate_up.narrow(1, f, f)?.contiguous()?))
}

/// `silu(gate) · up`: [n, 2f] -> [n, f].
pub fn swiglu(gate_up: &Tensor) -> Result<Tensor> {
    let (gate, up) = halves(gate_up)?;
    gate.silu()? * up
}

/// silu(x) = x σ(x);  silu'(x) = σ(x) (1 + x (1 - σ(x))): dy [n, f] -> d gate | d up [n, 2f].
pub fn swiglu_backward(gate_up: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (gate, up) = halves(gate_up)?;
    let sig = candle_nn::ops::sigmoid(&gate)?;
    let silu = (&gate * &sig)?;
    let slope = (&sig + (&silu * (1.0 - &sig)?)?)?;
    Tensor::cat(&[((dy * &up)? * slope)?, (dy * &silu)?], 1)
}
