//! `y = x Wᵀ + bias` with a frozen weight: the backward pass has no dW.

use crate::nn::{Node, Result, Tape};
use candle_core::Tensor;

/// x [n, i], weight [o, i], bias [o] -> [n, o].
pub fn linear(tape: &Tape, x: &Node, weight: &Tensor, bias: Option<&Tensor>) -> Result<Node> {
    let y = x.value().matmul(&weight.t()?)?; // [n, o]
    let y = match bias {
        Some(bias) => y.broadcast_add(bias)?,
        None => y,
    };
    let weight = weight.clone();
    // dx = dy W
    Ok(tape.record(&[x], y, move |dy| Ok(vec![Some(dy.matmul(&weight)?)])))
}
