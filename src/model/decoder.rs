//! The decoder of all families: embedding, blocks, final norm; logits are made by whoever needs them.

use super::ModelError;
use super::block::{Block, Sight};
use super::cache::{Cache, CachedRows};
use super::config::DecoderConfig;
use super::error::During;
use super::hooks::{Hooks, Part, Projection};
use super::params::{DecoderParams, index_tensor};
use crate::data::Batch;
use crate::nn::ops::{self, RopeTable, Seen};
use crate::nn::{Node, Tape, Weight, WeightNode};
use candle_core::{Device, Tensor};
use std::borrow::Cow;
use std::rc::Rc;

/// A model on a device. Shared, never changed: adapters come as hooks.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    params: DecoderParams,
    rope: RopeTable,
    device: Device,
}

impl Decoder {
    pub fn new(config: DecoderConfig, params: DecoderParams, device: Device) -> Result<Self, ModelError> {
        let frequencies = config.inverse_frequencies();
        let rope = RopeTable::new(&frequencies, config.context_tokens, &device).during("rotary table")?;
        Ok(Self { config, params, rope, device })
    }

    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The vocabulary projection, [v, d], as these hooks leave it.
    pub fn head(&self, hooks: &dyn Hooks) -> WeightNode {
        hooks.matrix(Part::Head, &self.params.head)
    }

    /// One of its own tensors as f32: what is computed as one comes as one.
    pub fn tensor(&self, part: Part) -> Result<Tensor, ModelError> {
        let params = &self.params;
        let layer = |layer: usize| &params.layers[layer];
        let wide = |weight: &Weight| weight.widened().map(Cow::into_owned).during("widen a weight");
        let found = match part {
            Part::Embedding => return wide(&params.embedding),
            Part::Head => return wide(&params.head),
            Part::Weight(l, projection) => return wide(&layer(l).projection(projection).weight),
            Part::Bias(l, projection) => layer(l).projection(projection).bias.as_ref(),
            Part::InputNorm(l) => Some(&layer(l).input_norm),
            Part::PostAttentionNorm(l) => Some(&layer(l).post_attention_norm),
            Part::QueryNorm(l) => layer(l).head_norms.as_ref().map(|(query, _)| query),
            Part::KeyNorm(l) => layer(l).head_norms.as_ref().map(|(_, key)| key),
            Part::FinalNorm => Some(&params.norm),
        };
        found.cloned().ok_or_else(|| ModelError::Device(format!("the model has no {part:?}")))
    }

    /// The sum of squares of each row of a projection, [o].
    pub fn row_squares(&self, layer: usize, projection: Projection) -> Result<Tensor, ModelError> {
        self.params.layers[layer].projection(projection).row_squares().during("measure a weight")
    }

    /// A tensor as f32 as these hooks leave it: replaced, changed beside, or its own. Trained additions are worked into it.
    pub fn merged(&self, part: Part, hooks: &dyn Hooks) -> Result<Tensor, ModelError> {
        if let Some(node) = hooks.replaced(part) {
            return Ok(node.value().clone());
        }
        let own = self.tensor(part)?;
        let Part::Weight(layer, projection) = part else { return Ok(own) };
        match hooks.low_rank(layer, projection) {
            Some(low) => low
                .merged(&own, hooks.magnitudes(layer, projection))
                .during("merge the adapter into a weight"),
            None => Ok(own),
        }
    }

    fn embed(&self, tape: &Tape, tokens: &[u32], hooks: &dyn Hooks) -> Result<Node, ModelError> {
        let table = hooks.matrix(Part::Embedding, &self.params.embedding);
        ops::embedding(tape, &table, tokens).during("embedding")
    }

    fn final_norm(&self, tape: &Tape, x: &Node, hooks: &dyn Hooks) -> Result<Node, ModelError> {
        let weight = hooks.vector(Part::FinalNorm, &self.params.norm);
        ops::rms_norm(tape, x, &weight, self.config.norm_epsilon).during("final norm")
    }

    fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        match tokens.iter().find(|t| **t as usize >= self.config.vocabulary) {
            Some(token) => {
                Err(ModelError::ForeignToken { token: *token, vocabulary: self.config.vocabulary })
            }
            None => Ok(()),
        }
    }

    fn check_lengths(&self, batch: &Batch) -> Result<(), ModelError> {
        let context_tokens = self.config.context_tokens;
        let lengths = batch.segments.windows(2).map(|ends| ends[1] - ends[0]);
        match lengths.max().filter(|tokens| *tokens > context_tokens) {
            Some(tokens) => Err(ModelError::SampleTooLong { tokens, context_tokens }),
            None => Ok(()),
        }
    }

    /// Hidden states after the final norm, [n, d], of packed segments.
    pub fn forward<'a>(
        &'a self,
        tape: &Tape<'a>,
        batch: &Batch,
        hooks: &'a dyn Hooks,
    ) -> Result<Node, ModelError> {
        self.check_tokens(&batch.tokens)?;
        self.check_lengths(batch)?;
        let positions = index_tensor(&batch.positions, &self.device)?;
        let rope = self.rope.at(&positions).during("rotary positions")?;
        let seen = |window| {
            let scale = self.config.attention_scale();
            Rc::new(Seen { segments: batch.segments.clone(), scale, window, cap: None })
        };
        let (everything, windowed) = (seen(None), seen(self.config.sliding_window));
        let mut x = self.embed(tape, &batch.tokens, hooks)?;
        for (layer, weights) in self.params.layers.iter().enumerate() {
            let seen = if self.config.window_of(layer).is_some() { &windowed } else { &everything };
            let (seen, rope) = (seen.clone(), rope.clone());
            let block = move |tape: &Tape<'a>| {
                let block = Block { layer, config: &self.config, weights, hooks, rope: &rope };
                block.forward(tape, &x, Sight::Packed(&seen))
            };
            x = tape.checkpoint(block).during("decoder block")?;
        }
        self.final_norm(tape, &x, hooks)
    }

    /// Feeds tokens after those in the cache and returns the logits of the last one, [v].
    pub fn extend(
        &self,
        tokens: &[u32],
        cache: &mut Cache,
        hooks: &dyn Hooks,
    ) -> Result<Vec<f32>, ModelError> {
        self.extend_rows(&mut [(tokens, cache)], hooks).map(|mut all| all.swap_remove(0))
    }

    /// Feeds several conversations, each its tokens after those in its cache, in one pass that reads the weights once.
    /// Returns the logits of the last token of each, [v]. No tokens of one are an error.
    pub fn extend_rows(
        &self,
        rows: &mut [(&[u32], &mut Cache)],
        hooks: &dyn Hooks,
    ) -> Result<Vec<Vec<f32>>, ModelError> {
        let (mut tokens, mut positions, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
        for (new, cache) in rows.iter() {
            let Some(last) = (tokens.len() + new.len()).checked_sub(1) else {
                return Err(ModelError::EmptyPrompt);
            };
            tokens.extend_from_slice(new);
            positions.extend((cache.len()..cache.len() + new.len()).map(|position| position as u32));
            lasts.push(last as u32);
        }
        self.check_tokens(&tokens)?;
        let positions = index_tensor(&positions, &self.device)?;
        let rope = self.rope.at(&positions).during("rotary positions")?;
        let tape = Tape::inference();
        let mut x = self.embed(&tape, &tokens, hooks)?;
        for (layer, weights) in self.params.layers.iter().enumerate() {
            let block = Block { layer, config: &self.config, weights, hooks, rope: &rope };
            let caches = rows.iter_mut().map(|(new, cache)| (new.len(), &mut cache.layers[layer]));
            let sight = Sight::Cached(CachedRows(caches.collect()));
            x = block.forward(&tape, &x, sight).during("decoder block")?;
        }
        let lasts = index_tensor(&lasts, &self.device)?;
        let last = x.value().index_select(&lasts, 0).during("last positions")?; // [b, d]
        let last = self.final_norm(&tape, &Node::frozen(last), hooks)?;
        self.logits(last.value(), hooks)?.to_vec2().during("logits")
    }

    /// hidden [n, d] -> logits [n, v]. For evaluation of few rows; training never makes this tensor.
    pub fn logits(&self, hidden: &Tensor, hooks: &dyn Hooks) -> Result<Tensor, ModelError> {
        ops::product(hidden, self.head(hooks).weight(), None).during("vocabulary projection")
    }
}
