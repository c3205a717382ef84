//! Dropout (Srivastava et al. 2014) whose mask is a function of a counter: a resumed run drops the same numbers, and
//! the CPU stores none of it.

use crate::base::rng::Rng;
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable::wide;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;
use rayon::prelude::*;

/// Which numbers are dropped: share and random stream.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Share that becomes zero, 0..1.
    pub share: f32,
    pub stream: Rng,
}

impl Dropout {
    fn drops(self, place: usize) -> bool {
        self.stream.uniform_at(place as u64) < self.share
    }

    /// What is left is multiplied by this.
    fn gain(self) -> f32 {
        1.0 / (1.0 - self.share)
    }

    /// Ones where numbers stay, u8, of the shape and on the device of `x`; `None` where the CPU's kernel asks for each number.
    ///
    /// The counter's generator needs the host, so the mask is made there, once for the way there and back.
    fn mask(self, x: &Tensor) -> Result<Option<Tensor>> {
        if Numbers::of(x).is_some() {
            return Ok(None);
        }
        let stays: Vec<u8> =
            (0..x.elem_count()).into_par_iter().map(|place| u8::from(!self.drops(place))).collect();
        Tensor::from_vec(stays, x.shape(), x.device()).map(Some)
    }

    /// Drops from `x`, or from a gradient: any shape.
    fn apply(self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        if let (Some(numbers), None) = (Numbers::of(x), mask) {
            let factor = |place| if self.drops(place) { 0.0 } else { self.gain() };
            return tensor(cpu::elementwise::scaled(&numbers, factor), x.shape());
        }
        let Some(mask) = mask else { return self.apply(x, self.mask(x)?.as_ref()) };
        let wide = wide(x)?;
        ((&wide * mask.to_dtype(wide.dtype())?)? * f64::from(self.gain()))?.to_dtype(x.dtype())
    }
}

/// Zeroes a share of `x` and scales the rest by 1 / (1 - share); any shape. The result is made again for those who read it.
pub fn dropout(tape: &Tape, x: &Node, dropout: Dropout) -> Result<Node> {
    if dropout.share <= 0.0 {
        return Ok(x.clone());
    }
    let _span = profile::forward("dropout");
    let mask = dropout.mask(x.value())?;
    let y = dropout.apply(x.value(), mask.as_ref())?;
    let again = mask.clone();
    let node = tape.record("dropout", &[x], y, move |dy| Ok(vec![Some(dropout.apply(dy, mask.as_ref())?)]));
    let kept = x.keep();
    Ok(node.remade_by(move || dropout.apply(&kept.get()?, again.as_ref())))
}
