//! Sums and differences.

use crate::nn::tape::sum;
use crate::nn::{Node, Result, Tape, profile};

/// `a + b`, same shape.
pub fn add(tape: &Tape, a: &Node, b: &Node) -> Result<Node> {
    let _span = profile::forward("add");
    let total = sum(a.value(), b.value())?;
    Ok(tape.record("add", &[a, b], total, |dy| Ok(vec![Some(dy.clone()), Some(dy.clone())])))
}

/// `a - b`, same shape.
pub fn subtract(tape: &Tape, a: &Node, b: &Node) -> Result<Node> {
    let _span = profile::forward("subtract");
    let difference = (a.value() - b.value())?;
    Ok(tape.record("subtract", &[a, b], difference, |dy| Ok(vec![Some(dy.clone()), Some(dy.neg()?)])))
}
