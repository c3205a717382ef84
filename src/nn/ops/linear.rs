//! `y = x Wᵀ + bias` with a frozen weight: the backward pass has no dW.

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::{Node, Result, Tape, Weight, profile};
use candle_core::Tensor;

/// x [n, i], weight [o, i], bias [o] -> [n, o].
pub fn linear(tape: &Tape, x: &Node, weight: &Weight, bias: Option<&Tensor>) -> Result<Node> {
    let _span = profile::forward("linear");
    let y = product(x.value(), weight, bias)?;
    let weight = weight.clone();
    // dx = dy W
    Ok(tape.record("linear", &[x], y, move |dy| Ok(vec![Some(times(dy, &weight)?)])))
}

/// `x Wᵀ + bias`: x [n, i], weight [o, i], bias [o] -> [n, o].
pub fn product(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Result<Tensor> {
    let (n, o) = (x.dim(0)?, weight.rows());
    let bias_numbers = bias.map(Numbers::of);
    if let (Some(x), Some(w)) = (Numbers::of(x), weight.on_cpu()) {
        match bias_numbers {
            None => return tensor(cpu::linear::forward(&x, &w, None, n)?, (n, o)),
            Some(Some(bias)) => return tensor(cpu::linear::forward(&x, &w, Some(&bias), n)?, (n, o)),
            Some(None) => {}
        }
    }
    let y = x.matmul(&weight.widened()?.t()?)?; // [n, o]
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

/// `dy W`: dy [n, o], weight [o, i] -> [n, i].
pub(super) fn times(dy: &Tensor, weight: &Weight) -> Result<Tensor> {
    match (Numbers::of(dy), weight.on_cpu()) {
        (Some(numbers), Some(w)) => {
            let n = dy.dim(0)?;
            tensor(cpu::linear::backward(&numbers, &w, n)?, (n, weight.width()))
        }
        _ => dy.matmul(weight.widened()?.as_ref()),
    }
}
