//! The activation of the feed-forward block, gated or not.

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::{Activation, portable};
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;

/// `f(gate) · up` (Shazeer 2020, arXiv:2002.05202), which is SwiGLU or GEGLU: gate | up [n, 2f] -> [n, f].
///
/// The result is not kept for the layer that reads it: it is made again from gate | up.
pub fn gated(tape: &Tape, gate_up: &Node, activation: Activation) -> Result<Node> {
    let _span = profile::forward(activation.gated_name());
    let y = gated_forward(gate_up.value(), activation)?;
    if !gate_up.needs_gradient() {
        return Ok(Node::frozen(y));
    }
    let saved = gate_up.value().clone();
    let node = tape.record(activation.gated_name(), &[gate_up], y, move |dy| {
        let dx = match (Numbers::of(&saved), Numbers::of(dy)) {
            (Some(x), Some(dy)) => {
                tensor(cpu::activation::gated_backward(&x, &dy, saved.dim(1)? / 2, activation), saved.shape())
            }
            _ => portable::activation::gated_backward(&saved, dy, activation),
        };
        Ok(vec![Some(dx?)])
    });
    let saved = gate_up.value().clone();
    Ok(node.remade_by(move || gated_forward(&saved, activation)))
}

fn gated_forward(gate_up: &Tensor, activation: Activation) -> Result<Tensor> {
    let (n, f) = (gate_up.dim(0)?, gate_up.dim(1)? / 2);
    match Numbers::of(gate_up) {
        Some(x) => tensor(cpu::activation::gated(&x, f, activation), (n, f)),
        None => portable::activation::gated(gate_up, activation),
    }
}

/// `f(x)`, for feed-forward blocks without a gate: any shape -> the same.
///
/// The result is not kept for the layer that reads it: it is made again from x.
pub fn activate(tape: &Tape, x: &Node, activation: Activation) -> Result<Node> {
    let _span = profile::forward(activation.name());
    let y = forward(x.value(), activation)?;
    if !x.needs_gradient() {
        return Ok(Node::frozen(y));
    }
    let saved = x.value().clone();
    let node = tape.record(activation.name(), &[x], y, move |dy| {
        let dx = match (Numbers::of(&saved), Numbers::of(dy)) {
            (Some(x), Some(dy)) => tensor(cpu::activation::backward(&x, &dy, activation), saved.shape()),
            _ => portable::activation::backward(&saved, dy, activation),
        };
        Ok(vec![Some(dx?)])
    });
    let saved = x.value().clone();
    Ok(node.remade_by(move || forward(&saved, activation)))
}

fn forward(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match Numbers::of(x) {
        Some(numbers) => tensor(cpu::activation::forward(&numbers, activation), x.shape()),
        None => portable::activation::forward(x, activation),
    }
}
