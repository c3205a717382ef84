//! Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467).

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;

/// `x · rstd · weight`, rstd = 1 / sqrt(mean(x²) + epsilon): x [n, d], frozen weight [d] -> [n, d].
///
/// The result is not kept for the layers that read it: they make it again from `x`.
pub fn rms_norm(tape: &Tape, x: &Node, weight: &Tensor, epsilon: f64) -> Result<Node> {
    let _span = profile::forward("rms_norm");
    let y = forward(x.value(), weight, epsilon)?;
    if !x.needs_gradient() {
        return Ok(Node::frozen(y));
    }
    let (saved, kept_weight) = (x.value().clone(), weight.clone());
    let node = tape.record("rms_norm", &[x], y, move |dy| {
        let on_cpu = match (Numbers::of(&saved), Numbers::of(&kept_weight), Numbers::of(dy)) {
            (Some(x), Some(w), Some(dy)) => Some(cpu::rms_norm::backward(&x, &w, &dy, epsilon as f32)),
            _ => None,
        };
        let dx = on_cpu.map_or_else(
            || portable::rms_norm::backward(&saved, &kept_weight, dy, epsilon),
            |dx| tensor(dx, saved.shape()),
        )?;
        Ok(vec![Some(dx)])
    });
    let (x, weight) = (x.value().clone(), weight.clone());
    Ok(node.remade_by(move || forward(&x, &weight, epsilon)))
}

fn forward(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    match (Numbers::of(x), Numbers::of(weight)) {
        (Some(numbers), Some(w)) => tensor(cpu::rms_norm::forward(&numbers, &w, epsilon as f32), x.shape()),
        _ => portable::rms_norm::forward(x, weight, epsilon),
    }
}
