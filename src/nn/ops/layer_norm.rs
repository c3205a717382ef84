//! Layer normalisation (Ba et al. 2016, arXiv:1607.06450).

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;

/// `(x - mean) · rstd · weight + bias`, rstd = 1 / sqrt(variance + epsilon): x [n, d], frozen weight and bias [d] -> [n, d].
///
/// The result is not kept for the layers that read it: they make it again from `x`.
pub fn layer_norm(tape: &Tape, x: &Node, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Node> {
    let _span = profile::forward("layer_norm");
    let y = forward(x.value(), weight, bias, epsilon)?;
    if !x.needs_gradient() {
        return Ok(Node::frozen(y));
    }
    let (saved, kept_weight) = (x.value().clone(), weight.clone());
    let node = tape.record("layer_norm", &[x], y, move |dy| {
        let dx = match (Numbers::of(&saved), Numbers::of(&kept_weight), Numbers::of(dy)) {
            (Some(x), Some(w), Some(dy)) => {
                tensor(cpu::layer_norm::backward(&x, &w, &dy, epsilon as f32), saved.shape())
            }
            _ => portable::layer_norm::backward(&saved, &kept_weight, dy, epsilon),
        };
        Ok(vec![Some(dx?)])
    });
    let (x, weight, bias) = (x.value().clone(), weight.clone(), bias.clone());
    Ok(node.remade_by(move || forward(&x, &weight, &bias, epsilon)))
}

fn forward(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    match (Numbers::of(x), Numbers::of(weight), Numbers::of(bias)) {
        (Some(numbers), Some(w), Some(b)) => {
            tensor(cpu::layer_norm::forward(&numbers, &w, &b, epsilon as f32), x.shape())
        }
        _ => portable::layer_norm::forward(x, weight, bias, epsilon),
    }
}
