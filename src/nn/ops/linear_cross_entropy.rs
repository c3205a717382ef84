//! Vocabulary projection and cross entropy in one: logits exist for a few supervised rows at a time, never as
//! a [tokens, vocabulary] tensor. The gradient is made in the forward pass (as in Liger, arXiv:2410.10989).

use super::linear::{product, times};
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable;
use crate::nn::{Node, Result, Tape, Weight, profile};
use candle_core::Tensor;

/// Rows of logits that exist at a time.
const CHUNK: usize = 256;

/// The weighted sum of the losses of one batch.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// Σ weightᵢ · -log p(targetᵢ), a scalar on the tape.
    pub sum: Node,
    /// The same as a number, in f64.
    pub value: f64,
}

/// hidden [n, d], weight [v, d] (frozen), targets [n], weights [n] -> Σ weight · loss over rows with weight > 0.
pub fn linear_cross_entropy(
    tape: &Tape,
    hidden: &Node,
    weight: &Weight,
    targets: &[u32],
    weights: &[f32],
) -> Result<CrossEntropy> {
    let _span = profile::forward("linear_cross_entropy");
    let device = hidden.value().device();
    let rows: Vec<u32> = (0..weights.len()).filter(|i| weights[*i] > 0.0).map(|i| i as u32).collect();
    let needs = hidden.needs_gradient();
    let mut value = 0.0;
    let mut gradients = Vec::new();
    let mut logits = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        let targets: Vec<u32> = chunk.iter().map(|i| targets[*i as usize]).collect();
        let weights: Vec<f32> = chunk.iter().map(|i| weights[*i as usize]).collect();
        let index = Tensor::from_slice(chunk, chunk.len(), device)?;
        let hidden = hidden.value().index_select(&index, 0)?; // [c, d]
        let (loss, gradient) =
            Chunk { hidden, targets: &targets, weights: &weights }.run(weight, needs, &mut logits)?;
        value += loss;
        gradients.extend(gradient);
    }
    let sum = Tensor::new(value, device)?.to_dtype(hidden.value().dtype())?;
    if !needs || gradients.is_empty() {
        return Ok(CrossEntropy { sum: Node::frozen(sum), value });
    }
    let gradient = Tensor::cat(&gradients, 0)?; // [m, d]
    let (index, zeros) = (Tensor::new(rows, device)?, hidden.value().clone());
    let sum = tape.record("linear_cross_entropy", &[hidden], sum, move |dy| {
        Ok(vec![Some(zeros.zeros_like()?.index_add(&index, &gradient.broadcast_mul(dy)?, 0)?)]) // [n, d]
    });
    Ok(CrossEntropy { sum, value })
}

/// Some supervised rows: hidden [c, d], targets [c], weights [c].
struct Chunk<'a> {
    hidden: Tensor,
    targets: &'a [u32],
    weights: &'a [f32],
}

impl Chunk<'_> {
    /// -> Σ weight · -log p(target), and d hidden = weight (p - onehot) · W [c, d] when it is wanted. `logits` is a buffer that
    /// serves chunk after chunk.
    fn run(&self, weight: &Weight, wants: bool, logits: &mut Vec<f32>) -> Result<(f64, Option<Tensor>)> {
        let c = self.targets.len();
        if let (Some(x), Some(w)) = (Numbers::of(&self.hidden), weight.on_cpu()) {
            logits.resize(c * weight.rows(), 0.0);
            cpu::linear::forward_into(logits, &x, &w, c)?;
            let loss = cpu::cross_entropy::in_place(logits, self.targets, self.weights, wants);
            let gradient = wants.then(|| tensor(cpu::linear::backward(logits, &w, c)?, self.hidden.shape()));
            return Ok((loss, gradient.transpose()?));
        }
        let logits = product(&self.hidden, weight, None)?; // [c, v]
        let targets = Tensor::from_slice(self.targets, (c, 1), logits.device())?;
        let weights = Tensor::from_slice(self.weights, (c, 1), logits.device())?.to_dtype(logits.dtype())?;
        let (loss, d_logits) = portable::cross_entropy::loss_and_gradient(&logits, &targets, &weights)?;
        Ok((loss, wants.then(|| times(&d_logits, weight)).transpose()?))
    }
}
