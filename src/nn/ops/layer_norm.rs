//! Layer normalisation (Ba et al. 2016, arXiv:1607.06450).

use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::{D, Tensor};

/// `(x - mean) · rstd · weight + bias`, rstd = 1 / sqrt(variance + epsilon): x [n, d], weight and bias [d] -> [n, d].
///
/// The result is not kept for the layers that read it: they make it again from `x`.
pub fn layer_norm(tape: &Tape, x: &Node, weight: &Node, bias: &Node, epsilon: f64) -> Result<Node> {
    let _span = profile::forward("layer_norm");
    let y = forward(x.value(), weight.value(), bias.value(), epsilon)?;
    let inputs = [x, weight, bias];
    let needs = inputs.map(Node::needs_gradient);
    if needs == [false; 3] {
        return Ok(Node::frozen(y));
    }
    let (saved, kept_weight) = (x.value().clone(), weight.value().clone());
    let node = tape.record("layer_norm", &inputs, y, move |dy| {
        let dx = needs[0].then(|| backward(&saved, &kept_weight, dy, epsilon)).transpose()?;
        if !needs[1] && !needs[2] {
            return Ok(vec![dx, None, None]);
        }
        let [dw, db] = of_weights(&saved, dy, epsilon)?;
        Ok(vec![dx, needs[1].then_some(dw), needs[2].then_some(db)])
    });
    let [x, weight, bias] = inputs.map(|node| node.value().clone());
    Ok(node.remade_by(move || forward(&x, &weight, &bias, epsilon)))
}

fn backward(x: &Tensor, weight: &Tensor, dy: &Tensor, epsilon: f64) -> Result<Tensor> {
    match (Numbers::of(x), Numbers::of(weight), Numbers::of(dy)) {
        (Some(numbers), Some(w), Some(dy)) => {
            tensor(cpu::layer_norm::backward(&numbers, &w, &dy, epsilon as f32), x.shape())
        }
        _ => portable::layer_norm::backward(x, weight, dy, epsilon),
    }
}

/// Gradients of weight and bias, [d] each.
fn of_weights(x: &Tensor, dy: &Tensor, epsilon: f64) -> Result<[Tensor; 2]> {
    let d = x.dim(D::Minus1)?;
    match (Numbers::of(x), Numbers::of(dy)) {
        (Some(x), Some(dy)) => {
            let [weight, bias] = cpu::layer_norm::of_weights(&x, &dy, d, epsilon as f32);
            Ok([tensor(weight, d)?, tensor(bias, d)?])
        }
        _ => portable::layer_norm::of_weights(x, dy, epsilon),
    }
}

fn forward(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f64) -> Result<Tensor> {
    match (Numbers::of(x), Numbers::of(weight), Numbers::of(bias)) {
        (Some(numbers), Some(w), Some(b)) => {
            tensor(cpu::layer_norm::forward(&numbers, &w, &b, epsilon as f32), x.shape())
        }
        _ => portable::layer_norm::forward(x, weight, bias, epsilon),
    }
}
