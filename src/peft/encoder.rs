//! What the methods with virtual tokens have in common: new values as torch makes them, and the small networks that make
//! virtual tokens from trained embeddings.

use crate::base::rng::Rng;
use crate::model::config::{DecoderConfig, Form, Needed};
use crate::model::hooks::Hooks;
use crate::nn::ops;
use crate::nn::{FlatParams, Leaves, Node, Result, Tape, WeightNode};
use candle_core::{Device, Tensor};

/// Domain of the random streams that belong to virtual tokens.
const INIT: u64 = 0x71_57;

/// A stream of random numbers for the new values of one part of a method.
pub(super) fn stream(seed: u64, part: u64) -> Rng {
    Rng::new(seed, &[INIT, part])
}

/// What files hold as the forward pass reads it.
pub(super) fn needed(name: String, shape: Vec<usize>) -> Needed {
    Needed { name, shape, form: Form::default() }
}

/// The embedding that an encoder reads: [p, i].
pub(super) fn embedding(num_tokens: usize, inputs: usize) -> Needed {
    needed("embedding.weight".into(), vec![num_tokens, inputs])
}

/// Weight [o, i] and bias [o] of a linear layer, as torch names them.
pub(super) fn linear(name: &str, outputs: usize, inputs: usize) -> [Needed; 2] {
    [needed(format!("{name}.weight"), vec![outputs, inputs]), needed(format!("{name}.bias"), vec![outputs])]
}

/// The linear layer whose weight is the parameter `index`, and whose bias is the next one: x [p, i] -> [p, o].
pub(super) fn apply(tape: &Tape, leaves: &Leaves, index: usize, x: &Node) -> Result<Node> {
    let (weight, bias) = (leaves.get(index)?, leaves.get(index + 1)?);
    ops::linear(tape, x, &WeightNode::trained(&weight), Some(&bias))
}

/// Embeddings, of the normal distribution as `torch.nn.Embedding` makes them.
pub(super) fn new_embedding(shape: &[usize], rng: &mut Rng) -> Result<Tensor> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// An embedding, and then weights and biases, which `torch.nn.Linear` makes uniform in ±1/√i.
pub(super) fn new_encoder(needed: Vec<Needed>, seed: u64, device: &Device) -> Result<FlatParams> {
    let mut named = Vec::with_capacity(needed.len());
    let mut bound = 0.0;
    for (part, Needed { name, shape, .. }) in needed.into_iter().enumerate() {
        let mut rng = stream(seed, part as u64);
        if let (true, [_, inputs]) = (part > 0, shape.as_slice()) {
            bound = 1.0 / (*inputs as f64).sqrt();
        }
        let values = match part {
            0 => new_embedding(&shape, &mut rng)?,
            _ => {
                let uniform =
                    (0..shape.iter().product()).map(|_| ((2.0 * rng.uniform() - 1.0) * bound) as f32);
                Tensor::from_vec(uniform.collect(), shape.as_slice(), &Device::Cpu)?
            }
        };
        named.push((name, values));
    }
    FlatParams::new(named, device)
}

/// Hooks of the methods whose virtual tokens stand before the embedded ones.
pub(super) struct SoftPrompt(pub Node);

impl Hooks for SoftPrompt {
    fn soft_prompt(&self) -> Option<&Node> {
        Some(&self.0)
    }
}

/// Numbers of the keys and values of a layer's prefix token.
pub(super) fn layer_width(config: &DecoderConfig) -> usize {
    2 * config.head_layout().key_width()
}
