//! Dropout (Srivastava et al. 2014) whose mask is a function of a counter: a resumed run drops the same numbers, and
//! the CPU stores none of it.

use crate::nn::kernels::Dropout;
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable::wide;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;

/// Ones where numbers stay, u8, of the shape and on the device of `x`; `None` where the CPU's kernel asks for each number.
///
/// The counter's generator needs the host, so the mask is made there, once for the way there and back.
fn mask(dropout: Dropout, x: &Tensor) -> Result<Option<Tensor>> {
    match Numbers::of(x) {
        Some(_) => Ok(None),
        None => Tensor::from_vec(dropout.stays(x.elem_count()), x.shape(), x.device()).map(Some),
    }
}

/// Drops from `x`, or from a gradient: any shape.
fn apply(dropout: Dropout, x: &Tensor, given: Option<&Tensor>) -> Result<Tensor> {
    if let (Some(numbers), None) = (Numbers::of(x), given) {
        let factors = dropout.factors();
        return tensor(cpu::elementwise::scaled(&numbers, |place| factors.at(place as u64)), x.shape());
    }
    let Some(stays) = given else { return apply(dropout, x, mask(dropout, x)?.as_ref()) };
    let wide = wide(x)?;
    ((&wide * stays.to_dtype(wide.dtype())?)? * f64::from(dropout.gain()))?.to_dtype(x.dtype())
}

/// Zeroes a share of `x` and scales the rest by 1 / (1 - share); any shape. The result is made again for those who read it.
pub fn dropout(tape: &Tape, x: &Node, dropout: Dropout) -> Result<Node> {
    if dropout.share <= 0.0 {
        return Ok(x.clone());
    }
    let _span = profile::forward("dropout");
    let mask = mask(dropout, x.value())?;
    let y = apply(dropout, x.value(), mask.as_ref())?;
    let again = mask.clone();
    let node = tape.record("dropout", &[x], y, move |dy| Ok(vec![Some(apply(dropout, dy, mask.as_ref())?)]));
    let kept = x.keep();
    Ok(node.remade_by(move || apply(dropout, &kept.get()?, again.as_ref())))
}
