//! Dropout (Srivastava et al. 2014) whose mask is a function of a counter: nothing is stored, a resumed run
//! drops the same numbers.

use crate::base::rng::Rng;
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;

/// Which numbers are dropped: share and random stream.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Share that becomes zero, 0..1.
    pub share: f32,
    pub stream: Rng,
}

impl Dropout {
    /// What the number at a place is multiplied by.
    fn factor(self, place: usize) -> f32 {
        if self.stream.uniform_at(place as u64) < self.share { 0.0 } else { 1.0 / (1.0 - self.share) }
    }

    /// Drops from `x`, or from a gradient: any shape.
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        if let Some(numbers) = Numbers::of(x) {
            return tensor(cpu::elementwise::scaled(&numbers, |place| self.factor(place)), x.shape());
        }
        let mask: Vec<f32> = (0..x.elem_count()).map(|place| self.factor(place)).collect();
        x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?
    }
}

/// Zeroes a share of `x` and scales the rest by 1 / (1 - share); any shape. The result is made again for those who read it.
pub fn dropout(tape: &Tape, x: &Node, dropout: Dropout) -> Result<Node> {
    if dropout.share <= 0.0 {
        return Ok(x.clone());
    }
    let _span = profile::forward("dropout");
    let y = dropout.apply(x.value())?;
    let node = tape.record("dropout", &[x], y, move |dy| Ok(vec![Some(dropout.apply(dy)?)]));
    let kept = x.keep();
    Ok(node.remade_by(move || dropout.apply(&kept.get()?)))
}
