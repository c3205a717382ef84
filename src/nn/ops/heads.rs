//! Views of a row as heads, and back.

use crate::nn::{Node, Result, Tape};

/// x [n, h·e] -> [n, h, e].
pub fn split_heads(tape: &Tape, x: &Node, num_heads: usize) -> Result<Node> {
    let (n, width) = x.value().dims2()?;
    let y = x.value().reshape((n, num_heads, width / num_heads))?; // [n, h, e]
    Ok(tape.record(&[x], y, move |dy| Ok(vec![Some(dy.reshape((n, width))?)])))
}

/// x [n, h, e] -> [n, h·e].
pub fn merge_heads(tape: &Tape, x: &Node) -> Result<Node> {
    let (n, h, e) = x.value().dims3()?;
    let y = x.value().reshape((n, h * e))?; // [n, h·e]
    Ok(tape.record(&[x], y, move |dy| Ok(vec![Some(dy.reshape((n, h, e))?)])))
}
