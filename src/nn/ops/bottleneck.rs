//! A small feed-forward block beside a sub-layer (Houlsby et al. 2019, arXiv:1902.00751).

use super::{Activation, activate, affine, linear};
use crate::nn::{Node, Result, Tape, WeightNode};

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
    let h = activate(tape, &h, small.activation)?;
    let up = WeightNode::trained(&small.up);
    if small.scale == 1.0 {
        return linear(tape, &h, &up, Some(&small.up_bias));
    }
    // The scale goes where it is cheapest: the narrow side, and the bias.
    let [h, bias] = [&h, &small.up_bias].map(|x| affine(tape, x, small.scale, 0.0));
    linear(tape, &h?, &up, Some(&bias?))
}
