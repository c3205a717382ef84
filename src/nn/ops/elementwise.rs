//! Sums, and curves for small networks, whose results are not worth a kernel.

use crate::nn::tape::sum;
use crate::nn::{Node, Result, Tape, profile};

/// `a + b`, same shape.
pub fn add(tape: &Tape, a: &Node, b: &Node) -> Result<Node> {
    let _span = profile::forward("add");
    let total = sum(a.value(), b.value())?;
    Ok(tape.record("add", &[a, b], total, |dy| Ok(vec![Some(dy.clone()), Some(dy.clone())])))
}

/// `tanh x`, any shape.
pub fn tanh(tape: &Tape, x: &Node) -> Result<Node> {
    let _span = profile::forward("tanh");
    let y = x.value().tanh()?;
    let kept = y.clone();
    Ok(tape.record("tanh", &[x], y, move |dy| Ok(vec![Some((dy * (1.0 - kept.sqr()?)?)?)])))
}

/// `max(x, 0)`, any shape.
pub fn relu(tape: &Tape, x: &Node) -> Result<Node> {
    let _span = profile::forward("relu");
    let y = x.value().relu()?;
    let kept = y.clone();
    Ok(tape.record("relu", &[x], y, move |dy| Ok(vec![Some((dy * kept.gt(0f64)?.to_dtype(dy.dtype())?)?)])))
}
