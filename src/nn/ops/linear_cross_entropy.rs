//! Vocabulary projection and cross entropy in one: logits exist for a few supervised rows at a time, never as
//! a [tokens, vocabulary] tensor. The gradient is made in the forward pass (as in Liger, arXiv:2410.10989).

use crate::nn::{Node, Result, Tape};
use candle_core::{D, DType, Tensor};

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
    let device = hidden.value().device();
    let rows: Vec<u32> = (0..weights.len()).filter(|i| weights[*i] > 0.0).map(|i| i as u32).collect();
    let needs = hidden.needs_gradient();
    let mut value = 0.0;
    let mut gradients = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        let pick = |all: &[u32]| chunk.iter().map(|i| all[*i as usize]).collect::<Vec<_>>();
        let index = Tensor::from_slice(chunk, chunk.len(), device)?;
        let target = Tensor::from_vec(pick(targets), (chunk.len(), 1), device)?;
        let scale: Vec<f32> = chunk.iter().map(|i| weights[*i as usize]).collect();
        let scale = Tensor::from_vec(scale, (chunk.len(), 1), device)?;

        let logits = hidden.value().index_select(&index, 0)?.matmul(&weight.t()?)?; // [c, v]
        let max = logits.max_keepdim(D::Minus1)?; // [c, 1]
        let exp = logits.broadcast_sub(&max)?.exp()?; // [c, v]
        let total = exp.sum_keepdim(D::Minus1)?; // [c, 1]
        let log_sum = (max + total.log()?)?; // [c, 1]
        let loss = ((log_sum - logits.gather(&target, 1)?)? * &scale)?; // [c, 1]
        value += f64::from(loss.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()? as f32);
        if needs {
            // d logits = weight (p - onehot);  d hidden = d logits · W
            let p = exp.broadcast_mul(&(scale.clone() / total)?)?; // [c, v]
            let d_logits = p.scatter_add(&target, &scale.neg()?, 1)?; // [c, v]
            gradients.push(d_logits.matmul(weight)?); // [c, d]
        }
    }
    let sum = Tensor::new(value as f32, device)?;
    if !needs || gradients.is_empty() {
        return Ok(CrossEntropy { sum: Node::frozen(sum), value });
    }
    let gradient = Tensor::cat(&gradients, 0)?; // [m, d]
    let (index, shape) = (Tensor::new(rows, device)?, hidden.value().shape().clone());
    let sum = tape.record(&[hidden], sum, move |dy| {
        let zeros = Tensor::zeros(shape, DType::F32, gradient.device())?;
        Ok(vec![Some(zeros.index_add(&index, &gradient.broadcast_mul(dy)?, 0)?)]) // [n, d]
    });
    Ok(CrossEntropy { sum, value })
}
