//! Vocabulary projection and cross entropy in one: logits exist for a few supervised rows at a time, never as
//! a [tokens, vocabulary] tensor. The gradient is made in the forward pass (as in Liger, arXiv:2410.10989).

use super::gradient::made_in_place;
use super::linear::{product, times};
use crate::nn::kernels::cpu::{self, Numbers, tensor};
use crate::nn::kernels::portable::{self, wide, wide_dtype};
use crate::nn::{Node, Result, Tape, Weight, WeightNode, profile};
use candle_core::{DType, Device, Tensor};

/// Rows of logits that exist at a time.
const CHUNK: usize = 256;

/// The weighted sum of the losses of one batch.
#[derive(Debug, Clone)]
pub struct CrossEntropy {
    /// Σ weightᵢ · -log p(targetᵢ), a scalar on the tape; f32 for a bf16 `hidden`.
    pub sum: Node,
    /// The same as a number, in f64.
    pub value: f64,
}

/// What makes logits of hidden states.
#[derive(Debug, Clone)]
pub struct Head {
    /// [v, d]
    pub weight: WeightNode,
    /// Logits are bent so that they stay below this: cap · tanh(logit / cap) (Gemma 2, arXiv:2408.00118).
    pub cap: Option<f64>,
}

impl<W: Into<WeightNode>> From<W> for Head {
    /// Without a cap.
    fn from(weight: W) -> Self {
        Self { weight: weight.into(), cap: None }
    }
}

impl Head {
    /// hidden [n, d] -> logits [n, v], f32 at least. No gradient.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let logits = wide(&product(hidden, self.weight.weight(), None)?)?;
        self.cap.map_or(Ok(logits.clone()), |cap| portable::cross_entropy::bent(&logits, cap))
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
    let _span = profile::forward("linear_cross_entropy");
    let device = hidden.value().device();
    let rows: Vec<u32> = (0..weights.len()).filter(|i| weights[*i] > 0.0).map(|i| i as u32).collect();
    let (needs, leaf) = (hidden.needs_gradient(), head.weight.leaf());
    let weight = head.weight.weight();
    // Where the CPU's kernel does not widen it a bit at a time, once is enough for all chunks.
    let frozen = match Numbers::of(hidden.value()) {
        Some(_) => weight.clone(),
        None => weight.widened(hidden.value().dtype())?.into_owned().into(),
    };
    let mut sums = Sums { of_weight: OfWeight { leaf, sum: None }, ..Sums::default() };
    let mut gradients = Vec::new();
    for chunk in rows.chunks(CHUNK) {
        let targets: Vec<u32> = chunk.iter().map(|i| targets[*i as usize]).collect();
        let weights: Vec<f32> = chunk.iter().map(|i| weights[*i as usize]).collect();
        let index = Tensor::from_slice(chunk, chunk.len(), device)?;
        let hidden = hidden.value().index_select(&index, 0)?; // [c, d]
        let chunk = Chunk { hidden, targets: &targets, weights: &weights };
        gradients.extend(chunk.run(&frozen, head.cap, needs, &mut sums)?);
    }
    let value = sums.loss()?;
    // Metal knows no f64.
    let sum =
        Tensor::new(value, &Device::Cpu)?.to_dtype(wide_dtype(hidden.value().dtype()))?.to_device(device)?;
    let mut inputs = vec![hidden];
    inputs.extend(leaf);
    if rows.is_empty() || inputs.iter().all(|node| !node.needs_gradient()) {
        return Ok(CrossEntropy { sum: Node::frozen(sum), value });
    }
    let gradient = needs.then(|| Tensor::cat(&gradients, 0)).transpose()?; // [m, d]
    let (index, like) = (Tensor::new(rows, device)?, hidden.value().clone());
    let is_trained = leaf.is_some();
    let of_weight = sums.of_weight.sum;
    let sum = tape.record("linear_cross_entropy", &inputs, sum, move |dy| {
        let placed = |gradient: Tensor| {
            let gradient = gradient.broadcast_mul(&dy.to_dtype(gradient.dtype())?)?;
            like.zeros_like()?.index_add(&index, &gradient, 0) // [n, d]
        };
        let mut gradients = vec![gradient.map(placed).transpose()?];
        match of_weight {
            Some(of_weight) => gradients.push(Some(of_weight.broadcast_mul(dy)?)), // [v, d]
            None if is_trained && on_host(dy)?.to_scalar::<f64>()? != 1.0 => {
                candle_core::bail!("the gradient of a sum of losses must be one")
            }
            None => gradients.push(None),
        }
        Ok(gradients)
    });
    Ok(CrossEntropy { sum, value })
}

