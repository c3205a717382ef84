//! Root-mean-square normalisation (Zhang & Sennrich 2019, arXiv:1910.07467).

use super::gradient::made_in_place;
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;

/// `x · rstd · weight`, rstd = 1 / sqrt(mean(x²) + epsilon): x [n, d], weight [d] -> [n, d].
///
/// The result is not kept for the layers that read it: they make it again from `x`.
pub fn rms_norm(tape: &Tape, x: &Node, weight: &Node, epsilon: f64) -> Result<Node> {
    let _span = profile::forward("rms_norm");
    let y = forward(x.value(), weight.value(), epsilon)?;
    let needs = x.needs_gradient();
    if !needs && !weight.needs_gradient() {
        return Ok(Node::frozen(y));
    }
    let (saved, leaf) = (x.value().clone(), weight.clone());
    let node = tape.record("rms_norm", &[x, weight], y, move |dy| {
        let dx = needs.then(|| backward(&saved, leaf.value(), dy, epsilon)).transpose()?;
        let dw = if leaf.needs_gradient() { of_weight(&saved, dy, &leaf, epsilon)? } else { None };
        Ok(vec![dx, dw])
    });
    let (x, weight) = (x.value().clone(), weight.value().clone());
    Ok(node.remade_by(move || forward(&x, &weight, epsilon)))
}

fn backward(x: &Tensor, weight: &Tensor, dy: &Tensor, epsilon: f64) -> Result<Tensor> {
    match (Numbers::of(x), Numbers::of(weight), Numbers::of(dy)) {
        (Some(numbers), Some(w), Some(dy)) => {
            tensor(cpu::rms_norm::backward(&numbers, &w, &dy, epsilon as f32), x.shape())
        }
        _ => portable::rms_norm::backward(x, weight, dy, epsilon),
    }
}

/// Gradient of the weight `leaf` [d].
fn of_weight(x: &Tensor, dy: &Tensor, leaf: &Node, epsilon: f64) -> Result<Option<Tensor>> {
    match (Numbers::of(x), Numbers::of(dy)) {
        (Some(x), Some(dy)) => made_in_place(leaf, |out, is_first| {
            let sums = cpu::rms_norm::of_weight(&x, &dy, out.len(), epsilon as f32);
            match is_first {
                true => out.copy_from_slice(&sums),
                false => cpu::elementwise::add_to(out, &sums),
            }
        }),
        _ => Ok(Some(portable::rms_norm::of_weight(x, dy, epsilon)?)),
    }
}

fn forward(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    match (Numbers::of(x), Numbers::of(weight)) {
        (Some(numbers), Some(w)) => tensor(cpu::rms_norm::forward(&numbers, &w, epsilon as f32), x.shape()),
        _ => portable::rms_norm::forward(x, weight, epsilon),
    }
}

/// Neighbouring columns that are normalised together.
#[derive(Debug, Clone)]
pub struct NormedColumns {
    pub first: usize,
    /// [c], one for each column.
    pub weight: Node,
}

impl NormedColumns {
    /// Its columns of [n, w]: [n, c].
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        x.narrow(1, self.first, self.weight.value().elem_count())?.contiguous()
    }

    /// x [n, w] with `columns` [n, c] in place of its own.
    fn put(&self, x: &Tensor, columns: &Tensor) -> Result<Tensor> {
        let end = self.first + columns.dim(1)?;
        Tensor::cat(&[&x.narrow(1, 0, self.first)?, columns, &x.narrow(1, end, x.dim(1)? - end)?], 1)
    }
}

/// [`rms_norm`] of some columns of each row, those of each part by themselves; the others pass: x [n, w] -> [n, w].
pub fn rms_norm_columns(tape: &Tape, x: &Node, parts: &[NormedColumns], epsilon: f64) -> Result<Node> {
    let _span = profile::forward("rms_norm_columns");
    let mut y = x.value().clone();
    for part in parts {
        y = part.put(&y, &forward(&part.of(x.value())?, part.weight.value(), epsilon)?)?;
    }
    let mut inputs = vec![x];
    inputs.extend(parts.iter().map(|part| &part.weight));
    let (saved, parts, needs) = (x.value().clone(), parts.to_vec(), x.needs_gradient());
    Ok(tape.record("rms_norm_columns", &inputs, y, move |dy| {
        let (mut dx, mut of_weights) = (dy.clone(), Vec::with_capacity(parts.len()));
        for part in &parts {
            let (x, dy) = (part.of(&saved)?, part.of(dy)?);
            if needs {
                dx = part.put(&dx, &backward(&x, part.weight.value(), &dy, epsilon)?)?;
            }
            let is_trained = part.weight.needs_gradient();
            of_weights.push(if is_trained { of_weight(&x, &dy, &part.weight, epsilon)? } else { None });
        }
        Ok(std::iter::once(needs.then_some(dx)).chain(of_weights).collect())
    }))
}
