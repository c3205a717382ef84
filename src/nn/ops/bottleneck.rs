//! A small feed-forward block beside a sub-layer (Houlsby et al. 2019, arXiv:1902.00751).

use super::{Activation, activate, linear};
use crate::nn::{Node, Result, Tape, WeightNode, profile};
use candle_core::Tensor;

/// `scale · (f(x downᵀ + down_bias) upᵀ + up_bias)`.
#[derive(Debug, Clone)]
pub struct Bottleneck {
    /// [b, d]
    pub down: Node,
    /// [b]
    pub down_bias: Node,
    /// [d, b]
    pub up: Node,
    /// [d]
    pub up_bias: Node,
    pub activation: Activation,
    pub scale: f64,
}

/// x [n, d] -> [n, d].
pub fn bottleneck(tape: &Tape, x: &Node, small: &Bottleneck) -> Result<Node> {
    let h = linear(tape, x, &WeightNode::trained(&small.down), Some(&small.down_bias))?; // [n, b]
    // The scale goes where it is cheapest: the narrow side, and the bias.
    let h = times(tape, &activate(tape, &h, small.activation)?, small.scale)?;
    let bias = times(tape, &small.up_bias, small.scale)?;
    linear(tape, &h, &WeightNode::trained(&small.up), Some(&bias))
}

/// `x · factor`, of any shape.
fn times(tape: &Tape, x: &Node, factor: f64) -> Result<Node> {
    if factor == 1.0 {
        return Ok(x.clone());
    }
    let _span = profile::forward("scale");
    let scaled = move |x: &Tensor| x * factor;
    let y = scaled(x.value())?;
    Ok(tape.record("scale", &[x], y, move |dy| Ok(vec![Some(scaled(dy)?)])))
}
