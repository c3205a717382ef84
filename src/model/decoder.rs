//! The decoder of all families: embedding, blocks, final norm; logits are made by whoever needs them.

use super::ModelError;
use super::block::{Block, Sight};
use super::cache::{Cache, CachedRows};
use super::config::DecoderConfig;
use super::error::During;
use super::hooks::{Hooks, NoHooks, Part};
use super::params::{DecoderParams, index_tensor};
use super::virtual_tokens::{Fed, Rows, begin, with_prompts};
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

    fn embed(&self, tape: &Tape, tokens: &[u32], hooks: &dyn Hooks) -> Result<Node, ModelError> {
        let table = hooks.matrix(Part::Embedding, &self.params.embedding);
        ops::embedding(tape, &table, tokens).during("embedding")
    }

    /// The model's own rows for these tokens, [n, d].
    pub fn embedded(&self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.check_tokens(tokens)?;
        Ok(self.embed(&Tape::inference(), tokens, &NoHooks)?.value().clone())
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

    /// `num_virtual` tokens of each segment's context are taken.
    fn check_lengths(&self, batch: &Batch, num_virtual: usize) -> Result<(), ModelError> {
        let context_tokens = self.config.context_tokens.saturating_sub(num_virtual);
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
        self.check_lengths(batch, hooks.num_virtual_tokens())?;
        let rows = Rows::of(batch, hooks);
        let positions = index_tensor(&rows.positions, &self.device)?;
        let rope = self.rope.at(&positions).during("rotary positions")?;
        let seen = |window| {
            let scale = self.config.attention_scale();
            Rc::new(Seen { segments: rows.segments.clone(), scale, window, cap: None })
        };
        let (everything, windowed) = (seen(None), seen(self.config.sliding_window));
        let mut x = self.embed(tape, &batch.tokens, hooks)?;
        if let (Some(prompt), Some(places)) = (hooks.soft_prompt(), &rows.soft_prompt) {
            x = ops::with_virtual_rows(tape, &x, prompt, places).during("soft prompt")?;
        }
        for (layer, weights) in self.params.layers.iter().enumerate() {
            let seen = if self.config.window_of(layer).is_some() { &windowed } else { &everything };
            let (seen, rope) = (seen.clone(), rope.clone());
            let block = move |tape: &Tape<'a>| {
                let block = Block { layer, config: &self.config, weights, hooks, rope: &rope };
                block.forward(tape, &x, Sight::Packed(&seen))
            };
            x = tape.checkpoint(block).during("decoder block")?;
        }
        if let Some(places) = &rows.soft_prompt {
            x = ops::without_virtual_rows(tape, &x, places).during("soft prompt")?;
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
        let (mut tokens, mut fed, mut num_rows) = (Vec::new(), Vec::new(), 0);
        for (new, cache) in rows.iter_mut() {
            if tokens.is_empty() && new.is_empty() {
                return Err(ModelError::EmptyPrompt);
            }
            tokens.extend_from_slice(new);
            begin(cache, hooks, self.config.head_layout())?;
            fed.push(Fed::new(num_rows, new.len(), cache, hooks));
            num_rows = fed.last().map_or(0, |fed| fed.rows.end);
        }
        self.check_tokens(&tokens)?;
        let positions: Vec<u32> =
            fed.iter().flat_map(|fed| fed.positions.clone()).map(|position| position as u32).collect();
        let positions = index_tensor(&positions, &self.device)?;
        let rope = self.rope.at(&positions).during("rotary positions")?;
        let tape = Tape::inference();
        let embedded = self.embed(&tape, &tokens, hooks)?;
        let mut x = Node::frozen(with_prompts(embedded.value().clone(), &fed, hooks)?);
        for (layer, weights) in self.params.layers.iter().enumerate() {
            let block = Block { layer, config: &self.config, weights, hooks, rope: &rope };
            let caches = rows.iter_mut().zip(&fed);
            let caches = caches.map(|((_, cache), fed)| (fed.rows.len(), &mut cache.layers[layer]));
            let sight = Sight::Cached(CachedRows(caches.collect()));
            x = block.forward(&tape, &x, sight).during("decoder block")?;
        }
        for (_, cache) in rows {
            cache.num_virtual = hooks.num_virtual_tokens();
        }
        let lasts: Vec<u32> = fed.iter().map(|fed| (fed.rows.end - 1) as u32).collect();
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