/// The same numbers as f64 on the CPU.
fn on_host(x: &Tensor) -> Result<Tensor> {
    x.to_device(&Device::Cpu)?.to_dtype(DType::F64)
}

/// What is added up over the chunks.
#[derive(Default)]
struct Sums<'a> {
    loss: f64,
    /// Losses of rows that are still on a device, [c, 1] each: read once, when all chunks have been asked for.
    losses: Vec<Tensor>,
    of_weight: OfWeight<'a>,
    /// A buffer that serves chunk after chunk.
    logits: Vec<f32>,
}

impl Sums<'_> {
    fn loss(&self) -> Result<f64> {
        if self.losses.is_empty() {
            return Ok(self.loss);
        }
        Ok(self.loss + on_host(&Tensor::cat(&self.losses, 0)?)?.sum_all()?.to_scalar::<f64>()?)
    }
}

/// The gradient of the projection [v, d], added up over the chunks.
#[derive(Default)]
struct OfWeight<'a> {
    leaf: Option<&'a Node>,
    /// Where the leaf has no slot.
    sum: Option<Tensor>,
}

impl OfWeight<'_> {
    fn is_wanted(&self) -> bool {
        self.leaf.is_some()
    }

    /// Adds `d_logitsᵀ hidden`: d_logits [c, v], hidden [c, d].
    fn add_numbers(&mut self, d_logits: &[f32], hidden: &[f32], c: usize) -> Result<()> {
        let Some(leaf) = self.leaf else { return Ok(()) };
        let made = made_in_place(leaf, |out, is_first| {
            cpu::linear::of_weight(out, is_first, d_logits, hidden, c);
        })?;
        self.keep(made)
    }

    /// Adds such a product, [v, d], that a device made.
    fn add(&mut self, part: Tensor) -> Result<()> {
        match self.leaf.and_then(Node::slot) {
            Some(slot) => slot.add(&part),
            None => self.keep(Some(wide(&part)?)),
        }
    }

    fn keep(&mut self, part: Option<Tensor>) -> Result<()> {
        self.sum = match (self.sum.take(), part) {
            (Some(sum), Some(part)) => Some((sum + part)?),
            (sum, part) => sum.or(part),
        };
        Ok(())
    }
}

/// Some supervised rows: hidden [c, d], targets [c], weights [c].
struct Chunk<'a> {
    hidden: Tensor,
    targets: &'a [u32],
    weights: &'a [f32],
}

impl Chunk<'_> {
    /// -> d hidden = weight (p - onehot) · W [c, d] when it is wanted; Σ weight · -log p(target) and
    /// dW = weight (p - onehot)ᵀ · hidden are added to `sums`.
    fn run(&self, weight: &Weight, cap: Option<f64>, wants: bool, sums: &mut Sums) -> Result<Option<Tensor>> {
        let c = self.targets.len();
        if let (Some(x), Some(w)) = (Numbers::of(&self.hidden), weight.on_cpu()) {
            let Sums { loss, of_weight, logits, .. } = sums;
            logits.resize(c * weight.rows(), 0.0);
            cpu::linear::forward_into(logits, &x, &w, c)?;
            let wants_any = wants || of_weight.is_wanted();
            let cap = cap.map(|cap| cap as f32);
            *loss += cpu::cross_entropy::in_place(logits, self.targets, self.weights, cap, wants_any);
            of_weight.add_numbers(logits, &x, c)?;
            let gradient = wants.then(|| tensor(cpu::linear::backward(logits, &w, c)?, self.hidden.shape()));
            return gradient.transpose();
        }
        let logits = wide(&product(&self.hidden, weight, None)?)?; // [c, v]
        let targets = Tensor::from_slice(self.targets, (c, 1), logits.device())?;
        let weights = Tensor::from_slice(self.weights, (c, 1), logits.device())?.to_dtype(logits.dtype())?;
        let (losses, d_logits) =
            portable::cross_entropy::losses_and_gradient(&logits, &targets, &weights, cap)?;
        sums.losses.push(losses);
        let d_logits = d_logits.to_dtype(self.hidden.dtype())?;
        if sums.of_weight.is_wanted() {
            sums.of_weight.add(d_logits.t()?.matmul(&self.hidden)?)?; // [v, d]
        }
        wants.then(|| times(&d_logits, weight)).transpose()
    }
}
