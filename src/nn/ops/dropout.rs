//! Dropout (Srivastava et al. 2014) whose mask is a function of a counter: nothing is stored, a resumed run
//! drops the same numbers.

use crate::base::rng::Rng;
use crate::nn::{Node, Result, Tape};
use candle_core::Tensor;

/// Which numbers are dropped: share and random stream.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Share that becomes zero, 0..1.
    pub share: f32,
    pub stream: Rng,
}

fn mask(of: Dropout, like: &Tensor) -> Result<Tensor> {
    let kept = 1.0 / (1.0 - of.share);
    let mask: Vec<f32> = (0..like.elem_count() as u64)
        .map(|i| if of.stream.uniform_at(i) < of.share { 0.0 } else { kept })
        .collect();
    Tensor::from_vec(mask, like.shape(), like.device())
}

/// Zeroes a share of `x` and scales the rest by 1 / (1 - share); any shape.
pub fn dropout(tape: &Tape, x: &Node, dropout: Dropout) -> Result<Node> {
    if dropout.share <= 0.0 {
        return Ok(x.clone());
    }
    let y = (x.value() * mask(dropout, x.value())?)?;
    Ok(tape.record(&[x], y, move |dy| Ok(vec![Some((dy * mask(dropout, dy)?)?)])))
}
