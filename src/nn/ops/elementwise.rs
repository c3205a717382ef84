//! Sums, and the gated activation of the feed-forward block.

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable;
use crate::nn::tape::sum;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;

/// `a + b`, same shape.
pub fn add(tape: &Tape, a: &Node, b: &Node) -> Result<Node> {
    let _span = profile::forward("add");
    let total = sum(a.value(), b.value())?;
    Ok(tape.record("add", &[a, b], total, |dy| Ok(vec![Some(dy.clone()), Some(dy.clone())])))
}

/// `silu(gate) · up` (Shazeer 2020, arXiv:2002.05202): gate | up [n, 2f] -> [n, f].
///
/// The result is not kept for the layer that reads it: it is made again from gate | up.
pub fn swiglu(tape: &Tape, gate_up: &Node) -> Result<Node> {
    let _span = profile::forward("swiglu");
    let y = swiglu_forward(gate_up.value())?;
    if !gate_up.needs_gradient() {
        return Ok(Node::frozen(y));
    }
    let saved = gate_up.value().clone();
    let node = tape.record("swiglu", &[gate_up], y, move |dy| {
        let on_cpu = match (Numbers::of(&saved), Numbers::of(dy)) {
            (Some(x), Some(dy)) => Some(cpu::elementwise::swiglu_backward(&x, &dy, saved.dim(1)? / 2)),
            _ => None,
        };
        let dx = on_cpu.map_or_else(
            || portable::elementwise::swiglu_backward(&saved, dy),
            |dx| tensor(dx, saved.shape()),
        )?;
        Ok(vec![Some(dx)])
    });
    let saved = gate_up.value().clone();
    Ok(node.remade_by(move || swiglu_forward(&saved)))
}

fn swiglu_forward(gate_up: &Tensor) -> Result<Tensor> {
    let (n, f) = (gate_up.dim(0)?, gate_up.dim(1)? / 2);
    match Numbers::of(gate_up) {
        Some(x) => tensor(cpu::elementwise::swiglu(&x, f), (n, f)),
        None => portable::elementwise::swiglu(gate_up),
    }
}
