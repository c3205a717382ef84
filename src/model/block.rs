//! One pre-norm decoder block, for every family: attention, then a gated feed-forward, each added to its input.

use super::cache::CachedRows;
use super::config::DecoderConfig;
use super::hooks::{Hooks, Part, Projection};
use super::params::LayerWeights;
use crate::nn::ops::{self, Activation, HeadNorms, RopeRows, Seen};
use crate::nn::{Node, Result, Tape};
use std::rc::Rc;

/// What the tokens of a forward pass may see.
pub enum Sight<'a> {
    /// Packed segments, each seeing itself only.
    Packed(&'a Rc<Seen>),
    /// All tokens in their conversation's cache, to which these are added. No gradient.
    Cached(CachedRows<'a>),
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
    fn projection(&self, tape: &Tape, projection: Projection, x: &Node) -> Result<Node> {
        let weights = self.weights.projection(projection);
        let weight = self.hooks.matrix(Part::Weight(self.layer, projection), &weights.weight);
        let bias = weights.bias.as_ref();
        let bias = bias.map(|bias| self.hooks.vector(Part::Bias(self.layer, projection), bias));
        match self.hooks.low_rank(self.layer, projection) {
            Some(low_rank) => {
                ops::low_rank_linear(tape, x, weight.weight(), bias.as_ref().map(Node::value), low_rank)
            }
            None => ops::linear(tape, x, &weight, bias.as_ref()),
        }
    }

    fn head_norms(&self) -> Option<HeadNorms> {
        let (query, key) = self.weights.head_norms.as_ref()?;
        Some(HeadNorms {
            query: self.hooks.vector(Part::QueryNorm(self.layer), query),
            key: self.hooks.vector(Part::KeyNorm(self.layer), key),
            epsilon: self.config.norm_epsilon,
        })
    }

    fn attention(&self, tape: &Tape, x: &Node, sight: Sight) -> Result<Node> {
        let layout = self.config.head_layout();
        let qkv = self.projection(tape, Projection::Qkv, x)?; // [n, (h + 2k) e]
        let qkv = ops::rotate(tape, &qkv, layout, self.rope, self.head_norms().as_ref())?;
        let mixed = match sight {
            Sight::Packed(seen) => match self.hooks.prefix(self.layer) {
                Some(prefix) => ops::prefix_attention(tape, &qkv, prefix, layout, seen)?,
                None => ops::attention(tape, &qkv, layout, seen)?,
            },
            Sight::Cached(cache) => {
                let scale = self.config.attention_scale();
                let window = self.config.window_of(self.layer);
                Node::frozen(cache.attend(qkv.value(), layout, scale, window)?)
            }
        };
        self.projection(tape, Projection::O, &mixed)
    }

    fn feed_forward(&self, tape: &Tape, x: &Node) -> Result<Node> {
        let gate_up = self.projection(tape, Projection::GateUp, x)?; // [n, 2f]
        self.projection(tape, Projection::Down, &ops::gated(tape, &gate_up, Activation::Silu)?)
    }

    /// x [n, d] -> [n, d].
    pub fn forward(&self, tape: &Tape, x: &Node, sight: Sight) -> Result<Node> {
        let epsilon = self.config.norm_epsilon;
        let norm = self.hooks.vector(Part::InputNorm(self.layer), &self.weights.input_norm);
        let normed = ops::rms_norm(tape, x, &norm, epsilon)?;
        let x = ops::add(tape, x, &self.attention(tape, &normed, sight)?)?;
        let norm = self.hooks.vector(Part::PostAttentionNorm(self.layer), &self.weights.post_attention_norm);
        let normed = ops::rms_norm(tape, &x, &norm, epsilon)?;
        ops::add(tape, &x, &self.feed_forward(tape, &normed)?)
    }
}

impl DecoderConfig {
    /// What scores are multiplied by.
    pub fn attention_scale(&self) -> f64 {
        1.0 / (self.head_width as f64).sqrt()
    }

    /// The sliding window of a layer, if it has one.
    pub fn window_of(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| layer >= self.first_windowed_layer)
    }
}
