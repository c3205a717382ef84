//! Sums, and the gated activation of the feed-forward block.

use crate::nn::{Node, Result, Tape};
use candle_core::Tensor;

/// `a + b`, same shape.
pub fn add(tape: &Tape, a: &Node, b: &Node) -> Result<Node> {
    let sum = (a.value() + b.value())?;
    Ok(tape.record(&[a, b], sum, |dy| Ok(vec![Some(dy.clone()), Some(dy.clone())])))
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    candle_nn::ops::sigmoid(x)
}

/// `silu(gate) · up` (Shazeer 2020, arXiv:2002.05202): gate [n, f], up [n, f] -> [n, f].
pub fn swiglu(tape: &Tape, gate: &Node, up: &Node) -> Result<Node> {
    let out = (gate.value().silu()? * up.value())?;
    let (gate_saved, up_saved) = (gate.value().clone(), up.value().clone());
    Ok(tape.record(&[gate, up], out, move |dy| {
        // silu(x) = x σ(x);  silu'(x) = σ(x) (1 + x (1 - σ(x)))
        let sig = sigmoid(&gate_saved)?;
        let silu = (&gate_saved * &sig)?;
        let slope = (&sig + (&silu * (1.0 - &sig)?)?)?;
        let d_up = (dy * &silu)?;
        let d_gate = ((dy * &up_saved)? * slope)?;
        Ok(vec![Some(d_gate), Some(d_up)])
    }))
}
