//! Vocabulary projection and cross entropy in one: logits exist for a few supervised rows at a time, never as
//! a [tokens, vocabulary] tensor. The gradient is made in the forward pass (as in Liger, arXiv:2410.10989). How far the
//! predictions are from those of another model is worked out beside it, in the same pieces.

use super::linear::product;
use super::loss_chunk::{Chunk, Near, Sums, on_host};
use crate::nn::kernels::cpu::Numbers;
use crate::nn::kernels::portable::{self, wide, wide_dtype};
use crate::nn::{Node, Result, Tape, Weight, WeightNode, profile};
use candle_core::{Device, Tensor};

/// Rows of logits that exist at a time.
const CHUNK: usize = 256;

/// The weighted sums of the losses of one batch.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// Both sums together, a scalar on the tape; f32 for a bf16 `hidden`.
    pub sum: Node,
    /// Σ weightᵢ · -log p(targetᵢ), in f64.
    pub value: f64,
    /// Σ weightᵢ · KL(qᵢ || pᵢ) with the weights of the [`Reference`]; 0 without one.
    pub divergence: f64,
}

/// Predictions q that those of the model are held against: of the frozen one, at the same tokens. They have no gradient.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// [n, d], of the same type as the model's.
    pub hidden: &'a Tensor,
    pub head: &'a Head,
    /// Factor of each row's divergence, [n].
    pub weights: &'a [f32],
}

/// What makes logits of hidden states.
#[derive(Debug, Clone)]
pub struct Head {
    /// [v, d]
    pub weight: WeightNode,
    /// [v], where the model has one.
    pub bias: Option<Node>,
    /// Logits are bent so that they stay below this: cap · tanh(logit / cap) (Gemma 2, arXiv:2408.00118).
    pub cap: Option<f64>,
}

impl<W: Into<WeightNode>> From<W> for Head {
    /// Without a bias and a cap.
    fn from(weight: W) -> Self {
        Self { weight: weight.into(), bias: None, cap: None }
    }
}

impl Head {
    /// hidden [n, d] -> logits [n, v], f32 at least. No gradient.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let logits = self.product(hidden, self.weight.weight())?;
        self.cap.map_or(Ok(logits.clone()), |cap| portable::cross_entropy::bent(&logits, cap))
    }

    /// Logits before the cap, by a `weight` that has the head's numbers.
    pub(super) fn product(&self, hidden: &Tensor, weight: &Weight) -> Result<Tensor> {
        wide(&product(hidden, weight, self.bias.as_ref().map(Node::value))?)
    }

    /// The bias where it is trained.
    fn bias_leaf(&self) -> Option<&Node> {
        self.bias.as_ref().filter(|bias| bias.needs_gradient())
    }
}

/// hidden [n, d], head [v, d], targets [n], weights [n] -> Σ weight · loss over rows with weight > 0.
///
/// The gradient of a trained weight that has a slot is put there on the way forward: then the gradient of the sum must be one,
/// which the backward pass checks. With a bf16 `hidden` the products are bf16; softmax, loss and sums are f32.
pub fn linear_cross_entropy(
    tape: &Tape,
    hidden: &Node,
    head: &Head,
    targets: &[u32],
    weights: &[f32],
) -> Result<CrossEntropy> {
    linear_cross_entropy_near(tape, hidden, head, targets, weights, None)
}

/// As [`linear_cross_entropy`], and the Kullback-Leibler divergence KL(q || p) from a reference besides (Li & Hoiem 2016,
/// arXiv:1606.09282), over rows where either weight is above 0. Its gradient by the logits is weight (p - q).
pub fn linear_cross_entropy_near(
    tape: &Tape,
    hidden: &Node,
    head: &Head,
    targets: &[u32],
    weights: &[f32],
    reference: Option<&Reference>,
) -> Result<CrossEntropy> {
    let _span = profile::forward("linear_cross_entropy");
    let device = hidden.value().device();
    let is_near = |i: usize| reference.is_some_and(|r| r.weights[i] > 0.0);
    let is_wanted = |i: &usize| weights[*i] > 0.0 || is_near(*i);
    let rows: Vec<u32> = (0..weights.len()).filter(is_wanted).map(|i| i as u32).collect();
    let (needs, leaf) = (hidden.needs_gradient(), head.weight.leaf());
    let frozen = readable(head.weight.weight(), hidden.value())?;
    let of_reference = |r: &Reference| -> Result<Head> {
        Ok(Head { weight: readable(r.head.weight.weight(), r.hidden)?.into(), ..r.head.clone() })
    };
    let other = reference.map(of_reference).transpose()?;
    let bias = head.bias_leaf();
    let mut sums = Sums::of(leaf, bias);
    let mut gradients = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        let targets: Vec<u32> = chunk.iter().map(|i| targets[*i as usize]).collect();
        let of_chunk = |all: &[f32]| -> Vec<f32> { chunk.iter().map(|i| all[*i as usize]).collect() };
        let index = Tensor::from_slice(chunk, chunk.len(), device)?;
        let hidden = hidden.value().index_select(&index, 0)?; // [c, d]
        let near = match (reference, &other) {
            (Some(reference), Some(head)) => {
                let hidden = reference.hidden.index_select(&index, 0)?; // [c, d]
                Some(Near { hidden, head, weights: of_chunk(reference.weights) })
            }
            _ => None,
        };
        let chunk = Chunk { hidden, targets: &targets, weights: &of_chunk(weights), near };
        gradients.extend(chunk.run(&frozen, head, needs, &mut sums)?);
    }
    let (value, divergence) = sums.totals()?;
    // Metal knows no f64.
    let total = Tensor::new(value + divergence, &Device::Cpu)?;
    let sum = total.to_dtype(wide_dtype(hidden.value().dtype()))?.to_device(device)?;
    let mut inputs = vec![hidden];
    inputs.extend(leaf);
    inputs.extend(bias);
    if rows.is_empty() || inputs.iter().all(|node| !node.needs_gradient()) {
        return Ok(CrossEntropy { sum: Node::frozen(sum), value, divergence });
    }
    let gradient = needs.then(|| Tensor::cat(&gradients, 0)).transpose()?; // [m, d]
    let (index, like) = (Tensor::new(rows, device)?, hidden.value().clone());
    let of_parameters = sums.gradients();
    let sum = tape.record("linear_cross_entropy", &inputs, sum, move |dy| {
        let placed = |gradient: Tensor| {
            let gradient = gradient.broadcast_mul(&dy.to_dtype(gradient.dtype())?)?;
            like.zeros_like()?.index_add(&index, &gradient, 0) // [n, d]
        };
        let mut gradients = vec![gradient.map(placed).transpose()?];
        for gradient in of_parameters {
            match gradient {
                Some(gradient) => gradients.push(Some(gradient.broadcast_mul(dy)?)), // [v, d], [v]
                None if on_host(dy)?.to_scalar::<f64>()? != 1.0 => {
                    candle_core::bail!("the gradient of a sum of losses must be one")
                }
                None => gradients.push(None),
            }
        }
        Ok(gradients)
    });
    Ok(CrossEntropy { sum, value, divergence })
}

/// A weight to multiply with for all chunks: where the CPU's kernel does not widen it a bit at a time, once is enough.
fn readable(weight: &Weight, hidden: &Tensor) -> Result<Weight> {
    Ok(match Numbers::of(hidden) {
        Some(_) => weight.clone(),
        None => weight.widened(hidden.dtype())?.into_owned().into(),
    })
}
