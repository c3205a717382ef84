//! Sums and multiples.

use crate::nn::tape::sum;
use crate::nn::{Node, Result, Tape, profile};

/// `a + b`, same shape.
pub fn add(tape: &Tape, a: &Node, b: &Node) -> Result<Node> {
    let _span = profile::forward("add");
    let total = sum(a.value(), b.value())?;
    Ok(tape.record("add", &[a, b], total, |dy| Ok(vec![Some(dy.clone()), Some(dy.clone())])))
}

/// `factor · x + shift`, of any shape.
pub fn affine(tape: &Tape, x: &Node, factor: f64, shift: f64) -> Result<Node> {
    let _span = profile::forward("affine");
    let y = x.value().affine(factor, shift)?;
    Ok(tape.record("affine", &[x], y, move |dy| Ok(vec![Some(dy.affine(factor, 0.0)?)])))
}
