//! Activations, alone and as gates (Shazeer 2020, arXiv:2002.05202).

use super::wide;
use crate::nn::Result;
use crate::nn::kernels::activation::{Activation, GELU_TANH_CUBIC, GELU_TANH_STEEPNESS};
use candle_core::{D, Tensor};
use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// `f(x)`, of any shape.
pub fn forward(x: &Tensor, activation: Activation) -> Result<Tensor> {
    curve(&wide(x)?, activation)?.to_dtype(x.dtype())
}

/// `f(x)` of a wide x.
fn curve(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Silu => x.silu(),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Relu => x.relu(),
    }
}

/// f(x) and f'(x) of a wide x, of its shape.
fn value_and_slope(x: &Tensor, activation: Activation) -> Result<(Tensor, Tensor)> {
    // f(x) = x s(x), so that f'(x) = s(x) + x s'(x)
    let (share, bend) = match activation {
        Activation::Silu => {
            let sig = candle_nn::ops::sigmoid(x)?;
            let bend = (&sig * (1.0 - &sig)?)?;
            (sig, bend)
        }
        Activation::Gelu => {
            let share = (((x * FRAC_1_SQRT_2)?.erf()? + 1.0)? * 0.5)?;
            (share, ((x.sqr()? * -0.5)?.exp()? * (1.0 / TAU.sqrt()))?)
        }
        Activation::GeluTanh => {
            let square = x.sqr()?;
            let u = (x * ((&square * GELU_TANH_CUBIC)? + 1.0)?)?;
            let sig = candle_nn::ops::sigmoid(&(u * GELU_TANH_STEEPNESS)?)?;
            let inner = ((square * (3.0 * GELU_TANH_CUBIC))? + 1.0)?;
            let bend = ((&sig * (1.0 - &sig)?)? * (inner * GELU_TANH_STEEPNESS)?)?;
            (sig, bend)
        }
        Activation::Relu => (x.gt(0f64)?.to_dtype(x.dtype())?, x.zeros_like()?),
    };
    Ok(((x * &share)?, (share + (x * bend)?)?))
}

/// x and dy of the same shape -> dx.
pub fn backward(x: &Tensor, dy: &Tensor, activation: Activation) -> Result<Tensor> {
    (wide(dy)? * value_and_slope(&wide(x)?, activation)?.1)?.to_dtype(x.dtype())
}

/// gate | up [n, 2f] -> gate [n, f], up [n, f], both wide.
fn halves(gate_up: &Tensor) -> Result<(Tensor, Tensor)> {
    let f = gate_up.dim(D::Minus1)? / 2;
    let half = |first| wide(&gate_up.narrow(1, first, f)?)?.contiguous();
    Ok((half(0)?, half(f)?))
}

/// `f(gate) · up`: [n, 2f] -> [n, f].
pub fn gated(gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
    let (gate, up) = halves(gate_up)?;
    (curve(&gate, activation)? * up)?.to_dtype(gate_up.dtype())
}

/// gate | up [n, 2f] and dy [n, f] -> d gate | d up [n, 2f].
pub fn gated_backward(gate_up: &Tensor, dy: &Tensor, activation: Activation) -> Result<Tensor> {
    let (gate, up) = halves(gate_up)?;
    let (value, slope) = value_and_slope(&gate, activation)?;
    let wide_dy = wide(dy)?;
    let of = |gradient: Tensor| gradient.to_dtype(gate_up.dtype());
    Tensor::cat(&[of(((&wide_dy * up)? * slope)?)?, of((wide_dy * value)?)?], 1)
}
