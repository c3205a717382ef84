//! Vocabulary projection and cross entropy in one: logits exist for a few supervised rows at a time, never as
//! a [tokens, vocabulary] tensor. The gradient is made in the forward pass (as in Liger, arXiv:2410.10989).

use super::linear::{product, times};
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable;
use crate::nn::{Node, Result, Tape, Weight, WeightNode, profile};
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

/// hidden [n, d], weight [v, d], targets [n], weights [n] -> Σ weight · loss over rows with weight > 0.
pub fn linear_cross_entropy(
    tape: &Tape,
    hidden: &Node,
    weight: &WeightNode,
    targets: &[u32],
    weights: &[f32],
) -> Result<CrossEntropy> {
    let _span = profile::forward("linear_cross_entropy");
    let device = hidden.value().device();
    let rows: Vec<u32> = (0..weights.len()).filter(|i| weights[*i] > 0.0).map(|i| i as u32).collect();
    let (needs, leaf) = (hidden.needs_gradient(), weight.leaf());
    let mut value = 0.0;
    let mut gradients = Vec::new();
    let mut logits = Vec::new();
    let mut of_weight = None;
    for chunk in rows.chunks(CHUNK) {
        let targets: Vec<u32> = chunk.iter().map(|i| targets[*i as usize]).collect();
        let weights: Vec<f32> = chunk.iter().map(|i| weights[*i as usize]).collect();
        let index = Tensor::from_slice(chunk, chunk.len(), device)?;
        let hidden = hidden.value().index_select(&index, 0)?; // [c, d]
        let chunk = Chunk { hidden, targets: &targets, weights: &weights };
        let of_weight = leaf.is_some().then_some(&mut of_weight);
        let (loss, gradient) = chunk.run(weight.weight(), needs, of_weight, &mut logits)?;
        value += loss;
        gradients.extend(gradient);
    }
    let sum = Tensor::new(value, device)?.to_dtype(hidden.value().dtype())?;
    let mut inputs = vec![hidden];
    inputs.extend(leaf);
    if rows.is_empty() || inputs.iter().all(|node| !node.needs_gradient()) {
        return Ok(CrossEntropy { sum: Node::frozen(sum), value });
    }
    let gradient = needs.then(|| Tensor::cat(&gradients, 0)).transpose()?; // [m, d]
    let (index, like) = (Tensor::new(rows, device)?, hidden.value().clone());
    let of_weight = of_weight.map(OfWeight::into_tensor).transpose()?;
    let sum = tape.record("linear_cross_entropy", &inputs, sum, move |dy| {
        let placed = |gradient: Tensor| like.zeros_like()?.index_add(&index, &gradient.broadcast_mul(dy)?, 0); // [n, d]
        let mut gradients = vec![gradient.map(placed).transpose()?];
        if let Some(of_weight) = of_weight {
            gradients.push(Some(of_weight.broadcast_mul(dy)?)); // [v, d]
        }
        Ok(gradients)
    });
    Ok(CrossEntropy { sum, value })
}

/// Some supervised rows: hidden [c, d], targets [c], weights [c].
struct Chunk<'a> {
    hidden: Tensor,
    targets: &'a [u32],
    weights: &'a [f32],
}

/// The gradient of the projection [v, d], added up over the chunks.
enum OfWeight {
    Numbers(Vec<f32>, [usize; 2]),
    Tensor(Tensor),
}

impl OfWeight {
    fn into_tensor(self) -> Result<Tensor> {
        match self {
            Self::Numbers(numbers, shape) => tensor(numbers, (shape[0], shape[1])),
            Self::Tensor(tensor) => Ok(tensor),
        }
    }
}

impl Chunk<'_> {
    /// -> Σ weight · -log p(target), and d hidden = weight (p - onehot) · W [c, d] when it is wanted; dW = weight (p - onehot)ᵀ · hidden
    /// is added to `of_weight` where that is given. `logits` is a buffer that serves chunk after chunk.
    fn run(
        &self,
        weight: &Weight,
        wants: bool,
        of_weight: Option<&mut Option<OfWeight>>,
        logits: &mut Vec<f32>,
    ) -> Result<(f64, Option<Tensor>)> {
        let c = self.targets.len();
        let wants_any = wants || of_weight.is_some();
        if let (Some(x), Some(w)) = (Numbers::of(&self.hidden), weight.on_cpu()) {
            logits.resize(c * weight.rows(), 0.0);
            cpu::linear::forward_into(logits, &x, &w, c)?;
            let loss = cpu::cross_entropy::in_place(logits, self.targets, self.weights, wants_any);
            if let Some(sum) = of_weight {
                let shape = [weight.rows(), weight.width()];
                let is_first = sum.is_none();
                let sum = sum.get_or_insert_with(|| OfWeight::Numbers(vec![0.0; shape[0] * shape[1]], shape));
                if let OfWeight::Numbers(sum, _) = sum {
                    cpu::linear::of_weight(sum, is_first, logits, &x, c);
                }
            }
            let gradient = wants.then(|| tensor(cpu::linear::backward(logits, &w, c)?, self.hidden.shape()));
            return Ok((loss, gradient.transpose()?));
        }
        let logits = product(&self.hidden, weight, None)?; // [c, v]
        let targets = Tensor::from_slice(self.targets, (c, 1), logits.device())?;
        let weights = Tensor::from_slice(self.weights, (c, 1), logits.device())?.to_dtype(logits.dtype())?;
        let (loss, d_logits) = portable::cross_entropy::loss_and_gradient(&logits, &targets, &weights)?;
        if let Some(sum) = of_weight {
            let gradient = d_logits.t()?.matmul(&self.hidden)?; // [v, d]
            *sum = Some(OfWeight::Tensor(match sum.take() {
                Some(before) => (before.into_tensor()? + gradient)?,
                None => gradient,
            }));
        }
        Ok((loss, wants.then(|| times(&d_logits, weight)).transpose()?))
    }
}
