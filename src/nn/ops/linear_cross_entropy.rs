//! Vocabulary projection and cross entropy in one: logits exist for a few supervised rows at a time, never as
//! a [tokens, vocabulary] tensor. The gradient is made in the forward pass (as in Liger, arXiv:2410.10989).

use super::linear::{product, times};
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable;
use crate::nn::{Node, Result, Tape, profile};
use candle_core::Tensor;

/// Rows of logits that exist at a time.
const CHUNK: usize = 128;

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
    weight: &Tensor,
    targets: &[u32],
    weights: &[f32],
) -> Result<CrossEntropy> {
    let _span = profile::forward("linear_cross_entropy");
    let device = hidden.value().device();
    let rows: Vec<u32> = (0..weights.len()).filter(|i| weights[*i] > 0.0).map(|i| i as u32).collect();
    let needs = hidden.needs_gradient();
    let mut value = 0.0;
    let mut gradients = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        let targets: Vec<u32> = chunk.iter().map(|i| targets[*i as usize]).collect();
        let weights: Vec<f32> = chunk.iter().map(|i| weights[*i as usize]).collect();
        let index = Tensor::from_slice(chunk, chunk.len(), device)?;
        let logits = product(&hidden.value().index_select(&index, 0)?, weight, None)?; // [c, v]
        let (loss, d_logits) = loss(logits, &targets, &weights, needs)?;
        value += loss;
        if needs {
            // d hidden = d logits · W
            gradients.push(times(&d_logits, weight)?); // [c, d]
        }
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

/// logits [c, v] -> Σ weight · -log p(target), and weight (p - onehot) [c, v] when it is wanted.
fn loss(logits: Tensor, targets: &[u32], weights: &[f32], wants_gradient: bool) -> Result<(f64, Tensor)> {
    if let Some(numbers) = Numbers::of(&logits) {
        let mut numbers = numbers.to_vec();
        let loss = cpu::cross_entropy::in_place(&mut numbers, targets, weights, wants_gradient);
        return Ok((loss, tensor(numbers, logits.shape())?));
    }
    let column = (targets.len(), 1);
    let targets = Tensor::from_slice(targets, column, logits.device())?;
    let weights = Tensor::from_slice(weights, column, logits.device())?.to_dtype(logits.dtype())?;
    portable::cross_entropy::loss_and_gradient(&logits, &targets, &weights)
}
