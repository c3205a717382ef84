//! One pre-norm decoder block, for every family: attention, then a gated feed-forward, each added to its input.

use super::cache::LayerCache;
use super::config::DecoderConfig;
use super::hooks::{Hooks, Linear, Site};
use super::params::LayerWeights;
use crate::nn::ops::{self, AttentionShape, RopeRows};
use crate::nn::{Node, Result, Tape};

/// What the tokens of a forward pass may see.
pub enum Sight<'a> {
    /// Packed segments, each seeing itself only.
    Packed(&'a AttentionShape),
    /// All tokens in the cache, to which these are added. No gradient.
    Cached(&'a mut LayerCache),
}

/// A block of a given layer with everything it needs besides its input.
pub struct Block<'a> {
    pub layer: usize,
    pub config: &'a DecoderConfig,
    pub weights: &'a LayerWeights,
    pub hooks: &'a dyn Hooks,
    pub rope: &'a RopeRows,
}

impl Block<'_> {
    fn linear(&self, tape: &Tape, linear: Linear, x: &Node) -> Result<Node> {
        let weights = self.weights.linear(linear);
        let y = ops::linear(tape, x, &weights.weight, weights.bias.as_ref())?;
        self.hooks.linear(tape, Site { layer: self.layer, linear }, x, y)
    }

    fn attention(&self, tape: &Tape, x: &Node, sight: Sight) -> Result<Node> {
        let c = self.config;
        let (h, k, e) = (c.num_heads, c.num_kv_heads, c.head_width);
        let q = ops::split_heads(tape, &self.linear(tape, Linear::Q, x)?, h)?; // [n, h, e]
        let key = ops::split_heads(tape, &self.linear(tape, Linear::K, x)?, k)?; // [n, k, e]
        let v = ops::split_heads(tape, &self.linear(tape, Linear::V, x)?, k)?; // [n, k, e]
        let q = self.head_norm(tape, q, self.weights.q_norm.as_ref())?;
        let key = self.head_norm(tape, key, self.weights.k_norm.as_ref())?;
        let q = ops::rope(tape, &q, self.rope)?;
        let key = ops::rope(tape, &key, self.rope)?;
        let mixed = match sight {
            Sight::Packed(shape) => ops::attention(tape, &q, &key, &v, shape)?,
            Sight::Cached(cache) => {
                let (keys, values) = cache.extend(key.value(), v.value())?;
                let scale = 1.0 / (e as f64).sqrt();
                let window = c.window_of(self.layer);
                Node::frozen(ops::attend_cached(q.value(), &keys, &values, scale, window)?)
            }
        };
        self.linear(tape, Linear::O, &ops::merge_heads(tape, &mixed)?)
    }

    fn head_norm(&self, tape: &Tape, x: Node, weight: Option<&candle_core::Tensor>) -> Result<Node> {
        match weight {
            Some(weight) => ops::rms_norm(tape, &x, weight, self.config.norm_epsilon),
            None => Ok(x),
        }
    }

    fn feed_forward(&self, tape: &Tape, x: &Node) -> Result<Node> {
        let gate = self.linear(tape, Linear::Gate, x)?; // [n, f]
        let up = self.linear(tape, Linear::Up, x)?; // [n, f]
        self.linear(tape, Linear::Down, &ops::swiglu(tape, &gate, &up)?)
    }

    /// x [n, d] -> [n, d].
    pub fn forward(&self, tape: &Tape, x: &Node, sight: Sight) -> Result<Node> {
        let epsilon = self.config.norm_epsilon;
        let normed = ops::rms_norm(tape, x, &self.weights.input_norm, epsilon)?;
        let x = ops::add(tape, x, &self.attention(tape, &normed, sight)?)?;
        let normed = ops::rms_norm(tape, &x, &self.weights.post_attention_norm, epsilon)?;
        ops::add(tape, &x, &self.feed_forward(tape, &normed)?)
    }
}

impl DecoderConfig {
    /// The sliding window of a layer, if it has one.
    pub fn window_of(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| layer >= self.first_windowed_layer)
    }
}
