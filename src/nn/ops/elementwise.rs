//! Sums, differences, multiples, a curve for small networks, and numbers in another type.

use crate::nn::tape::sum;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::DType;

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

/// `factor · x + shift`, of any shape.
pub fn affine(tape: &Tape, x: &Node, factor: f64, shift: f64) -> Result<Node> {
    let _span = profile::forward("affine");
    let y = x.value().affine(factor, shift)?;
    Ok(tape.record("affine", &[x], y, move |dy| Ok(vec![Some(dy.affine(factor, 0.0)?)])))
}

/// `x` in another type, any shape; its gradient comes back in its own.
pub fn cast(tape: &Tape, x: &Node, dtype: DType) -> Result<Node> {
    let own = x.value().dtype();
    if own == dtype {
        return Ok(x.clone());
    }
    let _span = profile::forward("cast");
    let value = x.value().to_dtype(dtype)?;
    Ok(tape.record("cast", &[x], value, move |dy| Ok(vec![Some(dy.to_dtype(own)?)])))
}

/// `a - b`, same shape.
pub fn subtract(tape: &Tape, a: &Node, b: &Node) -> Result<Node> {
    let _span = profile::forward("subtract");
    let difference = (a.value() - b.value())?;
    Ok(tape.record("subtract", &[a, b], difference, |dy| Ok(vec![Some(dy.clone()), Some(dy.neg()?)])))
}
